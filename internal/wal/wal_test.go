package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "/wal"

// quiet is a logger for tests that make the log complain on purpose.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// payload encodes events as the hub does.
func payload(events ...string) []byte {
	var b []byte
	for _, e := range events {
		b = append(b, 0x1a)
		b = binary.AppendUvarint(b, uint64(len(e)))
		b = append(b, e...)
	}
	return b
}

func record(publisher string, seq uint64, events ...string) *Record {
	return &Record{
		Publisher: publisher, ProducerID: [16]byte{1, 2, 3}, Sequence: seq,
		Received: time.Unix(1700000000, int64(seq)), Count: len(events), Payload: [][]byte{payload(events...)},
	}
}

// batch makes the seq-th record of a test, whose events say what they are.
func batch(seq, events, size int) *Record {
	var list []string
	for i := range events {
		e := fmt.Sprintf("batch %d event %d ", seq, i)
		e += strings.Repeat("x", max(0, size-len(e)))
		list = append(list, e)
	}
	return record("agent/a", uint64(seq), list...)
}

func options(fsys vfs.FS) Options {
	return Options{Dir: dir, FS: fsys, Logger: quiet(), SegmentBytes: 64 << 10}
}

func openLog(t *testing.T, o Options) *Log {
	t.Helper()
	l, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func mustAppend(t *testing.T, l *Log, r *Record) Offset {
	t.Helper()
	first, err := l.Append(t.Context(), r)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return first
}

// readAll returns the events from an offset to the end by offset, and the bad
// places met.
func readAll(t *testing.T, l *Log, from Offset) (map[Offset]string, []*CorruptionError) {
	t.Helper()
	r, err := l.NewReader(from)
	if err != nil {
		t.Fatalf("new reader: %v", err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Errorf("close reader: %v", err)
		}
	}()
	got := map[Offset]string{}
	var bad []*CorruptionError
	for {
		e, ok, err := r.TryNext()
		if lost, is := errors.AsType[*CorruptionError](err); is {
			bad = append(bad, lost)
			continue
		}
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if !ok {
			return got, bad
		}
		for off, ev := range e.Events() {
			if _, twice := got[off]; twice {
				t.Fatalf("offset %d was delivered twice", off)
			}
			got[off] = string(ev)
		}
	}
}

func verify(t *testing.T, fsys vfs.FS) Report {
	t.Helper()
	rep, err := Verify(t.Context(), fsys, dir, nil)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return rep
}

func TestAppendReadReopen(t *testing.T) { eachShape(t, 25, testAppendReadReopen) }

func testAppendReadReopen(t *testing.T, sh *shape) {
	for _, name := range []string{"memory", "disk"} {
		t.Run(name, func(t *testing.T) {
			o := sh.options(memfs.New())
			if name == "disk" {
				o.FS, o.Dir = vfs.OS{}, t.TempDir()+"/a/b"
			}
			o.SegmentBytes = 4 << 10
			want := map[Offset]string{}
			var next Offset
			for round := range 4 {
				l := openLog(t, o)
				for i := range 25 {
					r := sh.batch(round*25+i, 1+i%7, 10+97*i%3000)
					first := mustAppend(t, l, r)
					if first != next {
						t.Fatalf("first offset %d, want %d", first, next)
					}
					e := Entry{Entry: stream.Entry{First: first, Count: r.Count, Payload: r.Payload[0], Codec: r.Codec}}
					for off, ev := range e.Events() {
						want[off] = string(ev)
					}
					next += Offset(r.Count)
				}
				got, bad := readAll(t, l, 0)
				if len(bad) != 0 || len(got) != len(want) {
					t.Fatalf("read %d events, want %d; bad places %v", len(got), len(want), bad)
				}
				for off, ev := range want {
					if got[off] != ev {
						t.Fatalf("offset %d: got %q, want %q", off, got[off], ev)
					}
				}
				st := l.Stat()
				if st.State != StateOK || st.NextOffset != next || st.FirstOffset != 0 {
					t.Fatalf("stat %+v", st)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				rep, err := Verify(t.Context(), o.FS, o.Dir, nil)
				if err != nil || !rep.OK || rep.Events != next || rep.Segments < 2 {
					t.Fatalf("verify: %+v, %v", rep, err)
				}
			}
		})
	}
}

func TestReaderStartsInsideRecord(t *testing.T) { eachShape(t, 10000, testReaderStartsInsideRecord) }

func testReaderStartsInsideRecord(t *testing.T, sh *shape) {
	l := openLog(t, sh.options(memfs.New()))
	mustAppend(t, l, sh.record("a", 1, "zero", "one", "two"))
	mustAppend(t, l, sh.record("a", 2, "three"))
	got, _ := readAll(t, l, 2)
	if len(got) != 2 || got[2] != "two" || got[3] != "three" {
		t.Fatalf("got %v", got)
	}
	if _, err := l.NewReader(5); err == nil {
		t.Fatal("a reader behind the end was allowed")
	}
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli()) }
