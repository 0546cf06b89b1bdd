package spool

import (
	"bytes"
	"fmt"
	"time"
)

// recycleBytes is the size from which a segment with nothing left to send is
// replaced, so that a spool in daily use stays small.
const recycleBytes = 1 << 20

// Append adds encoded events behind all others. It returns when they are spooled
// in the sense of the package comment. Events of one call are written together;
// on an error none of the rest was, and they are counted as dropped, except for
// ErrTooLarge and ErrClosed, which change nothing.
func (s *Spool) Append(events ...[]byte) error {
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
	return nil
}

// appendRun writes as many events as the open batch takes, and seals it when it
// is full. It reports how many it took. The caller holds mu.
func (s *Spool) appendRun(events [][]byte) (int, error) {
	if s.open.count > 0 && s.open.bytes+len(events[0]) > s.o.Bytes {
		s.seal()
	}
	run, size := s.fitting(events)
	buf := s.buf[:0]
	for _, e := range events[:run] {
		buf = appendFrame(buf, frameEvent, e)
	}
	s.keep(buf)
	if err := s.makeRoom(int64(len(buf)) + frameBytes + sealBytes + headerBytes); err != nil {
		s.stats.DroppedFull += uint64(len(events))
		return 0, err
	}
	if err := s.payOwed(); err != nil {
		return 0, s.writeFailed(err, len(events))
	}
	if err := s.rotate(); err != nil {
		return 0, s.writeFailed(err, len(events))
	}
	seg := s.segments[len(s.segments)-1]
	if err := s.write(seg, buf); err != nil {
		return 0, s.writeFailed(err, len(events))
	}
	if s.open.count == 0 {
		s.open.off, s.open.since = seg.size, time.Now()
	}
	seg.size += int64(len(buf))
	s.open.count += run
	s.open.bytes += size
	s.stats.Appended += uint64(run)
	s.stats.Events += uint64(run)
	s.stats.LastError = nil
	if s.full() {
		s.seal()
	}
	return run, nil
}

// fitting says how many of events, at least one, the open batch can take, and
// their bytes.
func (s *Spool) fitting(events [][]byte) (run, size int) {
	for _, e := range events {
		if run > 0 && (s.open.count+run >= s.o.Events || s.open.bytes+size+len(e) > s.o.Bytes) {
			break
		}
		run++
		size += len(e)
	}
	return run, size
}

func (s *Spool) full() bool {
	return s.open.count >= s.o.Events || s.open.bytes >= s.o.Bytes-s.o.Bytes/16
}

// keep remembers the buffer for the next call unless it grew unusually large.
func (s *Spool) keep(buf []byte) {
	if cap(buf) <= 1<<20 {
		s.buf = buf
	} else {
		s.buf = nil
	}
}

// write puts b behind the last whole frame of seg. On an error the file is cut
// back, so that a later write does not follow half a frame.
func (s *Spool) write(seg *segment, b []byte) error {
	if _, err := seg.f.WriteAt(b, seg.size); err != nil {
		_ = seg.f.Truncate(seg.size) // the next write covers the rest anyway
		return fmt.Errorf("write spool: %w", err)
	}
	if !s.o.Fsync {
		return nil
	}
	if err := seg.f.Sync(); err != nil {
		return fmt.Errorf("sync spool: %w", err)
	}
	return nil
}

func (s *Spool) writeFailed(err error, lost int) error {
	s.stats.DroppedDisk += uint64(lost)
	s.stats.LastError = err
	return err
}

// rotate starts a new segment when the last one is large enough and holds no open
// batch. A last segment with nothing left to send goes at once.
func (s *Spool) rotate() error {
	last := len(s.segments) - 1
	if s.open.count > 0 || s.moving != movedNone {
		return nil
	}
	spent := s.segments[last].waiting == 0 && s.segments[last].size >= recycleBytes
	if !spent && s.segments[last].size < s.o.segmentBytes() {
		return nil
	}
	if err := s.addSegment(); err != nil {
		return err
	}
	if s.segments[last].waiting == 0 {
		s.removeSegment(last)
	}
	return nil
}

// makeRoom keeps the spool within its size when n bytes are added, by the drop
// policy. The caller holds mu.
func (s *Spool) makeRoom(n int64) error {
	if s.moving != movedNone {
		return nil // what is moved goes where it came from
	}
	var total int64
	for _, seg := range s.segments {
		total += seg.size
	}
	for total+n > s.o.MaxBytes {
		if s.o.Policy == DropNewest || len(s.segments) < 2 {
			return ErrFull
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
	s.queue = s.queue[n:]
	s.given = max(0, s.given-n)
	s.removeSegment(0)
	s.settle()
}

// seal closes the open batch. When the seal cannot be written, as on a full disk,
// the batch is handed out all the same, because sending is what makes space, and
// the seal is written before the next event. After a crash in between, the next
// Open cannot know its number and uses another producer id, so that its events may
// arrive twice, but none is taken for a repeat of another. The caller holds mu;
// the batch is not empty.
func (s *Spool) seal() {
	seg := s.segments[len(s.segments)-1]
	b := batch{seg: seg, seq: s.nextSeq, off: s.open.off, end: seg.size, count: s.open.count, ours: true}
	mark := seal{seq: b.seq, off: uint32(b.off), count: uint32(b.count)}
	s.keep(appendFrame(s.buf[:0], frameSeal, mark.encode()))
	if err := s.write(seg, s.buf); err != nil {
		s.stats.LastError, s.owed = err, bytes.Clone(s.buf)
	} else {
		seg.size += int64(len(s.buf))
	}
	s.nextSeq++
	seg.waiting++
	s.queue = append(s.queue, b)
	s.open = openBatch{}
}

// payOwed writes the seal of the last batch if that failed before. The caller
// holds mu.
func (s *Spool) payOwed() error {
	if s.owed == nil {
		return nil
	}
	seg := s.segments[len(s.segments)-1]
	if err := s.write(seg, s.owed); err != nil {
		return err
	}
	seg.size += int64(len(s.owed))
	s.owed = nil
	return nil
}
