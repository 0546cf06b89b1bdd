package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
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

// What looks at the log of a folder that is no home says so, and makes nothing there.
func TestWALWithoutHome(t *testing.T) {
	for _, command := range []string{"verify", "stat", "dump", "trust-clock", "accept-loss --all", "cursors list", "cursors remove x --yes"} {
		dir := t.TempDir()
		code, _, stderr := runWAL(t, append(strings.Fields(command), "--home", dir)...)
		if code != 1 || !strings.Contains(stderr, "there is no AMOSKYS home here") {
			t.Errorf("%s: code %d, %q", command, code, stderr)
		}
		if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
			t.Errorf("%s made %v, %v", command, made, err)
		}
	}
}

// A folder without a log, such as the one above it or an empty one, is not said to be whole,
// and nothing in it is made or removed.
func TestWALWhereNoLogIs(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	writeLog(t, filepath.Join(home, "data", "wal"))
	foreign := t.TempDir()
	for _, name := range []string{"rewrite", "replaced"} { // names that a rewrite clears in a log's folder
		if err := os.Mkdir(filepath.Join(foreign, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(foreign, name, "notes.txt"), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	commands := []string{
		"verify", "verify --json", "stat", "dump", "rewrite --format 1 --yes --remove-old", "accept-loss --all --yes --home " + home,
		"cursors list", "cursors remove x --yes",
	}
	for _, command := range commands {
		for dir, want := range map[string]string{home: "did you mean --dir " + filepath.Join(home, "data", "wal"), t.TempDir(): "there is no log here", foreign: "there is no log here"} {
			before := filesOf(t, dir)
			code, stdout, stderr := runWAL(t, append(strings.Fields(command), "--dir", dir)...)
			if said := stdout + stderr; code != cli.ExitFailed || !strings.Contains(said, want) {
				t.Errorf("%s: exit %d, %s", command, code, said)
			}
			if after := filesOf(t, dir); !slices.Equal(before, after) {
				t.Errorf("%s: there were %q and now are %q", command, before, after)
			}
		}
	}
	// One that has lost all its segments is a log.
	dir := filepath.Join(home, "data", "wal")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := runWAL(t, "verify", "--dir", dir); code != cli.ExitFailed || !strings.Contains(stdout, "NOT OK") {
		t.Errorf("exit %d: %s", code, stdout)
	}
}

// filesOf lists all below dir.
func filesOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Losses are audited in a home: the folder of a log alone does not make one.
func TestAcceptLossWithoutHome(t *testing.T) {
	t.Parallel()
	dir, home := filepath.Join(t.TempDir(), "wal"), t.TempDir()
	writeLog(t, dir)
	code, _, stderr := runWAL(t, "accept-loss", "--all", "--yes", "--dir", dir, "--home", home)
	if code != cli.ExitFailed || !strings.Contains(stderr, "there is no AMOSKYS home here") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if made := filesOf(t, home); len(made) != 1 {
		t.Errorf("made %q", made)
	}
}

func TestWALDumpFrom(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "wal")
	writeLog(t, dir)
	code, stdout, stderr := runWAL(t, "dump", "--dir", dir, "--from", "2")
	if code != cli.ExitOK || strings.Contains(stdout, "checkpoint") || !strings.HasPrefix(stdout, "2 ") || stderr != "" {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	code, stdout, stderr = runWAL(t, "dump", "--dir", dir, "--from", "99")
	if code != cli.ExitOK || stdout != "" || !strings.Contains(stderr, "nothing is there from offset 99 on") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

func TestDescribePacking(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]wal.SegmentInfo{
		"the newest segment's events: 100 B; its records: 2 not packed\n": {StoredBytes: 100, UnpackedBytes: 100, Codecs: map[string]int{"none": 2}},
		"the newest segment's events: 100 B, 400 B unpacked, 4.0 times as many; its records: 1 not packed, 3 packed (s2)\n": {
			StoredBytes: 100, UnpackedBytes: 400, Codecs: map[string]int{"none": 1, "s2": 3},
		},
		"": {},
	} {
		var b bytes.Buffer
		if describePacking(&b, []wal.SegmentInfo{s}); b.String() != want {
			t.Errorf("got %q, want %q", b.String(), want)
		}
	}
}

// A folder named from within is the same log: the copy of HEAD stands beside it.
func TestWALFromWithinItsFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wal")
	writeLog(t, dir)
	t.Chdir(dir)
	for _, args := range []string{"verify --dir .", "rewrite --format 1 --yes --dir .", "verify --dir ./", "verify --dir ../wal"} {
		code, stdout, stderr := runWAL(t, strings.Fields(args)...)
		if code != cli.ExitOK || strings.Contains(stdout, "missing") {
			t.Errorf("%s: exit %d, %s%s", args, code, stdout, stderr)
		}
	}
	for _, name := range filesOf(t, filepath.Dir(dir)) {
		if strings.HasPrefix(filepath.Base(name), "..") {
			t.Errorf("made %s", name)
		}
	}
}
