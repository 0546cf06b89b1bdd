package wal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// faulty runs a workload in which anything may fail, opening the log again
// when it cannot be opened, and returns the log, still open.
func faulty(t *testing.T, sh *shape, o Options, g *ledger) *Log {
	t.Helper()
	var l *Log
	for round := range 2 {
		var err error
		for range 3 {
			if l, err = Open(t.Context(), o); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("open failed three times: %v", err)
		}
		t.Cleanup(func() { _ = l.Close() })
		cur, _ := l.Cursor("sub", true)
		for i := range 4 {
			var wg sync.WaitGroup
			for j := range 2 {
				r := sh.batch(100*round+10*i+j, 1+j, 40+1500*(i%3))
				wg.Add(1)
				err := l.Submit(r, func(first Offset, err error) {
					if err == nil {
						g.ack(first, r)
					}
					wg.Done()
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			wg.Wait()
			if i == 1 {
				_ = l.Rotate(t.Context())
				if cur != nil {
					_ = cur.Commit(l.Stat().NextOffset)
				}
			}
		}
		if round == 0 {
			_ = l.Close()
		}
	}
	return l
}

// TestEveryOperationFailsOnce fails each file-system operation of a workload
// in turn. Nothing acknowledged may be lost, neither now nor in a power
// failure later, and the log must go on by itself.
func TestEveryOperationFailsOnce(t *testing.T) {
	eachShape(t, 100, func(t *testing.T, sh *shape) {
		t.Run("one group at a time", func(t *testing.T) { testEveryOperationFailsOnce(t, sh, 0) })
		t.Run("two groups", func(t *testing.T) { testEveryOperationFailsOnce(t, sh, 1) })
	})
}

func testEveryOperationFailsOnce(t *testing.T, sh *shape, ahead int64) {
	const limit = 8 << 10
	count := errorfs.Wrap(memfs.New(), func(errorfs.Op) error { return nil })
	o := sh.options(count)
	o.SegmentBytes, o.aheadBytes = limit, ahead
	o.Checkpoint = func() []byte { return []byte("state") }
	l := faulty(t, sh, o, newLedger())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	total := count.Ops()
	for n := int64(1); n <= total; n++ {
		inner := memfs.New()
		var failed atomic.Pointer[errorfs.Op]
		failed.Store(&errorfs.Op{})
		var over atomic.Bool
		fsys := errorfs.Wrap(inner, func(op errorfs.Op) error {
			if op.N == n && !over.Load() {
				failed.Store(&op)
				return syscall.EIO
			}
			return nil
		})
		o.FS = fsys
		g := newLedger()
		l := faulty(t, sh, o, g)
		over.Store(true)
		where := fmt.Sprintf("operation %d, %s %s", n, failed.Load().Kind, failed.Load().Path)
		r := sh.batch(5555, 2, 60)
		first, err := l.Append(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: the log did not recover: %v", where, err)
		}
		g.ack(first, r)
		if st := l.Stat(); st.State != StateOK || len(st.Recovery.Damage) != 0 {
			t.Fatalf("%s: %+v", where, st)
		}
		g.check(t, l)
		for _, disk := range []*memfs.FS{inner.Crash(nil), inner.Clone()} {
			rep := verify(t, disk)
			if !rep.OK {
				t.Fatalf("%s: verify after a crash: %+v", where, rep)
			}
			o2 := o
			o2.FS = disk
			l2, err := Open(t.Context(), o2)
			if err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			g.check(t, l2)
			if err := l2.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_ = l.Close()
		if rep := verify(t, inner); !rep.OK {
			t.Fatalf("%s: verify: %+v", where, rep)
		}
	}
	t.Logf("%d operations", total)
}

// TestDiskStopsWorking makes the disk refuse every change from an operation
// on, later lets it work again, and checks state, errors and reading.
func TestDiskStopsWorking(t *testing.T) { eachShape(t, 1000, testDiskStopsWorking) }

func testDiskStopsWorking(t *testing.T, sh *shape) {
	for _, tt := range []struct {
		cause error
		want  error
		state State
	}{
		{syscall.ENOSPC, ErrDiskFull, StateFull},
		{syscall.EDQUOT, ErrDiskFull, StateFull},
		{syscall.EROFS, ErrReadOnly, StateReadOnly},
		{syscall.EIO, ErrFailed, StateFailed},
	} {
		for skip := range 4 {
			t.Run(fmt.Sprintf("%v after %d", tt.cause, skip), func(t *testing.T) {
				inner := memfs.New()
				var broken atomic.Bool
				var after atomic.Int64
				fsys := errorfs.Wrap(inner, func(op errorfs.Op) error {
					if broken.Load() && op.Kind.Changes() && after.Add(-1) < 0 {
						return tt.cause
					}
					return nil
				})
				o := sh.options(fsys)
				l := openLog(t, o)
				g := newLedger()
				try := func(n int) error {
					r := sh.batch(n, 1, 200)
					first, err := l.Append(t.Context(), r)
					if err == nil {
						g.ack(first, r)
					}
					return err
				}
				if err := try(1); err != nil {
					t.Fatal(err)
				}
				after.Store(int64(skip))
				broken.Store(true)
				var err error
				for i := 2; i < 8 && err == nil; i++ {
					err = try(i)
				}
				if !errors.Is(err, tt.want) || !errors.Is(err, tt.cause) {
					t.Fatalf("append on a broken disk: %v", err)
				}
				st := l.Stat()
				if st.State != tt.state || st.Reason == "" {
					t.Fatalf("stat %+v", st)
				}
				g.check(t, l)
				if _, err := l.Cursor("new", false); !errors.Is(err, tt.want) {
					t.Fatalf("cursor on a broken disk: %v", err)
				}
				broken.Store(false)
				if skip%2 == 0 {
					if err := l.Maintain(t.Context()); err != nil {
						t.Fatal(err)
					}
					if st := l.Stat(); st.State != StateOK {
						t.Fatalf("the log did not notice by itself that the disk works again: %+v", st)
					}
				}
				if err := try(100); err != nil {
					t.Fatalf("append on a repaired disk: %v", err)
				}
				if st := l.Stat(); st.State != StateOK || st.Reason != "" {
					t.Fatalf("stat %+v", st)
				}
				g.check(t, l)
				crashed := openLog(t, sh.options(inner.Crash(nil)))
				g.check(t, crashed)
			})
		}
	}
}

// TestOpenOnBrokenDisk opens a log for reading where nothing can be written.
func TestOpenOnBrokenDisk(t *testing.T) { eachShape(t, 3, testOpenOnBrokenDisk) }

func testOpenOnBrokenDisk(t *testing.T, sh *shape) {
	disk, g := smallLog(t, sh, false)
	disk.SetReadOnly(true)
	l := openLog(t, sh.options(disk))
	if st := l.Stat(); st.State != StateReadOnly || st.NextOffset != g.next {
		t.Fatalf("stat %+v", st)
	}
	g.check(t, l)
	if _, err := l.Append(t.Context(), sh.batch(1, 1, 1)); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("append: %v", err)
	}
	disk.SetReadOnly(false)
	r := sh.batch(2, 1, 10)
	g.ack(mustAppend(t, l, r), r)
	g.check(t, l)
	if _, err := Open(t.Context(), sh.options(disk)); err == nil {
		t.Fatal("a second writer was let in")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if rep := verify(t, disk); !rep.OK {
		t.Fatalf("%+v", rep)
	}

	full := memfs.New()
	full.SetCapacity(100)
	l = openLog(t, sh.options(full))
	if st := l.Stat(); st.State != StateFull {
		t.Fatalf("stat %+v", st)
	}
	full.SetCapacity(1 << 20)
	mustAppend(t, l, sh.batch(1, 1, 10))
}

// TestMinFreeBytes checks that the log stops before the disk is full.
func TestMinFreeBytes(t *testing.T) {
	disk := memfs.New()
	disk.SetCapacity(400 << 10)
	o := options(disk)
	o.MinFreeBytes = 100 << 10
	l := openLog(t, o)
	g := newLedger()
	var err error
	for i := 0; err == nil; i++ {
		if i > 1000 {
			t.Fatal("the log filled the disk")
		}
		r := batch(i, 1, 4000)
		var first Offset
		if first, err = l.Append(t.Context(), r); err == nil {
			g.ack(first, r)
		}
	}
	if !errors.Is(err, ErrDiskFull) {
		t.Fatal(err)
	}
	if free, _ := disk.FreeBytes(dir); free < 90<<10 {
		t.Fatalf("%d bytes are left", free)
	}
	if len(g.acked) < 50 {
		t.Fatalf("only %d events fit", len(g.acked))
	}
	// A record that still fits does not make the log well.
	small := batch(0, 1, 10)
	g.ack(mustAppend(t, l, small), small)
	if st := l.Stat(); st.State != StateFull || st.Reason == "" {
		t.Fatalf("after a small record %+v", st)
	}
	g.check(t, l)
	disk.SetCapacity(800 << 10)
	r := batch(0, 1, 4000)
	g.ack(mustAppend(t, l, r), r)
	if st := l.Stat(); st.State != StateOK || st.Reason != "" {
		t.Fatalf("with space again %+v", st)
	}
	g.check(t, l)
}

// TestBusy bounds what waits for the disk.
func TestBusy(t *testing.T) {
	blocked, entered := make(chan struct{}), make(chan struct{})
	var armed atomic.Bool
	fsys := errorfs.Wrap(memfs.New(), func(op errorfs.Op) error {
		if op.Kind == errorfs.Datasync && armed.CompareAndSwap(true, false) {
			close(entered)
			<-blocked
		}
		return nil
	})
	o := options(fsys)
	o.QueueBytes = 10 << 10
	l := openLog(t, o)
	armed.Store(true)
	var wg sync.WaitGroup
	submit := func(i int) error {
		wg.Add(1)
		err := l.Submit(batch(i, 1, 1000), func(_ Offset, err error) {
			if err != nil {
				t.Error(err)
			}
			wg.Done()
		})
		if err != nil {
			wg.Done()
		}
		return err
	}
	if err := submit(0); err != nil {
		t.Fatal(err)
	}
	<-entered
	n := 0
	var err error
	for ; n < 100 && err == nil; n++ {
		err = submit(n)
	}
	if !errors.Is(err, ErrBusy) || n < 8 || n > 10 {
		t.Fatalf("after %d records: %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, batch(1, 1, 1)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(blocked)
	wg.Wait()
	if st := l.Stat(); st.QueuedBytes != 0 {
		t.Fatalf("stat %+v", st)
	}
}
