package ingest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
)

// inFlight is how many batches are inserted at the same time where nobody says. While the
// engine takes one apart the next is filled; two at once were no faster with two
// processors.
const inFlight = 1

// flight is what was handed to the engine and has not come to an end.
type flight struct {
	free chan *batch // empty, to be filled
	full chan *batch // to be inserted

	mu      sync.Mutex // guards what follows
	flying  int
	err     error         // why what was handed over since clear may be lost
	changed chan struct{} // closed when flying or err changes
	down    chan struct{} // closed once err is there, until clear
	onFail  map[int]func()
	nextID  int
	// marks are of what flies, in the order of the log. The engine has every event
	// before inserted.
	marks    []mark
	inserted stream.Offset
}

// mark is where a batch that flies ends in the log.
type mark struct {
	rows   *batch
	next   stream.Offset // behind its last event
	landed bool
}

func newFlight(atOnce int) *flight {
	f := &flight{
		free: make(chan *batch, atOnce+1), full: make(chan *batch, atOnce+1), changed: make(chan struct{}),
		down: make(chan struct{}), onFail: map[int]func(){},
	}
	for range atOnce + 1 {
		f.free <- &batch{}
	}
	return f
}

func (f *flight) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

// fail says that what flies may be lost. The first reason counts.
func (f *flight) fail(err error) {
	f.change(func() {
		if f.err != nil {
			return
		}
		f.err = err
		close(f.down)
		for _, do := range f.onFail {
			do()
		}
	})
}

// whenFailed has do called once something has failed, at once if it has already. It must
// not wait. forget takes it back.
func (f *flight) whenFailed(do func()) (forget func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		do()
	}
	id := f.nextID
	f.nextID++
	f.onFail[id] = do
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.onFail, id)
	}
}

func (f *flight) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// clear begins anew at next, with nothing flying.
func (f *flight) clear(next stream.Offset) {
	f.change(func() {
		f.marks, f.inserted = nil, next
		if f.err != nil {
			f.err, f.down = nil, make(chan struct{})
		}
	})
}

// take returns an empty batch, waiting until one is free.
func (f *flight) take(ctx context.Context) (*batch, error) {
	f.mu.Lock()
	down := f.down
	f.mu.Unlock()
	select {
	case r := <-f.free:
		return r, nil
	case <-down:
		return nil, f.failure()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// hand has a batch inserted, which has the events before next that were not handed over
// before.
func (f *flight) hand(r *batch, next stream.Offset) {
	f.change(func() {
		f.flying++
		f.marks = append(f.marks, mark{rows: r, next: next})
	})
	f.full <- r // never waits: it holds all that there are
}

// landed gives a batch back.
func (f *flight) landed(r *batch) {
	r.Reset()
	f.change(func() {
		f.flying--
		for i := range f.marks {
			f.marks[i].landed = f.marks[i].landed || f.marks[i].rows == r
		}
		for len(f.marks) > 0 && f.marks[0].landed && f.err == nil {
			f.inserted, f.marks = f.marks[0].next, f.marks[1:]
		}
	})
	f.free <- r
}

// passed says that all before next was handed over, or was nothing to hand over.
func (f *flight) passed(next stream.Offset) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.marks); n > 0 {
		f.marks[n-1].next = next
	} else {
		f.inserted = next
	}
}

// before is the offset before which the engine was given everything; false while some of
// it may be lost.
func (f *flight) before() (next stream.Offset, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inserted, f.err == nil
}

// landedBefore returns when the engine was given everything before next, something
// failed, or ctx ends.
func (f *flight) landedBefore(ctx context.Context, next stream.Offset) {
	for {
		f.mu.Lock()
		done, changed := f.inserted >= next || f.err != nil, f.changed
		f.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// wait returns when nothing flies.
func (f *flight) wait(ctx context.Context) error {
	for {
		f.mu.Lock()
		n, changed := f.flying, f.changed
		f.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// insertAll inserts what is handed over until ctx ends.
func (in *Ingest) insertAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-in.flight.full:
			if in.flight.failure() == nil {
				refused, err := in.insert(ctx, r)
				in.refusals.note(refused)
				if err != nil {
					in.fail(ctx, err)
				}
				if isGivenUp(err) {
					in.noteGivenUp()
				}
			}
			in.flight.landed(r)
		}
	}
}

// insertRows inserts rows, however long the disk is full.
func (in *Ingest) insertRows(ctx context.Context, r *vlogs.Rows) error {
	began := in.o.now()
	for {
		if in.inDoubt() {
			return errNotOurTurn
		}
		err := in.o.insert(ctx, r)
		if err == nil {
			in.noteReadOnly(ctx, nil)
			in.metrics.inserted(r, in.o.now().Sub(began))
			return nil
		}
		if !errors.Is(err, vlogs.ErrReadOnly) {
			return err // which says nothing of the disk: an engine that ended may end for want of room
		}
		in.noteReadOnly(ctx, err)
		if err := in.o.wait(ctx, in.o.fullPause); err != nil {
			return err
		}
		if in.flight.failure() != nil {
			return err
		}
	}
}

// noteReadOnly says once that the disk is full, and once that there is room again.
func (in *Ingest) noteReadOnly(ctx context.Context, err error) {
	in.view.Lock()
	was := in.view.readOnly
	in.view.readOnly = err != nil
	in.view.Unlock()
	switch now := err != nil; {
	case now && !was:
		in.o.Logger.WarnContext(ctx, "the store takes no events until there is room on its disk", obs.KeyPath, in.o.Path, obs.KeyError, err)
	case !now && was:
		in.o.Logger.InfoContext(ctx, "the store has room on its disk again and goes on", obs.KeyPath, in.o.Path)
	}
}

// fail has the reader begin again behind the place.
func (in *Ingest) fail(ctx context.Context, err error) {
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		err = errEnding
	}
	in.flight.fail(err)
}

// errEnding says that the store ends.
var errEnding = errors.New("the store ends")

// wait is a pause that ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
