package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/amoskys/amoskys/internal/vfs"
)

// Reader reads events in the order of offsets and follows the durable end. It
// is for one goroutine. Between calls that find nothing it shares an open file
// with the other readers of its segment and holds no buffer. What it does where it stands, next being the offset it wants:
//
//	it meets                                        it
//	a record that holds next                        returns it, moves behind it
//	a checkpoint, a record below next, or one at or  passes it
//	  above the first offset of the next segment
//	a record that reaches into the next segment     reports the loss up to there, goes on there
//	a record above next                             reports the loss up to it, returns it at the
//	                                                next call
//	a bad record with a believable header, or one   reports what it held from next on, passes it
//	  that only a newer build can read
//	a bad place, a record above next behind it      reports the loss up to that record
//	a bad place, a record at or below next behind   passes it
//	a bad place, nothing behind it                  reports it without an end, and is silent about
//	                                                the hole until a record follows
//	the end of a segment, next is not reached       reports the loss up to the next segment
//	the end of the last segment                     waits (Next) or says so (TryNext)
//	segments that are no longer there               notes a Gap, goes on at the oldest
//	what the disk cannot read                       returns the error and stays; Skip passes it
type Reader struct {
	log  *Log
	next Offset // next offset to deliver
	seg  *segment
	file vfs.File
	scan scanner

	entry  Entry
	gaps   []Gap
	silent bool // the hole at next has been reported
	closed bool
}

// Gap is a range of offsets that a reader passed over because their segments
// had been removed, by retention or by hand.
type Gap struct {
	From, To Offset // To is not part of it
}

// maxGaps bounds what Gaps keeps; later ones are merged into the last.
const maxGaps = 64

// NewReader returns a reader whose first event is the one at from. When that
// has been removed already, it starts at the oldest one kept and Gaps tells;
// from may lie at the durable end, not behind it.
func (l *Log) NewReader(from Offset) (*Reader, error) {
	v := l.view.Load()
	if v.closed {
		return nil, ErrClosed
	}
	if from > v.next {
		return nil, fmt.Errorf("read from offset %d: the log ends at %d", from, v.next)
	}
	r := &Reader{log: l, next: from, scan: scanner{pool: &l.buffers}}
	r.skipRemoved(v)
	return r, nil
}

// Offset returns the offset of the next event to be delivered.
func (r *Reader) Offset() Offset { return r.next }

// Gaps returns the ranges passed over since the last call.
func (r *Reader) Gaps() []Gap {
	g := r.gaps
	r.gaps = nil
	return g
}

// Close releases the reader. Next must not be running.
func (r *Reader) Close() error {
	r.closed = true
	r.rest()
	return r.leave()
}

// rest gives all buffers back.
func (r *Reader) rest() {
	r.scan.release()
	r.entry.Release()
}

// Next returns the next record of events, waiting for one at the durable end
// until ctx ends. It returns a *CorruptionError once for each bad place and
// then goes on behind it, and ErrClosed at the end of a closed log.
func (r *Reader) Next(ctx context.Context) (*Entry, error) {
	for {
		v := r.log.view.Load()
		e, ok, err := r.read(v)
		if ok || err != nil {
			return e, err
		}
		if v.closed {
			return nil, ErrClosed
		}
		r.rest()
		select {
		case <-v.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// TryNext is Next without waiting: ok is false when there is nothing to read
// yet.
func (r *Reader) TryNext() (e *Entry, ok bool, err error) {
	v := r.log.view.Load()
	e, ok, err = r.read(v)
	if !ok && err == nil {
		r.rest()
		if v.closed {
			err = ErrClosed
		}
	}
	return e, ok, err
}

// read returns the next record within the view, and puts a bad place on record.
func (r *Reader) read(v *view) (*Entry, bool, error) {
	e, ok, err := r.find(v)
	if err != nil {
		r.note(err)
	}
	return e, ok, err
}

func (r *Reader) find(v *view) (*Entry, bool, error) {
	if r.closed {
		return nil, false, ErrClosed
	}
	for {
		if r.seg == nil {
			if entered, err := r.enter(v); !entered || err != nil {
				return nil, false, err
			}
		}
		bounds := r.bounds(v)
		r.scan.limit = bounds.limit
		if r.scan.pos >= bounds.limit || bounds.sealed && r.next >= bounds.next {
			if !bounds.sealed {
				return nil, false, nil
			}
			if err := r.endSegment(&bounds); err != nil {
				return nil, false, err
			}
			continue
		}
		e, err := r.record(&bounds)
		if e != nil || err != nil {
			return e, e != nil, err
		}
	}
}

// bounds says how far the reader may go in its segment.
type bounds struct {
	limit  int64  // readable bytes
	sealed bool   // there is or was a segment behind this one
	next   Offset // where that starts; the largest offset when it is unknown
	known  bool   // next is known
}

func (r *Reader) bounds(v *view) bounds {
	i := v.find(r.seg.first)
	switch {
	case i < 0 || v.segs[i] != r.seg: // removed meanwhile, the file is still ours
		return bounds{limit: r.seg.end, sealed: true, next: ^Offset(0)}
	case i < len(v.segs)-1:
		return bounds{limit: r.seg.end, sealed: true, next: v.segs[i+1].first, known: true}
	}
	return bounds{limit: v.end, next: ^Offset(0)}
}

// skipRemoved moves a reader that stands below the oldest segment there.
func (r *Reader) skipRemoved(v *view) {
	if first := v.first(); r.next < first {
		r.gap(first)
	}
}

// gap notes that offsets up to to are passed over and moves there.
func (r *Reader) gap(to Offset) {
	if n := len(r.gaps); n > 0 && (n == maxGaps || r.gaps[n-1].To == r.next) {
		r.gaps[n-1].To = to
	} else {
		r.gaps = append(r.gaps, Gap{From: r.next, To: to})
	}
	r.next, r.silent = to, false
}

// enter opens the segment that holds the next offset. It reports false when
// there is none yet.
func (r *Reader) enter(v *view) (bool, error) {
	r.skipRemoved(v)
	i := v.find(r.next)
	if i < 0 {
		return false, nil
	}
	seg := v.segs[i]
	f, err := r.log.openForReading(seg)
	if err != nil {
		if now := r.log.view.Load(); vfs.IsNotExist(err) && (now.find(seg.first) < 0 || now.segs[now.find(seg.first)] != seg) {
			return false, nil // removed or replaced meanwhile: the newer view knows
		}
		return false, fmt.Errorf("open segment %s: %w", seg.name, err)
	}
	r.seg, r.file = seg, f
	r.scan.release()
	r.scan.file, r.scan.version, r.scan.salt, r.scan.first, r.scan.pos = f, seg.version, seg.salt, seg.first, seg.seek(r.next)
	return true, nil
}

func (r *Reader) leave() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.seg, r.file, r.scan.file = nil, nil, nil
	return err
}

// endSegment leaves a sealed segment. Offsets that it should have held and did
// not are reported.
func (r *Reader) endSegment(b *bounds) error {
	seg, pos := r.seg, r.scan.pos
	if err := r.leave(); err != nil {
		return fmt.Errorf("close segment %s: %w", seg.name, err)
	}
	if !b.known || r.next >= b.next {
		return nil
	}
	lost := &CorruptionError{Segment: seg.name, Position: pos, First: r.next, Next: b.next, Reason: "records are missing"}
	quiet := r.silent
	r.next, r.silent = b.next, false
	if quiet {
		return nil
	}
	return lost
}

// record reads one record. It returns neither entry nor error when the record
// is not for the caller.
func (r *Reader) record(b *bounds) (*Entry, error) {
	var rec scanned
	what, err := r.scan.next(&rec)
	if err != nil {
		return nil, fmt.Errorf("read segment %s: %w", r.seg.name, err)
	}
	h := &rec.header
	switch {
	case what == foundEnd && b.sealed:
		// The end, or a lost sector in the middle.
		more, err := r.scan.resync(rec.pos + recordAlign)
		switch {
		case err != nil:
			return nil, fmt.Errorf("read segment %s: %w", r.seg.name, err)
		case !more:
			r.scan.pos = b.limit
			return nil, nil
		}
		return nil, r.bad(&rec, b)
	case what == foundBad:
		return nil, r.bad(&rec, b)
	case h.first >= b.next || h.count == 0 || h.behind() <= r.next:
		return nil, nil // void, a checkpoint, or not asked for
	case h.behind() > b.next:
		lost := &CorruptionError{Segment: r.seg.name, Position: rec.pos, First: r.next, Next: b.next, Reason: "record reaches into the next segment"}
		r.next = b.next
		return nil, r.report(lost)
	case h.first > r.next && !r.silent:
		r.scan.pos = rec.pos
		lost := &CorruptionError{Segment: r.seg.name, Position: rec.pos, First: r.next, Next: h.first, Reason: "records are missing"}
		r.next = h.first
		return nil, lost
	}
	r.seg.note(h.first, rec.pos)
	if what == foundNewer {
		lost := &CorruptionError{Segment: r.seg.name, Position: rec.pos, First: r.next, Next: h.behind(), Reason: rec.reason, Newer: true}
		r.next = h.behind()
		return nil, r.report(lost)
	}
	r.entry.set(h, rec.bytes, r.next)
	r.next, r.silent = h.behind(), false
	return &r.entry, nil
}

// bad skips a bad place and reports it, unless nothing that was asked for is
// lost in it.
func (r *Reader) bad(rec *scanned, b *bounds) error {
	lost := &CorruptionError{Segment: r.seg.name, Position: rec.pos, First: r.next, Next: r.next, Reason: rec.reason}
	if lost.Reason == "" {
		lost.Reason = "records end too early"
	}
	from := rec.pos + recordAlign
	if rec.headerOK {
		from = min(rec.pos+rec.header.size(), r.scan.limit)
	}
	more, err := r.scan.resync(from)
	if err != nil {
		return fmt.Errorf("read segment %s: %w", r.seg.name, err)
	}
	if rec.headerOK && rec.header.first <= r.next {
		lost.Next = max(r.next, min(rec.header.behind(), b.next))
		if lost.Next == r.next {
			return nil
		}
		r.next = lost.Next
		return r.report(lost)
	}
	if more {
		var h header
		p, err := r.scan.window(r.scan.pos, recordHeaderBytes)
		if err != nil {
			return fmt.Errorf("read segment %s: %w", r.seg.name, err)
		}
		if len(p) == recordHeaderBytes && r.scan.parse(&h, p, r.scan.pos) == "" && h.first > r.next {
			lost.Next = min(h.first, b.next)
			r.next = lost.Next
			return r.report(lost)
		}
		return nil // what was asked for comes behind
	}
	err = r.report(lost)
	r.silent = true
	return err
}

// report returns lost unless the reader has reported this hole already.
func (r *Reader) report(lost *CorruptionError) error {
	quiet := r.silent
	r.silent = false
	if quiet {
		return nil
	}
	return lost
}

// IsCorruption reports whether err names a bad place that the reader has
// passed, so that reading may go on.
func IsCorruption(err error) bool {
	_, ok := errors.AsType[*CorruptionError](err)
	return ok
}
