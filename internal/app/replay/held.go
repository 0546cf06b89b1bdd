package replay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/agent/uplink"
	"github.com/amoskys/amoskys/internal/codec"
)

// held is what waits for the hub's answer, in memory: a capture can be read again, so that
// nothing of it need be on disk. Numbers are those of the batches, whatever the hub says of
// them: one that it knows is of the same capture.
type held struct {
	queue <-chan *batch
	wake  chan struct{} // capacity 1; something changed

	mu      sync.Mutex // guards what follows
	pending []*batch   // in order, at most window
	over    bool       // the queue is closed
	fault   error      // of a batch that cannot be sent
}

var _ uplink.Batches = (*held)(nil)

func newHeld(queue <-chan *batch) *held {
	return &held{queue: queue, wake: make(chan struct{}, 1)}
}

// Next implements uplink.Batches. Once the queue is closed and all is answered, it is
// spool.ErrClosed.
func (h *held) Next(ctx context.Context) (spool.Batch, error) {
	for {
		b, wait, queue, over := h.ready(time.Now())
		switch {
		case b != nil:
			return b.packed(), nil
		case over:
			return spool.Batch{}, spool.ErrClosed
		}
		timer := time.NewTimer(wait)
		select {
		case next, open := <-queue:
			h.put(next, open)
		case <-h.wake:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return spool.Batch{}, fmt.Errorf("publish: %w", ctx.Err())
		}
		timer.Stop()
	}
}

// ready returns a batch that is to be sent now; else how long until one may be, the queue
// if there is room for one more, and whether it is all over.
func (h *held) ready(now time.Time) (b *batch, wait time.Duration, queue <-chan *batch, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait = time.Hour
	for _, b := range h.pending {
		if b.sent {
			continue
		}
		if left := b.due.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		b.sent = true
		return b, 0, nil, false
	}
	if !h.over && len(h.pending) < window {
		queue = h.queue
	}
	return nil, wait, queue, h.fault != nil || h.over && len(h.pending) == 0
}

func (h *held) put(b *batch, open bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !open {
		h.over = true
		return
	}
	h.pending = append(h.pending, b)
}

// find returns the batch with a number, or nil. Numbers begin anew after a thousand
// batches, and never so many wait.
func (h *held) find(sequence uint64) *batch {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.pending {
		if b.sequence == sequence {
			return b
		}
	}
	return nil
}

// change does something to the batch with a number, if there is one.
func (h *held) change(sequence uint64, do func(at int, b *batch)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for at, b := range h.pending {
		if b.sequence == sequence {
			do(at, b)
			select {
			case h.wake <- struct{}{}:
			default:
			}
			return
		}
	}
}

// Ack implements uplink.Batches.
func (h *held) Ack(sequence uint64) (events int) {
	h.change(sequence, func(at int, b *batch) {
		events = len(b.events)
		h.pending = append(h.pending[:at], h.pending[at+1:]...)
	})
	return events
}

// Retry implements uplink.Batches.
func (h *held) Retry(sequence uint64, pause time.Duration) {
	h.change(sequence, func(_ int, b *batch) { b.sent, b.due = false, time.Now().Add(pause) })
}

// Rewind implements uplink.Batches.
func (h *held) Rewind() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.pending {
		b.sent, b.due = false, time.Time{}
	}
}

// Discard implements uplink.Batches: a batch that cannot be sent ends the replay.
func (h *held) Discard(sequence uint64, cause error) {
	h.change(sequence, func(int, *batch) { h.fault = fmt.Errorf("send batch %d: %w", sequence, cause) })
}

// Holds implements uplink.Batches.
func (h *held) Holds(sequence uint64) bool { return h.find(sequence) != nil }

// FirstTry implements uplink.Batches: what the hub has is of the same capture, published
// before.
func (h *held) FirstTry(uint64) bool { return false }

// Renew implements uplink.Batches: a capture's numbers are its own.
func (h *held) Renew() error { return errors.ErrUnsupported }

// failed is why there is no more to send, or nil.
func (h *held) failed() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fault
}

// packed is the batch as a spool would have it.
func (b *batch) packed() spool.Batch {
	var run []byte
	for _, e := range b.events {
		run = codec.AppendEvent(run, e)
	}
	out := spool.Batch{Producer: b.producer, Sequence: b.sequence, Count: len(b.events), Codec: codec.None, Packed: run}
	for _, c := range codec.Known() {
		if c != codec.None {
			out.Codec, out.Packed = c, c.Pack(nil, run)
			break
		}
	}
	return out
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
