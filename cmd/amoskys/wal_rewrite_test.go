package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/wal"
)

// writePackedLog makes a log with a packed record of 50 events, and one that says to be
// packed and is not.
func writePackedLog(t *testing.T, dir string) {
	t.Helper()
	l, err := wal.Open(t.Context(), wal.Options{Dir: dir, Logger: obs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	body, err := event.Encode(&pb.Event{Type: "process.execution", Host: &pb.Host{Name: "web-1"}})
	if err != nil {
		t.Fatal(err)
	}
	var fields []byte
	for range 50 {
		fields = protowire.AppendBytes(protowire.AppendTag(fields, 3, protowire.BytesType), body)
	}
	good := codec.S2.Pack(nil, fields)
	bad := append([]byte{200, 1}, strings.Repeat("\xfe", 60)...)
	for i, payload := range [][]byte{good, bad} {
		r := wal.Record{
			Publisher: "spiffe://example.org/agent/a", Sequence: uint64(i + 1), Received: time.Unix(1700000000, 0),
			Count: 50, Payload: [][]byte{payload}, Codec: codec.S2,
		}
		if _, err := l.Append(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWALPackedAndRewritten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "wal")
	writePackedLog(t, dir)

	dump := func() (events, damaged, packed int) {
		t.Helper()
		code, stdout, stderr := runWAL(t, "dump", "--dir", dir, "--json")
		if code != cli.ExitOK {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		for text := range strings.Lines(stdout) {
			var line dumpLine
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatal(err)
			}
			switch {
			case line.Kind == "events" && strings.Contains(string(line.Event), "web-1"):
				events++
			case line.Kind == "damage" && line.Error != "" && line.Offset == 50:
				damaged++
			}
			if line.Codec == "s2" {
				packed++
			}
		}
		return events, damaged, packed
	}
	if events, damaged, packed := dump(); events != 50 || damaged != 1 || packed != 51 {
		t.Errorf("dump shows %d events, %d damaged, %d packed", events, damaged, packed)
	}
	code, stdout, _ := runWAL(t, "dump", "--dir", dir)
	if code != cli.ExitOK || !strings.Contains(stdout, "DAMAGED: offsets 50 to 99 are gone: damaged: the record does not unpack") {
		t.Errorf("dump: %s", stdout)
	}
	if code, stdout, _ := runWAL(t, "verify", "--dir", dir); code != cli.ExitOK {
		t.Errorf("verify: exit %d, %s", code, stdout)
	}
	if code, stdout, _ := runWAL(t, "verify", "--unpack", "--dir", dir); code == cli.ExitOK || !strings.Contains(stdout, "offset 50: ") || !strings.Contains(stdout, "cannot be unpacked") {
		t.Errorf("verify --unpack: exit %d, %s", code, stdout)
	}
	if code, stdout, _ := runWAL(t, "stat", "--dir", dir); code != cli.ExitOK || !strings.Contains(stdout, "unpacked") || !strings.Contains(stdout, "its records: 2 packed (s2)") {
		t.Errorf("stat: exit %d, %s", code, stdout)
	}

	for _, args := range [][]string{{}, {"--format", "3"}, {"--format", "1"}} { // the last asks, and nobody answers
		if code, _, stderr := runWAL(t, append([]string{"rewrite", "--dir", dir}, args...)...); code != cli.ExitUsage || stderr == "" {
			t.Errorf("rewrite %v: exit %d, %s", args, code, stderr)
		}
	}
	code, stdout, stderr := runWAL(t, "rewrite", "--dir", dir, "--format", "1", "--yes")
	if code != cli.ExitOK || !strings.Contains(stdout, "1 segment with 50 events are of format 1 now") || !strings.Contains(stdout, filepath.Join(dir, "replaced")) ||
		!strings.Contains(stderr, "1 place of the old segments cannot be read") {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	if events, damaged, packed := dump(); events != 50 || damaged != 0 || packed != 0 {
		t.Errorf("dump shows %d events, %d damaged, %d packed", events, damaged, packed)
	}
	again := []string{"rewrite", "--dir", dir, "--format", "2", "--remove-old", "--yes", "--json"}
	if code, _, stderr := runWAL(t, again...); code == cli.ExitOK || !strings.Contains(stderr, "could not be read in full") {
		t.Errorf("what could not be read is removed: exit %d, %s", code, stderr)
	}
	if err := os.RemoveAll(filepath.Join(dir, "replaced")); err != nil {
		t.Fatal(err)
	}
	var out rewriteOutput
	code, stdout, _ = runWAL(t, again...)
	if err := json.Unmarshal([]byte(stdout), &out); code != cli.ExitOK || err != nil || out.Format != 2 || out.Segments != 1 || out.NewBytes >= out.OldBytes || out.Replaced != "" {
		t.Errorf("exit %d, %v: %s", code, err, stdout)
	}
	if _, err := os.Stat(filepath.Join(dir, "replaced")); !os.IsNotExist(err) {
		t.Error("the old segments are there still")
	}
	if events, _, packed := dump(); events != 50 || packed != 50 {
		t.Errorf("dump shows %d events, %d packed", events, packed)
	}
}
