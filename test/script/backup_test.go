package script_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// machine is a home, and the program that is run in it.
type machine struct {
	t    *testing.T
	home string
}

// try runs a command in the home.
func (m machine) try(args ...string) (string, error) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "amoskys"), append(args, "--home", m.home)...)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("amoskys %s: %w: %s", strings.Join(args, " "), err, exit.Stderr)
	}
	return string(out), err
}

// run is try that must succeed.
func (m machine) run(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// until runs a command until it says what is wanted.
func (m machine) until(want string, args ...string) {
	m.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		out, err := m.try(args...)
		if strings.Contains(out, want) {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s does not say %q: %v\n%s", strings.Join(args, " "), want, err, out)
		}
		time.Sleep(200 * time.Millisecond) //nolint:forbidigo // another process is waited for
	}
}

type madeBackup struct {
	ID       string   `json:"id"`
	Offset   uint64   `json:"offset"`
	Bytes    int64    `json:"bytes"`
	Sent     int64    `json:"sent_bytes"`
	Warnings []string `json:"warnings"`
}

func (m machine) backup(args ...string) (b madeBackup) {
	m.t.Helper()
	if err := json.Unmarshal([]byte(m.run(append([]string{"backup", "--json"}, args...)...)), &b); err != nil {
		m.t.Fatal(err)
	}
	if len(b.Warnings) > 0 {
		m.t.Fatalf("backup %+v", b)
	}
	return b
}

// logRange is what the log of a machine has.
type logRange struct {
	First uint64 `json:"first_offset"`
	Next  uint64 `json:"next_offset"`
}

func (m machine) log() (r logRange) {
	m.t.Helper()
	if err := json.Unmarshal([]byte(m.run("wal", "stat", "--json")), &r); err != nil {
		m.t.Fatal(err)
	}
	return r
}

// answers are what a machine says of the events below an offset.
func (m machine) answers(below uint64) string {
	m.t.Helper()
	var out strings.Builder
	for _, q := range []string{
		"* | stats count() events",
		"* | stats by (type) count() events | sort by (type)",
		"* | stats by (host, agent) count() events | sort by (host, agent)",
		"process.name:* | stats count_uniq(process.name) names",
		"type:audit",
	} {
		filter, pipes, _ := strings.Cut(q, " | ")
		if pipes != "" {
			pipes = " | " + pipes
		}
		out.WriteString(m.run("query", fmt.Sprintf(`(%s) "offset":<%d%s`, filter, below, pipes), "--since", "24h", "--json") + "\n")
	}
	return out.String()
}

// settled are the answers once they stay: a store shows what it takes up to some seconds
// later, and not in order.
func (m machine) settled(below uint64) string {
	m.t.Helper()
	m.until(`"offset":`, "query", fmt.Sprintf(`"offset":>=%d`, below), "--since", "24h", "--json")
	for last := m.answers(below); ; {
		again := m.answers(below)
		if again == last {
			return again
		}
		last = again
	}
}

// TestBackupOfWhatRuns: a system that takes events is backed up twice, and comes up
// elsewhere as it was: the same log, the same answers.
func TestBackupOfWhatRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs two systems")
	}
	t.Parallel()
	work := t.TempDir()
	old, place, pass := machine{t, filepath.Join(work, "old")}, filepath.Join(work, "backups"), filepath.Join(work, "pass")
	if err := os.WriteFile(pass, []byte("correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := writeHome(old.home); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { down(old.home) })
	old.run("up", "--agents", "proc,synth", "--no-dashboard", "--detach")
	old.until("store ok, ", "status")
	old.until("synth_agent", "query", "* | stats by (agent) count() events", "--since", "24h")
	first := old.backup(place)
	second := old.backup(place, "--with-keys", "--passphrase-file", pass, "--keep", "2")
	if first.Offset == 0 || second.Offset < first.Offset || second.Sent >= second.Bytes {
		t.Fatalf("first %+v, second %+v", first, second)
	}
	old.until("last backup ", "status")
	if out, err := old.try("restore", place); err == nil || !strings.Contains(err.Error(), "is a home already") {
		t.Fatalf("restored over a home that lives: %v\n%s", err, out)
	}
	want := old.settled(second.Offset)

	// The identical system.
	same := machine{t, filepath.Join(work, "same")}
	t.Cleanup(func() { down(same.home) })
	same.run("restore", place, "--with-keys", "--passphrase-file", pass)
	if out := same.run("wal", "verify", "--json"); !strings.Contains(out, `"ok": true`) {
		t.Fatalf("the log is not whole: %s", out)
	}
	if out, err := same.try("up", "--detach", "--agents", "proc", "--no-dashboard"); err == nil || !strings.Contains(err.Error(), "still answers at") {
		t.Fatalf("two of one name run: %v\n%s", err, out)
	}
	old.run("down")
	same.run("up", "--agents", "proc", "--no-dashboard", "--detach")
	if got := same.settled(second.Offset); got != want {
		t.Fatalf("the restored system answers otherwise:\n%s\nwant\n%s", got, want)
	}
	same.run("down")

	// To be looked at, under a new authority.
	shown := machine{t, filepath.Join(work, "shown")}
	t.Cleanup(func() { down(shown.home) })
	if out := shown.run("restore", place, "--id", first.ID); !strings.Contains(out, "must enrol again: ") {
		t.Fatalf("who must enrol again? %s", out)
	}
	shown.run("up", "--agents", "proc", "--no-dashboard", "--detach")
	shown.until(", no lag", "status")
	shown.until("a copy restored from a backup without keys, and read-only", "status")
	if got := shown.answers(first.Offset); !strings.Contains(got, "synth_agent") {
		t.Fatalf("it does not show what was restored: %s", got)
	}
	if next := shown.log().Next; next != first.Offset {
		t.Fatalf("the log went on from %d to %d", first.Offset, next)
	}
	shown.run("down")
}
