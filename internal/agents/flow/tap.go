package flow

import (
	"errors"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

const (
	// quietEvery is how often a tap is quiet at least, in nanoseconds, however steadily
	// frames come: that is when time passes for flows, and when a stop is seen.
	quietEvery = int64(100 * time.Millisecond)
	// awaySleep is how often a tap without a source is quiet.
	awaySleep = 250 * time.Millisecond
)

// tap is the source of a lane for as long as the agent runs, while the real sources
// come and go with the interface. One goroutine reads it; another gives it sources.
type tap struct {
	// lost is told, in the goroutine that reads, that a source gave an error. The tap
	// has closed it then.
	lost func(s capture.Source, err error)
	// mail holds the source to go on with, if there is a new one, or nil to have none.
	mail chan capture.Source

	source capture.Source
	one    [1]packet.Frame // what Next reads into
	last   int64           // time of the last frame
	due    int64           // when the tap is quiet by force
	forced bool

	mu     sync.Mutex // guards what follows
	open   capture.Source
	closed capture.Stats // of sources that have ended
}

func newTap(lost func(capture.Source, error)) *tap {
	return &tap{lost: lost, mail: make(chan capture.Source, 1)}
}

// give makes s the source from now on; nil takes the source away. One goroutine calls
// it.
func (t *tap) give(s capture.Source) {
	select {
	case unread := <-t.mail:
		if unread != nil {
			_ = unread.Close()
		}
	default:
	}
	t.mail <- s
}

// Next implements capture.Source. It gives no error but ErrQuiet.
func (t *tap) Next(f *packet.Frame) error {
	_, err := t.Batch(t.one[:])
	if err == nil {
		*f = t.one[0]
	}
	return err
}

// Batch gives frames as the source does, for capture.Batch. It gives no error but
// ErrQuiet.
func (t *tap) Batch(frames []packet.Frame) (int, error) {
	if t.source == nil {
		select {
		case s := <-t.mail:
			t.take(s)
		case <-time.After(awaySleep):
		}
		return 0, t.quiet(false)
	}
	if t.last >= t.due || t.due-t.last > quietEvery {
		t.due = t.last + quietEvery
		return 0, t.quiet(true)
	}
	n, err := capture.Batch(t.source, frames)
	switch {
	case err == nil:
		t.last = frames[n-1].Time
		return n, nil
	case errors.Is(err, capture.ErrQuiet):
		return 0, t.quiet(false)
	default:
		s := t.source
		t.take(nil)
		t.lost(s, err)
		return 0, t.quiet(false)
	}
}

// quiet looks for mail. Forced says that frames may be waiting: time is then that of
// the last one.
func (t *tap) quiet(forced bool) error {
	t.forced = forced
	select {
	case s := <-t.mail:
		t.take(s)
	default:
	}
	return capture.ErrQuiet
}

// take closes the source and goes on with another, or with none.
func (t *tap) take(s capture.Source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open != nil {
		_ = t.open.Close()
		t.closed = sum(t.closed, t.open.Stats())
	}
	t.source, t.open = s, s
	t.last, t.due = 0, 1 // not due
}

// now is the clock of the lane.
func (t *tap) now() time.Time {
	if t.forced {
		return time.Unix(0, t.last)
	}
	return time.Now()
}

// Stats implements capture.Source: the counts of all sources so far.
func (t *tap) Stats() capture.Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		return t.closed
	}
	return sum(t.closed, t.open.Stats())
}

// Close implements capture.Source.
func (t *tap) Close() error {
	t.give(nil)
	t.take(<-t.mail)
	return nil
}

func sum(a, b capture.Stats) capture.Stats {
	return capture.Stats{
		Frames: a.Frames + b.Frames, Bytes: a.Bytes + b.Bytes, Dropped: a.Dropped + b.Dropped,
		Frozen: a.Frozen + b.Frozen, Offloaded: a.Offloaded + b.Offloaded, SegmentsKnown: a.SegmentsKnown || b.SegmentsKnown,
	}
}
