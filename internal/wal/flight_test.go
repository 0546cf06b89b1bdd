package wal

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// tapped tells when bytes have been written to a segment.
type tapped struct {
	vfs.FS

	wrote chan struct{}
}

func (f *tapped) Create(name string) (vfs.File, error) { return f.tap(f.FS.Create(name)) }
func (f *tapped) OpenRW(name string) (vfs.File, error) { return f.tap(f.FS.OpenRW(name)) }

func (f *tapped) tap(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &tappedFile{file, f.wrote}, nil
}

type tappedFile struct {
	vfs.File

	wrote chan struct{}
}

func (f *tappedFile) WriteVec(pieces [][]byte, off int64) (int64, error) {
	n, err := f.File.WriteVec(pieces, off)
	f.wrote <- struct{}{}
	return n, err
}

// duo is a log with two groups under way: one that is written and whose sync waits, and
// one that is written behind it meanwhile. Events are one a record.
type duo struct {
	t     *testing.T
	disk  *memfs.FS
	o     Options
	log   *Log
	wrote chan struct{}
	wg    sync.WaitGroup

	before Offset // durable when the first group was written

	held    atomic.Bool   // the next sync of a segment waits
	entered chan struct{} // it does
	release chan error    // and ends with this

	fails  atomic.Pointer[func(errorfs.Op) error] // what else fails
	failed atomic.Bool                            // something did

	mu      sync.Mutex
	ops     []errorfs.Op
	results []result
	acked   atomic.Int64
}

type result struct {
	seq     int
	first   Offset
	err     error
	crashed *memfs.FS // the disk if the power failed at this moment
}

func newDuo(t *testing.T) *duo {
	t.Helper()
	d := &duo{
		t: t, disk: memfs.New(), wrote: make(chan struct{}, 100),
		entered: make(chan struct{}), release: make(chan error),
	}
	d.o = options(errorfs.Wrap(&tapped{d.disk, d.wrote}, d.inject))
	d.o.aheadBytes = 1
	// It describes what was acknowledged, which is what the segment's offset says.
	d.o.Checkpoint = func() []byte { return fmt.Appendf(nil, "%d", d.acked.Load()) }
	d.log = openLog(t, d.o)
	for i := range 3 {
		d.submit(i)
		d.wg.Wait()
		<-d.wrote
	}
	d.before = 3
	return d
}

func (d *duo) inject(op errorfs.Op) error {
	d.mu.Lock()
	d.ops = append(d.ops, op)
	d.mu.Unlock()
	if op.Kind == errorfs.Datasync && segmentOp(op) && d.held.CompareAndSwap(true, false) {
		d.entered <- struct{}{}
		return <-d.release
	}
	if f := d.fails.Load(); f != nil {
		if err := (*f)(op); err != nil {
			d.failed.Store(true)
			return err
		}
	}
	return nil
}

// segmentOp reports whether an operation is of the file of a segment. (It may have been
// opened under its temporary name.)
func segmentOp(op errorfs.Op) bool {
	return strings.HasSuffix(strings.TrimSuffix(path.Base(op.Path), tempSuffix), segmentSuffix)
}

func (d *duo) submit(seqs ...int) {
	d.t.Helper()
	for _, seq := range seqs {
		d.wg.Add(1)
		err := d.log.Submit(batch(seq, 1, 300), func(first Offset, err error) {
			if err == nil {
				d.acked.Add(1)
			}
			d.mu.Lock()
			d.results = append(d.results, result{seq, first, err, d.disk.Crash(nil)})
			d.mu.Unlock()
			d.wg.Done()
		})
		if err != nil {
			d.t.Fatal(err)
		}
	}
}

// fly brings the two groups under way: records 3 and 4, and records 5 to 7 in pieces of
// one. What comes behind a piece that cannot be written waits in the queue.
func (d *duo) fly() {
	d.t.Helper()
	d.held.Store(true)
	// Submitted on the log's goroutine, both are there when it looks.
	if err := d.log.control(d.t.Context(), func() error { d.submit(3, 4); return nil }); err != nil {
		d.t.Fatal(err)
	}
	<-d.entered
	<-d.wrote
	for _, seq := range []int{5, 6, 7} {
		d.submit(seq)
		if !d.failed.Load() {
			<-d.wrote
		}
	}
}

// land ends the first group's sync and waits until all is answered.
func (d *duo) land(err error) {
	d.release <- err
	d.wg.Wait()
}

// fail makes operations fail with an error from now on.
func (d *duo) fail(cause error, which func(errorfs.Op) bool) {
	f := func(op errorfs.Op) error {
		if which(op) {
			return cause
		}
		return nil
	}
	d.fails.Store(&f)
}

// heal ends that.
func (d *duo) heal() { d.fails.Store(nil) }

// check looks at what was answered: in order, once, nothing acknowledged that was not
// durable at that moment. Then it goes on, crashes and opens again.
func (d *duo) check() {
	t := d.t
	t.Helper()
	d.heal()
	g := newLedger()
	for i, r := range d.results {
		if r.seq != i {
			t.Fatalf("record %d was answered in place of %d", r.seq, i)
		}
		if r.err != nil {
			continue
		}
		b := batch(r.seq, 1, 300)
		g.ack(r.first, b)
		if got := onDisk(t, r.crashed); got[r.first] != g.acked[r.first] {
			t.Fatalf("record %d was acknowledged at offset %d before it was durable: there is %q", r.seq, r.first, got[r.first])
		}
	}
	d.submit(len(d.results))
	d.wg.Wait()
	last := d.results[len(d.results)-1]
	if last.err != nil {
		t.Fatalf("the log does not go on: %v", last.err)
	}
	g.ack(last.first, batch(last.seq, 1, 300))
	if len(g.acked) != int(d.acked.Load()) {
		t.Fatalf("%d offsets for %d acknowledged records", len(g.acked), d.acked.Load())
	}
	if st := d.log.Stat(); st.State != StateOK || st.QueuedBytes != 0 || len(st.Losses) != 0 {
		t.Fatalf("%+v", st)
	}
	g.check(t, d.log)
	for name, disk := range map[string]*memfs.FS{"crashed": d.disk.Crash(nil), "killed": d.disk.Clone()} {
		if rep := verify(t, disk); !rep.OK {
			t.Fatalf("%s: %+v", name, rep)
		}
		o := d.o
		o.FS = disk
		checkpoint := Offset(0)
		o.Replay = func(e *Entry) error {
			if e.Kind == KindCheckpoint {
				_, _ = fmt.Sscan(string(e.Payload), &checkpoint)
				if e.First != checkpoint {
					t.Errorf("%s: the checkpoint at offset %d describes %d acknowledged records", name, e.First, checkpoint)
				}
			}
			return nil
		}
		g.check(t, openLog(t, o))
	}
	if err := d.log.Close(); err != nil {
		t.Fatal(err)
	}
	if rep := verify(t, d.disk); !rep.OK {
		t.Fatalf("%+v", rep)
	}
}

// onDisk reads a disk as it is after a crash.
func onDisk(t *testing.T, disk *memfs.FS) map[Offset]string {
	t.Helper()
	if rep := verify(t, disk); !rep.OK {
		t.Fatalf("after a crash: %+v", rep)
	}
	l, err := Open(t.Context(), options(disk))
	if err != nil {
		t.Fatal(err)
	}
	got, bad := readAll(t, l, 0)
	if err := l.Close(); err != nil || len(bad) > 0 {
		t.Fatal(err, bad)
	}
	return got
}

// outcome says what became of the records in flight: their offsets, or what was wrong.
func (d *duo) outcome() string {
	var out []string
	for _, r := range d.results[3:8] {
		word := fmt.Sprint(r.first)
		for name, sentinel := range map[string]error{"full": ErrDiskFull, "read-only": ErrReadOnly, "failed": ErrFailed} {
			if errors.Is(r.err, sentinel) {
				word = name
			}
		}
		if r.err != nil && r.first != 0 {
			d.t.Errorf("offset %d was given to what failed", r.first)
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

func is(kinds ...errorfs.Kind) func(errorfs.Op) bool {
	return func(op errorfs.Op) bool { return segmentOp(op) && slices.Contains(kinds, op.Kind) }
}

// once is of, for its nth match alone.
func once(n int64, of func(errorfs.Op) bool) func(errorfs.Op) bool {
	var seen atomic.Int64
	return func(op errorfs.Op) bool { return of(op) && seen.Add(1) == n }
}

func anyChange(op errorfs.Op) bool { return op.Kind.Changes() }

// TestTwoGroups draws the table of group: what becomes of two groups under way, whatever
// fails. A group behind a failed one is never acknowledged, but for one that was written
// again behind a durable place, which check sees at the moment of each acknowledgement.
func TestTwoGroups(t *testing.T) {
	const eio, enospc, erofs = syscall.EIO, syscall.ENOSPC, syscall.EROFS
	tests := map[string]struct {
		ahead   error // of writing the second group
		aheadOf func(errorfs.Op) bool
		take    func(d *duo)          // what else happens meanwhile
		sync    error                 // of the first group
		then    error                 // of what comes then
		thenOf  func(errorfs.Op) bool // and what that is
		want    string                // offsets, or why not
		segs    int
	}{
		"both are durable": {want: "3 4 5 6 7", segs: 1},
		"the first fails":  {sync: eio, want: "3 4 5 6 7", segs: 2},
		"the first fails, in the new segment too": {
			sync: eio, then: eio, thenOf: once(1, is(errorfs.Datasync)), want: "failed failed 3 4 5", segs: 2,
		},
		"the first fails, and the second then": {
			sync: eio, then: eio, thenOf: func() func(errorfs.Op) bool { // the syncs behind the next one
				var seen atomic.Int64
				return func(op errorfs.Op) bool {
					return segmentOp(op) && op.Kind == errorfs.Datasync && seen.Add(1) > 1
				}
			}(), want: "3 4 failed failed failed", segs: 3,
		},
		"the first fails, and no segment can be made": {
			sync: eio, then: eio, thenOf: is(errorfs.Create), want: "failed failed failed failed failed", segs: 1,
		},
		"the first fails, and no segment can be made once": {
			sync: eio, then: eio, thenOf: once(1, is(errorfs.Create)), want: "failed failed 3 4 5", segs: 2,
		},
		"the first fails, and nothing can be taken back": {
			sync: eio, then: eio, thenOf: is(errorfs.Truncate), want: "3 4 5 6 7", segs: 2,
		},
		"the first fails, and all syncs": {
			sync: eio, then: eio, thenOf: is(errorfs.Datasync), want: "failed failed failed failed failed", segs: 2,
		},
		"the first fails as the disk becomes read-only": {
			sync: erofs, then: erofs, thenOf: anyChange, want: "read-only read-only read-only read-only read-only", segs: 1,
		},
		"the first fails as the disk is full": {
			sync: enospc, then: enospc, thenOf: anyChange, want: "full full full full full", segs: 1,
		},
		"the first fails as the disk is full, once": {sync: enospc, want: "full full 3 4 5", segs: 2},
		"the second cannot be written":              {ahead: eio, aheadOf: once(1, is(errorfs.Write)), want: "3 4 5 6 7", segs: 2},
		"a piece of the second cannot be written": {
			ahead: eio, aheadOf: once(2, is(errorfs.Write)), want: "3 4 5 6 7", segs: 2,
		},
		"a piece of the second does not fit, once": {
			ahead: enospc, aheadOf: once(2, is(errorfs.Write)), want: "3 4 5 6 7", segs: 1,
		},
		"a piece of the second does not fit": {
			ahead: enospc, aheadOf: once(2, is(errorfs.Write)), then: enospc, thenOf: is(errorfs.Write), want: "3 4 full full full", segs: 1,
		},
		"the second cannot be written, and cannot be taken back": {
			ahead: enospc, aheadOf: once(2, is(errorfs.Write)), then: eio, thenOf: is(errorfs.Truncate), want: "3 4 5 6 7", segs: 2,
		},
		"the second cannot be written, and the first fails": {
			ahead: eio, aheadOf: once(2, is(errorfs.Write)), sync: eio, want: "3 4 5 6 7", segs: 2,
		},
		"the second cannot be written, nor any segment made": {
			ahead: eio, aheadOf: once(2, is(errorfs.Write)), then: eio, thenOf: is(errorfs.Create), want: "3 4 failed failed failed", segs: 1,
		},
		"the second fails": {
			then: eio, thenOf: once(1, is(errorfs.Datasync)), want: "3 4 5 6 7", segs: 2,
		},
		"the second fails, and all syncs": {
			then: eio, thenOf: is(errorfs.Datasync), want: "3 4 failed failed failed", segs: 2,
		},
		"the segment is taken away": {
			take: func(d *duo) { _ = d.disk.Remove(dir + "/" + segmentName(0)) }, want: "3 4 5 6 7", segs: 1,
		},
		"the segment is taken away, and the first fails": {
			take: func(d *duo) { _ = d.disk.Rename(dir+"/"+segmentName(0), "/"+segmentName(0)) }, sync: eio,
			want: "3 4 5 6 7", segs: 2,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := newDuo(t)
			if tt.ahead != nil {
				d.fail(tt.ahead, func(op errorfs.Op) bool { return !d.held.Load() && tt.aheadOf(op) })
			}
			d.fly()
			if tt.take != nil {
				tt.take(d)
			}
			d.heal()
			if tt.thenOf != nil {
				d.fail(tt.then, tt.thenOf)
			}
			d.land(tt.sync)
			if got := d.outcome(); got != tt.want {
				t.Errorf("became %q, want %q", got, tt.want)
			}
			if strings.Contains(name, "taken away, and") { // what is in no folder any more is lost
				return
			}
			if n := d.log.Stat().Segments; n != tt.segs {
				t.Errorf("%d segments, want %d", n, tt.segs)
			}
			d.check()
		})
	}
}

// TestTwoGroupsHeaders: a record written ahead says what was durable then, not where the
// group before it ends, or a torn one before it would pass for damage.
func TestTwoGroupsHeaders(t *testing.T) {
	d := newDuo(t)
	durable := uint64(d.log.view.Load().end)
	d.fly()
	if got := d.log.Stat(); got.NextOffset != d.before {
		t.Errorf("readers may see offsets up to %d, and %d are durable", got.NextOffset, d.before)
	}
	if head, _, err := readHead(d.disk, dir); err != nil || head.next > d.before {
		t.Errorf("HEAD says %d (%v)", head.next, err)
	}
	d.land(nil)
	ahead := 0
	if err := Scan(t.Context(), d.disk, dir, "", d.before, func(f Found) bool {
		if f.Entry.Kind == KindCheckpoint {
			return true
		}
		b, err := d.disk.Bytes(dir + "/" + f.Segment)
		var h header
		if err != nil || h.parse(b[f.Position:], d.log.view.Load().segs[0].salt) != "" {
			t.Fatal(err)
		}
		if h.synced != durable {
			t.Errorf("the record at offset %d was written when %d bytes were durable and says %d", h.first, durable, h.synced)
		}
		ahead++
		return true
	}); err != nil || ahead != 5 {
		t.Fatal(err, ahead)
	}
	d.check()
}

// TestWaitsForBothGroups: a barrier, a control function, a rotation, a tick and a close
// come when neither group is under way, and what was submitted behind them after them.
func TestWaitsForBothGroups(t *testing.T) {
	d := newDuo(t)
	d.fly()
	var events []string // on the log's goroutine
	say := func(what string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		events = append(events, fmt.Sprintf("%s after %d", what, len(d.results)))
	}
	if err := d.log.Barrier(func(err error) { say(fmt.Sprintf("barrier (%v)", err)) }); err != nil {
		t.Fatal(err)
	}
	if err := d.log.enqueue(&request{control: func() { say("control"); _ = d.log.rotateIfUsed() }}); err != nil {
		t.Fatal(err)
	}
	d.submit(8)
	closed := make(chan error)
	d.log.mu.Lock()
	d.log.closing = true // what Close does first, so that nothing comes behind
	d.log.mu.Unlock()
	close(d.log.stop)
	go func() { closed <- d.log.Close() }()
	d.land(nil)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if want := []string{"barrier (<nil>) after 8", "control after 8"}; !slices.Equal(events, want) {
		t.Errorf("happened: %q, want %q", events, want)
	}
	if last := d.results[8]; last.first != 8 || last.err != nil {
		t.Errorf("what was submitted before the close became %+v", last)
	}
	if rep := verify(t, d.disk); !rep.OK || rep.Next != 9 || rep.Segments != 2 {
		t.Errorf("%+v", rep)
	}
}
