package live

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// Feed is a reader.Consumer that counts events in a Recorder. There must be one caller
// at a time.
type Feed struct {
	recorder  *Recorder
	malformed atomic.Uint64

	// tokens are the events that may still be looked at one by one now.
	tokens   float64
	refilled time.Time
	walker   event.Walker
}

// Bounds on events that are looked at one by one. When they come faster than anybody
// could count by hand, one of a batch speaks for it.
const (
	burst   = 100_000
	maxRate = 20_000 // events a second
)

// NewFeed returns a feed of a recorder.
func NewFeed(r *Recorder) *Feed { return &Feed{recorder: r, tokens: burst, refilled: r.o.Now()} }

// StartOffset is where to begin reading a log whose next offset is next, so that series
// go back a little and nothing is read for nothing.
func StartOffset(next uint64) uint64 { return next - min(next, burst) }

// Malformed is how many events could not be counted.
func (f *Feed) Malformed() uint64 { return f.malformed.Load() }

// errNoBlocks says that the reader was not made for a feed.
var errNoBlocks = errors.New("a feed takes blocks: make its reader with Options.Blocks")

// Consume implements reader.Consumer, for a reader with Options.Blocks: events that came
// together stay together.
func (f *Feed) Consume(_ context.Context, b *reader.Batch) error {
	if len(b.Events) > 0 {
		return errNoBlocks
	}
	for i := range b.Blocks {
		f.countBlock(&b.Blocks[i])
	}
	return nil
}

// countBlock counts one block. The events of one that does not unpack are malformed.
func (f *Feed) countBlock(e *stream.Entry) {
	defer e.Release()
	n := int(e.First + uint64(e.Count) - max(e.First, min(e.From, e.First+uint64(e.Count))))
	if _, err := e.Fields(); err != nil {
		f.malformed.Add(uint64(n))
		return
	}
	f.Count(e.Received, n, e.Events())
}

// Count counts n events that came together. Consume calls it.
func (f *Feed) Count(received time.Time, n int, events iter.Seq2[uint64, []byte]) {
	each := f.admit(n)
	var counts tally
	defer f.walker.Forget()
	for _, encoded := range events {
		envelope, err := f.walker.Inspect(encoded)
		if err != nil {
			f.malformed.Add(1)
			continue
		}
		envelope.Normalise()
		if !each {
			// One look speaks for the batch: its events have one sender.
			counts.add(&envelope, n)
			break
		}
		counts.add(&envelope, 1)
	}
	f.recorder.count(received, counts.list)
}

// admit says whether a batch of n events is looked at one by one.
func (f *Feed) admit(n int) bool {
	now := f.recorder.o.Now()
	f.tokens = min(f.tokens+now.Sub(f.refilled).Seconds()*maxRate, burst)
	f.refilled = now
	if f.tokens <= 0 {
		return false
	}
	f.tokens -= float64(n)
	return true
}
