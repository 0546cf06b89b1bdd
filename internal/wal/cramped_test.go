package wal

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// TestNoNewSegment: where no file can be made, as without inodes, the log goes on in
// the segment that it has, says so all the time, and ends it once it can.
func TestNoNewSegment(t *testing.T) {
	for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EACCES, syscall.EIO} {
		t.Run(cause.Error(), func(t *testing.T) {
			disk := memfs.New()
			var armed atomic.Bool
			o := options(errorfs.Wrap(disk, func(op errorfs.Op) error {
				if armed.Load() && op.Kind == errorfs.Create {
					return cause
				}
				return nil
			}))
			o.SegmentBytes = 10 << 10
			l := openLog(t, o)
			g := newLedger()
			add := func(n int) {
				t.Helper()
				for i := range n {
					r := batch(i, 1, 900)
					g.ack(mustAppend(t, l, r), r)
				}
			}
			add(5)
			armed.Store(true)
			for range 5 {
				add(10)
				st := l.Stat()
				if st.State != StateOK || st.Segments != 1 {
					t.Fatalf("%+v", st)
				}
				if err := l.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if st := l.Stat(); len(st.Notes) != 1 || !strings.Contains(st.Notes[0], cause.Error()) || strings.Contains(st.Notes[0], "inodes") != (cause == syscall.ENOSPC) {
				t.Fatalf("%+v", st.Notes)
			}
			g.check(t, l)
			armed.Store(false)
			if err := l.control(t.Context(), func() error { l.w.crampedAt = l.w.crampedAt.Add(-crampedEvery); l.tick(); return nil }); err != nil {
				t.Fatal(err)
			}
			if st := l.Stat(); len(st.Notes) != 0 || st.Segments != 2 {
				t.Fatalf("with inodes again: %+v", st)
			}
			add(5)
			g.check(t, l)
			if rep := verify(t, disk); !rep.OK {
				t.Fatalf("%+v", rep)
			}
		})
	}
}

// TestHeadThatCannotBeWrittenIsSaidOnce: it is tried each second, for as long as a
// read-only disk stays one.
func TestHeadThatCannotBeWrittenIsSaidOnce(t *testing.T) {
	var armed atomic.Bool
	o := options(errorfs.Wrap(memfs.New(), func(op errorfs.Op) error {
		if armed.Load() && strings.HasSuffix(op.Path, headName) {
			return syscall.EROFS
		}
		return nil
	}))
	var out bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	l := openLog(t, o)
	armed.Store(true)
	mustAppend(t, l, batch(1, 1, 100))
	if err := l.control(t.Context(), func() error {
		for range 5 {
			l.noteHead()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "cannot note how far"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &out)
	}
}

// TestCrampedSegmentGivenUp: the segment that grew because none could be begun is given
// up when the disk fails as well. Nothing says then that new segments are begun, until
// one is; and the one that is begun without events is not ended at once, which would
// break the hash chain.
func TestCrampedSegmentGivenUp(t *testing.T) {
	const again = "log begins new segments again"
	for name, heals := range map[string]func(l *Log) error{
		"by itself":   func(l *Log) error { l.tick(); return nil },
		"on rotation": func(l *Log) error { return l.rotateOrGrow() },
	} {
		t.Run(name, func(t *testing.T) {
			disk := memfs.New()
			var stuck, broken atomic.Bool
			o := options(errorfs.Wrap(disk, func(op errorfs.Op) error {
				if stuck.Load() && op.Kind == errorfs.Create || broken.Load() && op.Kind == errorfs.Datasync {
					return syscall.EIO
				}
				return nil
			}))
			var out bytes.Buffer
			o.Logger = slog.New(slog.NewTextHandler(&out, nil))
			o.SegmentBytes = 4 << 10
			l := openLog(t, o)
			g := newLedger()
			add := func(seq int) {
				t.Helper()
				r := batch(seq, 1, 900)
				g.ack(mustAppend(t, l, r), r)
			}
			stuck.Store(true)
			for i := range 10 {
				add(i)
			}
			if st := l.Stat(); len(st.Notes) != 1 || st.Segments != 1 {
				t.Fatalf("%+v", st)
			}
			broken.Store(true)
			if _, err := l.Append(t.Context(), batch(10, 1, 900)); err == nil {
				t.Fatal("acknowledged on a broken disk")
			}
			onLog := func(f func() error) error {
				return l.control(t.Context(), func() error {
					l.w.crampedAt = l.w.crampedAt.Add(-2 * crampedEvery)
					return f()
				})
			}
			if err := onLog(l.rotateOrGrow); err == nil {
				t.Fatal("a segment was begun on a broken disk")
			}
			if strings.Contains(out.String(), again) {
				t.Fatalf("no segment could be begun:\n%s", &out)
			}
			if n := len(l.Stat().Notes); n != 0 {
				t.Fatalf("no segment is there to go on in: %v", l.Stat().Notes)
			}
			stuck.Store(false)
			broken.Store(false)
			if err := onLog(func() error { return heals(l) }); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(out.String(), again); n != 1 || len(l.Stat().Notes) != 0 {
				t.Fatalf("said %d times, notes %v:\n%s", n, l.Stat().Notes, &out)
			}
			for range 2 {
				if err := onLog(func() error { l.tick(); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			add(11)
			g.check(t, l)
			if rep := verify(t, disk); !rep.OK {
				t.Fatalf("%+v", rep)
			}
		})
	}
}
