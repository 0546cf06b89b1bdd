package live

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// RingOptions bound a Ring.
type RingOptions struct {
	// MaxEvents is how many events are kept; 0 is 100,000.
	MaxEvents int
	// MaxBytes is how much memory they may take with their index; 0 is 32 MiB.
	MaxBytes int64
	// MaxRate is how many events a second are kept when they come faster than
	// anybody could read; the others are counted alone. 0 is 20,000. A burst of
	// MaxEvents is always kept.
	MaxRate float64
	// Recorder, when not nil, counts the events.
	Recorder *Recorder
	// Tail returns the log's next offset, so that Status knows whether the ring
	// is still being filled. Nil: it never is.
	Tail   func() uint64
	Now    func() time.Time
	Logger *slog.Logger
}

// Ring holds the most recent events. It is a reader.Consumer, safe for concurrent use; searches
// work on a snapshot and never hold up the feeding.
type Ring struct {
	o RingOptions

	mu     sync.RWMutex // guards what follows
	blocks []*block     // oldest first; the last is being filled
	seen   map[event.ID]struct{}
	events int
	bytes  int64 // of all blocks but the last
	next   uint64
	// duplicates and malformed events were not kept; skipped were counted alone.
	duplicates, malformed, skipped uint64
	lastSkip                       time.Time

	// What Add alone uses: tokens are the events that may still be kept now.
	tokens   float64
	refilled time.Time
	walker   event.Walker
}

// NewRing returns an empty ring.
func NewRing(o RingOptions) *Ring {
	if o.MaxEvents <= 0 {
		o.MaxEvents = 100_000
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 32 << 20
	}
	if o.MaxRate <= 0 {
		o.MaxRate = 20_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	return &Ring{o: o, seen: map[event.ID]struct{}{}, tokens: float64(o.MaxEvents), refilled: o.Now()}
}

// StartOffset is where to begin reading a log whose next offset is next, so
// that the ring is filled and nothing is read for nothing.
func (r *Ring) StartOffset(next uint64) uint64 {
	return next - min(next, uint64(r.o.MaxEvents))
}

// errNoBlocks says that the reader was not made for a ring.
var errNoBlocks = errors.New("a ring takes blocks: make its reader with Options.Blocks")

// Consume implements reader.Consumer, for a reader with Options.Blocks: events that came
// together stay together.
func (r *Ring) Consume(_ context.Context, b *reader.Batch) error {
	if len(b.Events) > 0 {
		return errNoBlocks
	}
	for i := range b.Blocks {
		r.addBlock(&b.Blocks[i])
	}
	return nil
}

// addBlock takes one block. The events of one that does not unpack are malformed.
func (r *Ring) addBlock(e *stream.Entry) {
	defer e.Release()
	first := max(e.First, e.From)
	end := e.First + uint64(e.Count)
	if _, err := e.Fields(); err != nil { // unpacked here, not under the lock
		r.mu.Lock()
		defer r.mu.Unlock()
		r.malformed += end - min(first, end)
		r.next = max(r.next, end)
		return
	}
	r.Add(Batch{First: first, Count: int(end - first), Publisher: e.Publisher, Received: e.Received, Events: e.Events()})
}

// Add takes one batch. Consume calls it; there must be one caller at a time.
func (r *Ring) Add(batch Batch) {
	keep := r.admit(batch.Count)
	var counts tally
	defer r.walker.Forget()
	r.mu.Lock()
	for offset, encoded := range batch.Events {
		envelope, err := r.walker.Inspect(encoded)
		if err != nil {
			r.malformed++
			continue
		}
		envelope.Normalise()
		if !keep {
			// One look speaks for the batch: its events have one sender, and at
			// this rate nobody counts them by hand.
			counts.add(&envelope, batch.Count)
			break
		}
		if _, dup := r.seen[envelope.ID]; dup {
			r.duplicates++
			continue
		}
		counts.add(&envelope, 1)
		r.append(offset, encoded, &envelope, batch)
	}
	r.next = max(r.next, batch.First+uint64(batch.Count))
	if !keep {
		r.skipped += uint64(batch.Count)
		r.lastSkip = r.o.Now()
	}
	r.mu.Unlock()
	if r.o.Recorder != nil {
		r.o.Recorder.count(batch.Received, counts.list)
	}
}

// admit says whether a batch of n events is kept.
func (r *Ring) admit(n int) bool {
	now := r.o.Now()
	r.tokens += now.Sub(r.refilled).Seconds() * r.o.MaxRate
	r.tokens = min(r.tokens, float64(r.o.MaxEvents))
	r.refilled = now
	if r.tokens <= 0 {
		return false
	}
	r.tokens -= float64(n)
	return true
}

// append stores one event. The caller holds mu.
func (r *Ring) append(offset uint64, encoded []byte, envelope *event.Envelope, batch Batch) {
	last := r.last()
	if last == nil || last.full(len(encoded)) {
		if last != nil {
			r.bytes += last.size()
		}
		last = newBlock()
		r.blocks = append(r.blocks, last)
	}
	last.append(offset, encoded, envelope, batch)
	r.seen[envelope.ID] = struct{}{}
	r.events++
	for len(r.blocks) > 1 && (r.events > r.o.MaxEvents || r.bytes+last.size() > r.o.MaxBytes) {
		r.evict()
	}
}

func (r *Ring) last() *block {
	if len(r.blocks) == 0 {
		return nil
	}
	return r.blocks[len(r.blocks)-1]
}

// evict drops the oldest block. The caller holds mu.
func (r *Ring) evict() {
	oldest := r.blocks[0]
	for i := range oldest.entries {
		delete(r.seen, oldest.entries[i].id)
	}
	r.events -= len(oldest.entries)
	r.bytes -= oldest.size()
	r.blocks[0] = nil
	r.blocks = r.blocks[1:]
}

// States of the store that the ring is.
const (
	// StateOK: it holds every recent event.
	StateOK = "ok"
	// StateLoading: it is still being filled from the log.
	StateLoading = "loading"
	// StateSampled: events came faster than MaxRate a moment ago, so some were
	// counted alone.
	StateSampled = "sampled"
)

// loadingLag is how far behind the log's end the ring counts as loading.
const loadingLag = 10_000

// Status says what the ring holds.
func (r *Ring) Status() *pb.StoreStatus {
	r.mu.RLock()
	defer r.mu.RUnlock()
	status := &pb.StoreStatus{
		State: StateOK, Events: uint64(r.events), Capacity: uint64(r.o.MaxEvents), NextOffset: r.next,
	}
	switch {
	case !r.lastSkip.IsZero() && r.o.Now().Sub(r.lastSkip) < 10*time.Second:
		status.State = StateSampled
	case r.o.Tail != nil && r.o.Tail() > r.next+loadingLag:
		status.State = StateLoading
	}
	if len(r.blocks) > 0 {
		status.OldestTime = timestamppb.New(time.Unix(0, r.blocks[0].entries[0].logged))
	}
	return status
}

// Stats are counters of a ring, for its metrics and tests.
type Stats struct {
	Events                         int
	Bytes                          int64
	Duplicates, Malformed, Skipped uint64
}

// Stats returns the counters.
func (r *Ring) Stats() Stats {
	r.mu.RLock()
	defer r.mu.RUnlock()
	bytes := r.bytes
	if last := r.last(); last != nil {
		bytes += last.size()
	}
	return Stats{Events: r.events, Bytes: bytes, Duplicates: r.duplicates, Malformed: r.malformed, Skipped: r.skipped}
}

// view returns what a search reads: blocks as they are now, oldest first, and the
// offset that they are complete to. Blocks only grow, behind what the view covers,
// so it needs no lock.
func (r *Ring) view() (views []blockView, next uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	views = make([]blockView, len(r.blocks))
	for i, b := range r.blocks {
		views[i] = blockView{
			data: b.data, entries: b.entries, names: b.names, minTime: b.minTime, maxTime: b.maxTime,
		}
	}
	return views, r.next
}
