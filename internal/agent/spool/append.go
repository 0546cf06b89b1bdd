package spool

import (
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/codec"
)

// Append adds encoded events behind all others. It returns when they are spooled
// in the sense of the package comment. Events of one call are written together;
// on an error none of the rest was, and they are counted as dropped, except for
// ErrTooLarge and ErrClosed, which change nothing.
func (s *Spool) Append(events ...[]byte) error { return s.append(events, false) }

// AppendUrgent is Append for events that must not wait for others: their batch, and
// what is in it already, is handed out as soon as Next is called.
func (s *Spool) AppendUrgent(events ...[]byte) error { return s.append(events, true) }

func (s *Spool) append(events [][]byte, urgent bool) error {
	for _, e := range events {
		if len(e) > MaxEventBytes {
			return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(e), MaxEventBytes)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	defer s.signal()
	for len(events) > 0 {
		n, err := s.appendRun(events)
		if err != nil {
			return err
		}
		events = events[n:]
	}
	s.open.urgent = s.open.count > 0 && (urgent || s.open.urgent)
	return nil
}

// appendRun writes as many events as the open batch takes, and seals it when it
// is full. It reports how many it took. The caller holds mu.
func (s *Spool) appendRun(events [][]byte) (int, error) {
	if s.open.count > 0 && len(s.open.fields)+fieldBytes(events[0]) > s.o.Bytes {
		s.seal()
	}
	run := s.fitting(events)
	buf := s.buf[:0]
	for i, e := range events[:run] {
		buf = appendFrame(buf, head{typ: frameEvent, seq: s.nextSeq, count: uint32(s.open.count + i)}, e)
	}
	s.keep(buf)
	if err := s.makeRoom(int64(len(buf)) + headBytes + headerBytes); err != nil {
		s.stats.DroppedFull += uint64(len(events))
		return 0, err
	}
	if err := s.payOwed(); err != nil {
		return 0, s.writeFailed(err, len(events))
	}
	if err := s.write(s.journal.f, buf, s.journal.size); err != nil {
		return 0, s.writeFailed(err, len(events))
	}
	s.journal.size += int64(len(buf))
	s.opened(events[:run], time.Now())
	s.stats.Appended += uint64(run)
	s.stats.Events += uint64(run)
	s.stats.LastError = s.cursor.save(cursorMark{s.cursor.mark.seq, s.held()})
	if s.full() {
		s.seal()
	}
	return run, nil
}

// opened adds events to the open batch.
func (s *Spool) opened(events [][]byte, now time.Time) {
	if s.open.count == 0 {
		s.open.since = now
	}
	s.open.last = now
	for _, e := range events {
		s.open.fields = codec.AppendEvent(s.open.fields, e)
	}
	s.open.count += len(events)
}

// held is how many events beyond the cursor are on disk. The caller holds mu.
func (s *Spool) held() int {
	n := int(s.stats.Events)
	for _, b := range s.queue[:min(len(s.queue), Window)] {
		if b.state == acked { // it stands behind one that is not, and is sent again after a crash
			n += b.count
		}
	}
	return n
}

// fitting says how many of events, at least one, the open batch can take.
func (s *Spool) fitting(events [][]byte) (run int) {
	size := len(s.open.fields)
	for _, e := range events {
		size += fieldBytes(e)
		if run > 0 && (s.open.count+run >= s.o.Events || size > s.o.Bytes) {
			break
		}
		run++
	}
	return run
}

func (s *Spool) full() bool {
	return s.open.count >= s.o.Events || len(s.open.fields) >= s.o.Bytes-s.o.Bytes/16
}

// keep remembers the buffer for the next call unless it grew unusually large.
func (s *Spool) keep(buf []byte) {
	if cap(buf) <= 1<<20 {
		s.buf = buf
	} else {
		s.buf = nil
	}
}

func (s *Spool) writeFailed(err error, lost int) error {
	s.stats.DroppedDisk += uint64(lost)
	s.stats.LastError = err
	return err
}

// makeRoom keeps the spool within its size when n bytes are added, by the drop
// policy. The caller holds mu.
func (s *Spool) makeRoom(n int64) error {
	total := s.size()
	limit := s.limit(total, n)
	for total+n > limit {
		if s.o.Policy == DropNewest {
			return ErrFull
		}
		if len(s.segments) == 1 {
			if s.segments[0].size <= headerBytes {
				return ErrFull
			}
			first := s.nextSeq
			if s.owed != nil {
				first = s.owed.seq
			}
			if err := s.addSegment(first); err != nil {
				return fmt.Errorf("%w: %w", ErrFull, err)
			}
			total += headerBytes
		}
		total -= s.segments[0].size
		s.dropOldest()
	}
	return nil
}

// dropOldest gives up the oldest segment. Its batches that are on their way count
// as dropped only when the connection ends before they are acknowledged.
func (s *Spool) dropOldest() {
	seg, n := s.segments[0], 0
	for n < len(s.queue) && s.queue[n].seg == seg {
		b := s.queue[n]
		switch b.state {
		case pending:
			s.stats.DroppedFull += uint64(b.count)
			s.stats.Events -= uint64(b.count)
		case inFlight:
			s.orphans[b.seq] = b.count
			s.stats.Events -= uint64(b.count)
		case acked:
		}
		n++
	}
	if n > 0 { // so that the next process does not take them for lost
		mark := cursorMark{seq: s.queue[n-1].seq}
		s.queue = s.queue[n:]
		mark.held = s.held()
		if err := s.cursor.save(mark); err != nil {
			s.stats.LastError = err
		}
	}
	s.given = max(0, s.given-n)
	s.removeSegment(0)
	s.settle()
}
