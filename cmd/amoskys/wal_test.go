package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/wal"
)

func runWAL(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Logger: obs.Discard(),
		Now: time.Now, Lookup: func(string) (string, bool) { return "", false },
	}
	root := &cobra.Command{Use: "amoskys"}
	env.BindHome(root)
	root.AddCommand(newWALCommand(env))
	code = cli.Execute(t.Context(), root, env, append([]string{"wal"}, args...))
	return code, out.String(), errs.String()
}

// writeLog makes a log with two records of events and returns the second one's
// segment file.
func writeLog(t *testing.T, dir string) string {
	t.Helper()
	l, err := wal.Open(t.Context(), wal.Options{Dir: dir, Logger: obs.Discard(), Checkpoint: func() []byte { return []byte("state") }})
	if err != nil {
		t.Fatal(err)
	}
	body, err := event.Encode(&pb.Event{Type: "process.execution", Host: &pb.Host{Name: "web-1"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, events := range [][][]byte{{body, []byte("no \xff event")}, {body}} {
		var payload []byte
		for _, b := range events {
			payload = protowire.AppendBytes(protowire.AppendTag(payload, 3, protowire.BytesType), b)
		}
		r := wal.Record{Publisher: "spiffe://example.org/agent/a", Sequence: uint64(i + 1), Received: time.Unix(1700000000, 0), Count: len(events), Payload: [][]byte{payload}}
		if _, err := l.Append(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Cursor("store", true); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "00000000000000000000.wal")
}

func TestWALCommands(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	dir := filepath.Join(home, "data", "wal")
	segment := writeLog(t, dir)

	// Without --dir the folder is that of the hub's configuration.
	code, stdout, stderr := runWAL(t, "verify", "--home", home)
	if code != cli.ExitOK || !strings.Contains(stdout, "ok: nothing was cut") || stderr != "" {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	var ok map[string]any
	code, stdout, _ = runWAL(t, "verify", "--dir", dir, "--json")
	if err := json.Unmarshal([]byte(stdout), &ok); err != nil || code != cli.ExitOK {
		t.Fatalf("exit %d, %v: %s", code, err, stdout)
	}
	if ok["ok"] != true || ok["records"] != 3.0 || ok["events"] != 3.0 || ok["first_bad_offset"] != nil || ok["error"] != nil {
		t.Fatalf("%v", ok)
	}
	if _, has := ok["first_bad_offset"]; !has {
		t.Fatalf("%v", ok)
	}

	code, stdout, _ = runWAL(t, "stat", "--dir", dir)
	if code != cli.ExitOK || !strings.Contains(stdout, filepath.Base(segment)) || !strings.Contains(stdout, "store") {
		t.Fatalf("exit %d: %s", code, stdout)
	}
	var stat statOutput
	_, stdout, _ = runWAL(t, "stat", "--dir", dir, "--json")
	if err := json.Unmarshal([]byte(stdout), &stat); err != nil || stat.NextOffset != 3 || len(stat.Segments) != 1 || len(stat.Cursors) != 1 {
		t.Fatalf("%v: %s", err, stdout)
	}

	code, stdout, _ = runWAL(t, "dump", "--dir", dir, "--from", "1", "--json", "--limit", "2")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	var one, two dumpLine
	if code != cli.ExitOK || len(lines) < 2 {
		t.Fatalf("exit %d: %s", code, stdout)
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-2]), &one); err != nil || one.Offset != 1 || one.Hex == "" {
		t.Fatalf("%v: %s", err, stdout)
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &two); err != nil || two.Offset != 2 || !bytes.Contains(two.Event, []byte("web-1")) {
		t.Fatalf("%v: %s", err, stdout)
	}
	code, stdout, _ = runWAL(t, "dump", "--dir", dir, "--segment", filepath.Base(segment))
	if code != cli.ExitOK || strings.Count(stdout, "\n") != 4 || !strings.Contains(stdout, "checkpoint") {
		t.Fatalf("exit %d: %s", code, stdout)
	}

	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-20] ^= 1 // in the last record
	if err := os.WriteFile(segment, b, 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ = runWAL(t, "verify", "--dir", dir, "--json")
	var bad verifyOutput
	if err := json.Unmarshal([]byte(stdout), &bad); err != nil || code != cli.ExitFailed {
		t.Fatalf("exit %d, %v: %s", code, err, stdout)
	}
	if bad.OK || bad.FirstBadOffset == nil || *bad.FirstBadOffset != 2 || bad.Error == nil || bad.Segment != filepath.Base(segment) {
		t.Fatalf("%s", stdout)
	}
	code, stdout, _ = runWAL(t, "verify", "--dir", dir)
	if code != cli.ExitFailed || !strings.Contains(stdout, "NOT OK: 1 bad place, at offset 2") {
		t.Fatalf("exit %d: %s", code, stdout)
	}
	if code, stdout, _ = runWAL(t, "dump", "--dir", dir); code != cli.ExitOK || !strings.Contains(stdout, "DAMAGED") {
		t.Fatalf("exit %d: %s", code, stdout)
	}
	if code, stdout, _ = runWAL(t, "stat", "--dir", dir); code != cli.ExitOK || !strings.Contains(stdout, "Z  damaged at byte ") {
		t.Fatalf("exit %d: %s", code, stdout)
	}
	l, err := wal.Open(t.Context(), wal.Options{Dir: dir, Logger: obs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ = runWAL(t, "stat", "--dir", dir)
	if code != cli.ExitOK || strings.Count(stdout, "(copy in quarantine)") != 1 || !strings.Contains(stdout, "in quarantine: "+filepath.Base(segment)) {
		t.Fatalf("exit %d: %s", code, stdout)
	}
}

func TestWALCommandsCalledWrongly(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]int{
		"verify --dir /does/not/exist":            cli.ExitFailed,
		"stat --dir /does/not/exist":              cli.ExitFailed,
		"dump --dir /does/not/exist":              cli.ExitFailed,
		"verify extra":                            cli.ExitUsage,
		"dump --from x":                           cli.ExitUsage,
		"dump --limit -1":                         cli.ExitUsage,
		"verfy":                                   cli.ExitUsage,
		"verify --dir /does/not/exist --json":     cli.ExitFailed,
		"dump --segment nope.wal --dir " + "/tmp": cli.ExitFailed,
	} {
		if code, stdout, stderr := runWAL(t, strings.Fields(args)...); code != want {
			t.Errorf("%s: exit %d, want %d: %s%s", args, code, want, stdout, stderr)
		}
	}
}
