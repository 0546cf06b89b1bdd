package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Next returns the next batch to send and blocks until there is one: the open
// batch once its oldest event has waited for Options.Age or none has come for
// Options.Quiet, sooner when it is full or has an urgent event.
// It also blocks while the window is used up and while Retry asked for a pause.
// It fails when ctx ends or the spool is closed.
func (s *Spool) Next(ctx context.Context) (Batch, error) {
	for {
		b, producer, wait, err := s.take(time.Now())
		if err != nil {
			return Batch{}, err
		}
		if b == nil {
			if err := s.await(ctx, wait); err != nil {
				return Batch{}, err
			}
			continue
		}
		out, err := readBatch(b)
		if err == nil {
			out.Producer = producer
			return out, nil
		}
		s.giveUp(b.seq, err)
	}
}

// take picks the next batch and marks it as on its way. Without one it says how
// long until it is worth looking again; 0 means until a signal.
func (s *Spool) take(now time.Time) (b *batch, producer [16]byte, wait time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, producer, 0, ErrClosed
	}
	if now.Before(s.hold) {
		return nil, producer, s.hold.Sub(now), nil
	}
	for s.given < len(s.queue) && s.queue[s.given].state != pending {
		s.given++
	}
	if s.given == len(s.queue) && s.open.count > 0 {
		if due := s.open.due(&s.o); !s.flushing && now.Before(due) {
			return nil, producer, due.Sub(now), nil
		}
		s.seal()
	}
	if s.given == len(s.queue) || s.queue[s.given].seq-s.queue[0].seq >= Window {
		return nil, producer, 0, nil
	}
	b = &s.queue[s.given]
	b.state = inFlight
	b.tries++
	s.given++
	taken := *b
	if taken.seg == nil {
		return &taken, s.producer, 0, nil
	}
	return &taken, taken.seg.producer, 0, nil
}

func (s *Spool) await(ctx context.Context, wait time.Duration) error {
	var timer <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.wake:
	case <-timer:
	}
	return nil
}

// readBatch reads a sealed batch back, usually from the page cache.
func readBatch(b *batch) (Batch, error) {
	frame := b.frame
	if frame == nil {
		frame = make([]byte, b.end-b.off)
		if _, err := b.seg.f.ReadAt(frame, b.off); err != nil {
			return Batch{}, fmt.Errorf("read batch %d: %w", b.seq, err)
		}
	}
	h, ok := decodeHead(frame)
	payload := frame[headBytes:]
	if !ok || h.seq != b.seq || h.size != len(payload) || h.sum != checksum(payload) {
		return Batch{}, fmt.Errorf("read batch %d: %w", b.seq, errDamaged)
	}
	out := Batch{Sequence: b.seq, Count: b.count, Codec: h.codec, Packed: payload}
	if !b.found {
		return out, nil
	}
	_, err := out.Events() // the hub would end the connection over it
	return out, err
}

// errDamaged says that a frame is not what was written.
var errDamaged = errors.New("it is damaged")

// Discard gives up a batch that was handed out and cannot be sent, because of cause;
// its events count as damaged.
func (s *Spool) Discard(seq uint64, cause error) { s.giveUp(seq, cause) }

// giveUp drops a batch that cannot be read. One whose segment was dropped in the
// meantime is counted there.
func (s *Spool) giveUp(seq uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.find(seq)
	if !ok || s.queue[i].state == acked {
		return
	}
	b := &s.queue[i]
	if !errors.Is(err, os.ErrClosed) {
		s.log.Warn("spooled batch is damaged", "sequence", seq, "count", b.count, "error", err)
	}
	s.stats.DamagedEvents += uint64(b.count)
	s.stats.Events -= uint64(b.count)
	b.state = acked
	s.advance()
}

// find locates a batch by sequence. The caller holds mu.
func (s *Spool) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(s.queue, seq, func(b batch, seq uint64) int {
		switch {
		case b.seq < seq:
			return -1
		case b.seq > seq:
			return 1
		}
		return 0
	})
}

// Ack forgets a batch that the hub has made durable, and returns how many events
// it held. An unknown sequence is ignored.
func (s *Spool) Ack(seq uint64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0
	}
	i, ok := s.find(seq)
	if !ok {
		n := s.orphans[seq]
		delete(s.orphans, seq)
		s.stats.Acked += uint64(n)
		return n
	}
	if s.queue[i].state == acked {
		return 0
	}
	n := s.queue[i].count
	s.queue[i].state = acked
	s.stats.Acked += uint64(n)
	s.stats.Events -= uint64(n)
	s.advance()
	return n
}

// advance removes acknowledged batches from the front, and segments that hold
// nothing else. The caller holds mu.
func (s *Spool) advance() {
	n := 0
	for n < len(s.queue) && s.queue[n].state == acked {
		if seg := s.queue[n].seg; seg != nil {
			seg.waiting--
		}
		n++
	}
	if n == 0 {
		return
	}
	// The cursor is written before a segment goes, so that no number can be
	// given out twice.
	mark := cursorMark{seq: s.queue[n-1].seq}
	s.queue = s.queue[n:]
	mark.held = s.held()
	switch err := s.cursor.save(mark); {
	case err != nil:
		s.stats.LastError = err
	case s.owed != nil && s.owed.seq <= mark.seq: // no process needs its frame any more
		s.owed = nil
		if err := s.journal.empty(); err != nil {
			s.stats.LastError = err
		}
	}
	s.given = max(0, s.given-n)
	for len(s.segments) > 1 && s.segments[0].waiting == 0 {
		s.removeSegment(0)
	}
	s.signal()
	s.settle()
}

// Retry puts a batch back that the hub did not store, and pauses Next.
func (s *Spool) Retry(seq uint64, pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := time.Now().Add(pause); until.After(s.hold) {
		s.hold = until
	}
	if i, ok := s.find(seq); ok && s.queue[i].state == inFlight {
		s.queue[i].state = pending
		s.given = min(s.given, i)
	}
	s.signal()
}

// Holds reports whether a batch is still to be acknowledged.
func (s *Spool) Holds(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.find(seq)
	return ok
}

// Rewind makes Next start again with the oldest batch that is not acknowledged,
// after a connection was lost.
func (s *Spool) Rewind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.queue[:s.given] {
		if s.queue[i].state == inFlight {
			s.queue[i].state = pending
		}
	}
	for seq, n := range s.orphans {
		s.stats.DroppedFull += uint64(n)
		delete(s.orphans, seq)
	}
	s.given, s.hold = 0, time.Time{}
	s.signal()
}
