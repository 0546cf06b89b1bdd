package reader

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/stream"
)

// begin notes where reading begins, the first time.
func (r *Reader) begin(from stream.Offset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun {
		r.begun, r.next, r.durable, r.committed = true, from, from, from
	}
	r.reading.Next, r.reading.Seen = r.next, r.o.Now()
}

// startsOver reports whether a batch is of another log than those before it: one that
// ends before the place which the reader has got to. Its offsets begin anew, and so
// does the reader, which would take its events for known ones otherwise.
func (r *Reader) startsOver(b *Batch) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.Tail == 0 || b.Tail >= r.next {
		return false
	}
	r.next, r.given, r.durable, r.committed = 0, 0, 0, 0
	r.reading.Next, r.reading.Tail = 0, b.Tail
	return true
}

// position returns where the reader goes on.
func (r *Reader) position() stream.Offset {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// moved notes that a batch has been given to the consumer.
func (r *Reader) moved(b *Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Where nothing is left with the consumer, what did not concern it is durable too.
	settled := !r.o.Explicit || r.durable == r.next && b.empty()
	r.next = b.Next
	r.reading.Next, r.reading.Tail, r.reading.Seen = b.Next, max(b.Tail, b.Next), r.o.Now()
	if settled {
		r.settle(b.Next)
	}
}

// Durable says that everything before an offset is durable with the consumer. A
// consumer calls it with Options.Explicit, from any goroutine, with the Next of a batch
// or an offset in it.
func (r *Reader) Durable(before stream.Offset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle(min(before, r.given))
}

// settle moves durable on. The caller holds mu.
func (r *Reader) settle(before stream.Offset) {
	r.durable = max(r.durable, before)
	if r.o.Cursor != "" && r.durable-r.committed >= r.o.CommitEvents {
		select {
		case r.kick <- struct{}{}:
		default: // one is due already
		}
	}
}

// commitUntil commits now and then until ctx ends.
func (r *Reader) commitUntil(ctx context.Context) {
	tick := time.NewTicker(r.o.CommitInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.kick:
		}
		r.commit(ctx)
	}
}

// commit makes durable in the log what is durable with the consumer.
func (r *Reader) commit(ctx context.Context) {
	r.mu.Lock()
	at, due := r.durable, r.begun && r.durable > r.committed
	r.mu.Unlock()
	if !due {
		return
	}
	err := r.o.Source.Commit(ctx, r.o.Cursor, at)
	if ctx.Err() != nil && err != nil {
		return // the last one follows
	}
	if err != nil {
		r.metrics.commitErrors.Inc()
		if r.fails(failsCommit, err) {
			r.o.Logger.WarnContext(ctx, "reader cannot commit its cursor", obs.KeyReader, r.o.Name,
				obs.KeyCursor, r.o.Cursor, obs.KeyOffset, at, obs.KeyError, err)
		}
		return
	}
	r.metrics.commits.Inc()
	r.fails(failsCommit, nil)
	r.mu.Lock()
	r.committed = max(r.committed, at)
	r.mu.Unlock()
}

// lastCommitTime bounds the commit at the end.
const lastCommitTime = 5 * time.Second

func (r *Reader) lastCommit(ctx context.Context) {
	if r.o.Cursor == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCommitTime)
	defer cancel()
	r.commit(ctx)
}

// fails notes why something does not work, or that it does again. It reports whether
// that is news.
func (r *Reader) fails(what string, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, was := r.failing[what]
	if err == nil && !was {
		return false // as for each batch
	}
	if err == nil {
		delete(r.failing, what)
	} else {
		r.failing[what] = err.Error()
	}
	r.reading.Trouble = strings.Join(slices.Sorted(maps.Values(r.failing)), "; ")
	return was != (err != nil)
}

// Status is how a reader does.
type Status struct {
	Name   string
	Offset stream.Offset // committed, or where it goes on where there is no cursor
	Hold   bool
	Lag    uint64
	State  stream.ReaderState
	Reason string    // why it is not ok
	Seen   time.Time // when it last read
}

// Status returns how the reader does.
func (r *Reader) Status() Status {
	tail := r.o.Source.Tail()
	r.mu.Lock()
	defer r.mu.Unlock()
	reading := r.reading
	reading.Tail = max(reading.Tail, tail)
	s := Status{Name: r.o.Name, Offset: r.next, Hold: r.o.Hold && r.o.Cursor != "", Lag: reading.Lag(), Seen: reading.Seen}
	if r.o.Cursor != "" {
		s.Name, s.Offset = r.o.Cursor, r.committed
	}
	s.State, s.Reason = reading.Judge()
	if r.stopped {
		s.State, s.Reason = stream.ReaderStopped, "the reader has ended"
	}
	return s
}

func (r *Reader) lag() float64 { return float64(r.Status().Lag) }
