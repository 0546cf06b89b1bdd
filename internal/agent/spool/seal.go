package spool

import (
	"bytes"
	"fmt"
)

// owed is a batch whose frame could not be written. Its events are in the journal.
type owed struct {
	seq   uint64
	frame []byte
}

// seal packs the open batch and writes it behind the others. When that fails, as on a
// full disk, the batch is handed out all the same, because sending is what makes space,
// and its frame is written before the next event. After a crash in between its events
// are in the journal, under the same number and no others, so that it comes again as
// it was. The caller holds mu; the batch is not empty.
func (s *Spool) seal() {
	b := batch{seq: s.nextSeq, count: s.open.count, ours: true}
	frame := packFrame(s.buf[:0], b.seq, b.count, s.open.fields)
	s.keep(frame)
	s.stats.SealedBytes += uint64(len(s.open.fields))
	s.stats.PackedBytes += uint64(len(frame) - headBytes)
	s.nextSeq++
	s.open = openBatch{fields: s.open.fields[:0]}
	if cap(s.open.fields) > 1<<20 {
		s.open.fields = nil
	}
	s.rotate(b.seq)
	if err := s.place(&b, frame); err != nil {
		s.stats.LastError = err
		b.frame = bytes.Clone(frame)
		s.owed = &owed{b.seq, b.frame}
	}
	s.queue = append(s.queue, b)
}

// place writes a batch to the last segment and takes its events off the journal. The
// caller holds mu.
func (s *Spool) place(b *batch, frame []byte) error {
	seg := s.segments[len(s.segments)-1]
	if err := s.write(seg.f, frame, seg.size); err != nil {
		return err
	}
	b.seg, b.frame, b.off, b.end = seg, nil, seg.size, seg.size+int64(len(frame))
	seg.size = b.end
	seg.waiting++
	if err := s.journal.empty(); err != nil {
		s.stats.LastError = err
	}
	return nil
}

// payOwed writes the batch whose frame could not be written before. The caller holds
// mu.
func (s *Spool) payOwed() error {
	if s.owed == nil {
		return nil
	}
	b := &batch{} // acknowledged, and only the cursor does not say so
	i, waits := s.find(s.owed.seq)
	if waits {
		b = &s.queue[i]
	}
	if err := s.place(b, s.owed.frame); err != nil {
		return err
	}
	if !waits {
		b.seg.waiting--
	}
	s.owed = nil
	return nil
}

// write puts b behind the last whole frame of a file, which ends at off. On an error
// the file is cut back, so that a later write does not follow half a frame.
func (s *Spool) write(f file, b []byte, off int64) error {
	_, err := f.WriteAt(b, off)
	if err != nil {
		err = fmt.Errorf("write spool: %w", err)
	} else if s.o.Fsync {
		if err = f.Sync(); err != nil {
			err = fmt.Errorf("sync spool: %w", err)
		}
	}
	if err != nil {
		_ = f.Truncate(off) // the next write covers what is left at least in part
	}
	return err
}

// recycleBytes is the size from which a segment with nothing left to send is
// replaced, so that a spool in daily use stays small.
const recycleBytes = 1 << 20

// rotate starts a new segment when the last one is large enough. A last segment with
// nothing left to send goes at once. Without a new one the last grows further. first is
// the batch that comes next.
func (s *Spool) rotate(first uint64) {
	last := len(s.segments) - 1
	spent := s.segments[last].waiting == 0 && s.segments[last].size >= recycleBytes
	if !spent && s.segments[last].size < s.o.segmentBytes() {
		return
	}
	if err := s.addSegment(first); err != nil {
		s.stats.LastError = err
		return
	}
	if s.segments[last].waiting == 0 {
		s.removeSegment(last)
	}
}
