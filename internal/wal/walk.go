package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"

	"github.com/amoskys/amoskys/internal/vfs"
)

// endless is the offset at which the last segment ends.
const endless = Offset(math.MaxUint64)

// walk reads a segment's records in order and says what is wrong between them. Recovery,
// Verify, Scan, Inspect and replay all read by it, so that none sees what another does
// not. next being the offset that should come, and until the one at which the next
// segment starts:
//
//	at the place lies                                 the step is
//	a record that begins at next                      it
//	a record of offsets below next                    a hole without offsets
//	a record of offsets above next                    a hole up to it, then it
//	one that reaches over until                       a hole
//	one at or above until (a failed write, void)      the end
//	bad bytes                                         a hole up to the next sound record
//	bad bytes that were never a finished record,      torn: the end
//	  in the last segment
//	bytes behind the last record of another segment   a hole without offsets
//	zeros, or the end of the file                     the end, after a hole up to until if
//	                                                  next is not there
type walk struct {
	scan  scanner
	next  Offset
	until Offset
	known Offset // the log is known from elsewhere to have reached so far
	void  bool   // what lies behind the last record may be left of a write that failed
	live  bool   // somebody may be writing: what is bad at the end is looked at again

	looked int64 // what is bad there was looked at
	looks  int   // so often
	lost   *hole // bad places since the last record
}

// hole is a bad place, or several without a sound record in between.
type hole struct {
	pos      int64
	from, to Offset // what is missing; equal when nothing is, or its end is not known
	open     bool   // how far it reaches is not known: nothing sound comes behind it
	top      Offset // no offset that may have been in it is at or above this
	reason   string
	absent   bool // no byte of it is there
}

type stepKind int

const (
	stepRecord stepKind = iota
	stepHole
	stepTorn // what lies at rec.pos was never finished; it ends at used
	stepEnd
)

// step is what a walk meets.
type step struct {
	kind stepKind
	rec  scanned
	hole hole
	used int64
}

func newWalk(f vfs.File, version, salt uint32, first Offset, size int64, until Offset) *walk {
	return &walk{
		scan: scanner{file: f, version: version, salt: salt, first: first, pos: segmentHeaderBytes, limit: size},
		next: first, until: until, looked: -1,
	}
}

// sealed reports whether there is a segment behind this one.
func (w *walk) sealed() bool { return w.until != endless }

// step moves on. The error is that of reading the file, or ErrNewer.
func (w *walk) step(s *step) error {
	for {
		what, err := w.scan.next(&s.rec)
		if err != nil {
			return err
		}
		switch what {
		case foundRecord:
			if w.record(s) {
				return nil
			}
			continue
		case foundNewer:
			return fmt.Errorf("the record at byte %d: %s: %w", s.rec.pos, s.rec.reason, ErrNewer)
		case foundEnd, foundBad:
		}
		place, err := inspect(&w.scan, &s.rec, w.next, w.sealed() || w.known > w.next)
		if err != nil {
			return err
		}
		if w.bad(s, &place) {
			return nil
		}
	}
}

// holes walks to the end and returns what is wrong on the way.
func (w *walk) holes(ctx context.Context) (holes []hole, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return holes, err
		}
		var s step
		if err := w.step(&s); err != nil {
			return holes, err
		}
		switch s.kind {
		case stepEnd, stepTorn:
			return holes, nil
		case stepHole:
			holes = append(holes, s.hole)
		case stepRecord:
		}
	}
}

// record judges a record whose checksums are right, and reports whether it makes a step.
func (w *walk) record(s *step) bool {
	h := &s.rec.header
	switch {
	case h.first >= w.until:
		w.end(s)
		return true
	case h.first < w.next:
		s.kind = stepHole
		s.hole = hole{pos: s.rec.pos, from: w.next, to: w.next, top: h.behind(), reason: "record repeats earlier offsets"}
		return true
	case h.behind() > w.until:
		w.lose(&s.rec, "record reaches into the next segment", w.until)
		return false
	case h.first > w.next && w.lost == nil:
		w.lose(&s.rec, "record does not follow the one before: offsets are missing", 0)
		w.lost.absent = true
	}
	if w.lost != nil {
		w.scan.pos = s.rec.pos
		w.close(s, h.first)
		return true
	}
	w.next = h.behind()
	s.kind = stepRecord
	return true
}

// bad judges what is no sound record, and reports whether it makes a step.
func (w *walk) bad(s *step, place *badPlace) bool {
	switch {
	case place.used <= s.rec.pos, w.sealed() && w.next >= w.until && (w.void || place.voids(&w.scan, &s.rec, w.until)):
		w.end(s)
		return true
	case !w.sealed() && w.live && !place.torn && w.mayLook(s.rec.pos):
		w.scan.release()
		return false
	case place.torn && w.lost != nil:
		w.closeOpen(s)
		return true
	case place.torn:
		s.kind, s.used = stepTorn, place.used
		return true
	}
	top := Offset(0)
	switch {
	case s.rec.headerOK:
		top = s.rec.header.behind()
	case place.resumeAt < 0:
		// Nothing says how many offsets are lost, so leave room for more than can be.
		top = w.next + mostEvents(w.scan.version, place.used-s.rec.pos)
	}
	reason := s.rec.reason
	if reason == "" {
		reason = "bytes behind the end of the records"
	}
	w.lose(&s.rec, reason, top)
	w.scan.pos = w.scan.limit
	if place.resumeAt >= 0 {
		w.scan.pos = place.resumeAt
	}
	return false
}

// mayLook reports whether what is bad at pos is worth another look: a write that is under
// way shows page by page, and may be held up on a busy machine.
func (w *walk) mayLook(pos int64) bool {
	const most = 8
	if w.looked != pos {
		w.looked, w.looks = pos, 0
	}
	w.looks++
	runtime.Gosched()
	return w.looks <= most
}

// lose adds a bad place to the hole that is open.
func (w *walk) lose(rec *scanned, reason string, top Offset) {
	if w.lost == nil {
		w.lost = &hole{pos: rec.pos, from: w.next, reason: reason}
	}
	w.lost.absent = false
	w.lost.top = max(w.lost.top, top, w.next)
}

// close makes the hole that is open a step; reading goes on at to.
func (w *walk) close(s *step, to Offset) {
	s.kind, s.hole = stepHole, *w.lost
	s.hole.to, w.next, w.lost = to, to, nil
}

// closeOpen is close where nothing says where the hole ends.
func (w *walk) closeOpen(s *step) {
	s.kind, s.hole = stepHole, *w.lost
	s.hole.to, s.hole.open, w.lost = w.next, true, nil
}

// end makes the end of the segment a step, or the hole before it.
func (w *walk) end(s *step) {
	w.scan.pos = s.rec.pos
	switch {
	case w.sealed() && w.next < w.until && w.lost == nil:
		w.lose(&s.rec, "records are missing", w.until)
		w.lost.absent = true
		fallthrough
	case w.sealed() && w.lost != nil:
		w.close(s, max(w.next, w.until))
	case w.lost != nil:
		w.closeOpen(s)
	default:
		s.kind = stepEnd
	}
}

// badPlace describes a bad record and what lies behind it. It decides the question
// whether the record was never finished (a crash tore it, nobody was told of it, and
// dropping it is right), or was whole once and has been damaged since.
type badPlace struct {
	resumeAt int64 // where the next believable record starts, -1 without one
	used     int64 // position behind the last byte that is not zero
	torn     bool
	ours     bool // something at the place shows that a record of this log was there
}

// inspect looks at the bad record that s met where offset next should come, without
// moving s. durable says that it is known from elsewhere that the record was durable
// once.
//
// A record counts as torn when none of the records behind it was written at a time
// when this one was already durable (each says how far the segment was durable then),
// and when either a part of it is missing (it runs behind the end of the file, only
// zeros follow somewhere before its end, whose last byte is never zero, or one of the
// sectors it lies in holds nothing but the zeros of reserved space), or nothing of it
// is there: not the salt, not the offset, not the trailer at the end of what is used,
// and no record behind. Such bytes are what a disk had there before.
func inspect(s *scanner, r *scanned, next Offset, durable bool) (badPlace, error) {
	at := scanner{file: s.file, version: s.version, salt: s.salt, first: s.first, limit: s.limit, pos: r.pos}
	p := badPlace{resumeAt: -1}
	var err error
	if p.used, err = at.lastNonZero(r.pos); err != nil || p.used <= r.pos {
		return p, err
	}
	if p.ours, err = at.ours(r, p.used, next); err != nil {
		return p, err
	}
	if p.torn, err = at.unfinished(r, p.used); err != nil {
		return p, err
	}
	from := r.pos + recordAlign
	if r.headerOK {
		from = min(r.pos+r.header.size(), s.limit)
	}
	for {
		more, err := at.resync(from)
		if err != nil || !more {
			break
		}
		b, err := at.window(at.pos, recordHeaderBytes)
		if err != nil {
			return p, err
		}
		var h header
		if len(b) < recordHeaderBytes || s.parse(&h, b, at.pos) != "" {
			break
		}
		if p.resumeAt < 0 {
			p.resumeAt = at.pos
		}
		if h.synced > uint64(r.pos) {
			durable = true
			break
		}
		from = min(at.pos+h.size(), s.limit)
	}
	p.torn = !durable && (p.torn || !p.ours && p.resumeAt < 0)
	return p, nil
}

// ours reports whether anything at the bad record r says that it was one of this log.
func (s *scanner) ours(r *scanned, used int64, next Offset) (bool, error) {
	if r.headerOK {
		return true, nil
	}
	b, err := s.window(r.pos, recordHeaderBytes)
	if err != nil {
		return false, err
	}
	le := binary.LittleEndian
	if len(b) >= atReceived && (le.Uint32(b[atSalt:]) == s.salt || le.Uint64(b[atFirst:]) == next) {
		return true, nil
	}
	end := (used + recordAlign - 1) &^ (recordAlign - 1)
	if b, err = s.window(end-recordTrailerBytes, recordTrailerBytes); err != nil || len(b) < recordTrailerBytes {
		return false, err
	}
	length := ^le.Uint32(b)
	return length >= recordHeaderBytes && length <= MaxRecordBytes && r.pos+paddedSize(length) == end, nil
}

// voids reports whether the bytes behind a sealed segment's last record are those of a
// write that failed and could not be taken back: of a record that was to begin where
// the next segment does.
func (p *badPlace) voids(s *scanner, r *scanned, until Offset) bool {
	if r.headerOK {
		return r.header.first >= until
	}
	b, err := s.window(r.pos, recordHeaderBytes)
	return err == nil && len(b) >= atReceived && saltOf(b) == s.salt &&
		(binary.LittleEndian.Uint64(b[atFirst:]) == until || len(b) < recordHeaderBytes)
}

func saltOf(b []byte) uint32 { return binary.LittleEndian.Uint32(b[atSalt:]) }

// mayBeHeader reports cheaply whether b may begin with a record's header.
func mayBeHeader(b []byte) bool {
	length := binary.LittleEndian.Uint32(b)
	kind := Kind(b[atKind])
	return length >= recordHeaderBytes && length <= MaxRecordBytes && saltOf(b) != 0 &&
		(kind == KindEvents || kind == KindCheckpoint) && b[atReserved] == 0
}

// sectorBytes is the unit that disks write atomically.
const sectorBytes = 512

// unfinished reports whether a part of the bad record is missing.
func (s *scanner) unfinished(r *scanned, used int64) (bool, error) {
	size := int64(recordHeaderBytes)
	if r.headerOK {
		size = r.header.size()
	}
	if r.pos+size > s.limit || used < r.pos+size {
		return true, nil
	}
	b, err := s.window(r.pos, size)
	if err != nil {
		return false, err
	}
	for at := int64(0); at < size; {
		end := min(size, at+sectorBytes-(r.pos+at)%sectorBytes)
		if allZero(b[at:end]) {
			return true, nil
		}
		at = end
	}
	return false, nil
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }
