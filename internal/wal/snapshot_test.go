package wal

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/amoskys/amoskys/internal/vfs"
)

// restore writes a snapshot to a new folder.
func (s *Snapshot) restore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "wal")
	if err := os.MkdirAll(filepath.Join(dir, CursorFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range s.Segments {
		b, err := io.ReadAll(s.Segments[i].Reader())
		if err != nil || int64(len(b)) != s.Segments[i].Bytes {
			t.Fatalf("segment %s: %d bytes, %v", s.Segments[i].Name, len(b), err)
		}
		write(filepath.Join(dir, s.Segments[i].Name), b)
	}
	for name, b := range s.Cursors {
		write(filepath.Join(dir, CursorFolder, name), b)
	}
	write(filepath.Join(dir, HeadName), s.Head)
	write(CopyOfHead(dir), s.Head)
	return dir
}

func TestSnapshotOfALogThatIsWritten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "wal")
	o := Options{Dir: dir, Logger: quiet(), SegmentBytes: 4096, Checkpoint: func() []byte { return []byte("known") }}
	l, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var ends []Offset // of the batches
	write := func(n int) {
		for range n {
			first, err := l.Append(t.Context(), &Record{Publisher: "p", Count: 3, Payload: [][]byte{bytes.Repeat([]byte{0x1a, 1, 7}, 3)}})
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, first+3)
		}
	}
	write(40)
	c, err := l.Cursor("reader", false)
	if err != nil {
		t.Fatal(err)
	}
	write(3)
	if err := c.Commit(ends[42]); err != nil {
		t.Fatal(err)
	}
	for _, until := range []Offset{0, ends[0], ends[10], ends[39], ends[42], endless} {
		s, err := TakeSnapshot(t.Context(), vfs.OS{}, dir, until)
		if err != nil {
			t.Fatal(err)
		}
		write(1) // meanwhile
		copied := s.restore(t)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		want := min(until, ends[len(ends)-2])
		report, err := Verify(t.Context(), vfs.OS{}, copied, nil)
		if err != nil || !report.OK || report.Next != want || s.Next != want {
			t.Fatalf("up to %d: %+v, %v", until, report, err)
		}
		o.Dir = copied
		again, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		stat := again.Stat()
		if stat.NextOffset != want || len(stat.Losses) > 0 || len(stat.Recovery.Damage) > 0 {
			t.Fatalf("opened again at %d: %+v", until, stat)
		}
		if first, err := again.Append(t.Context(), &Record{Publisher: "p", Count: 1, Payload: [][]byte{{0x1a, 1, 7}}}); err != nil || first != want {
			t.Fatalf("written on at %d: %v", first, err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if report, err := Verify(t.Context(), vfs.OS{}, copied, nil); err != nil || !report.OK {
			t.Fatalf("after that: %+v, %v", report, err)
		}
	}
}
