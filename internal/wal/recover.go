package wal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

// recovered is what a walk to the end of the log found.
type recovered struct {
	holes    []lostHole
	unknown  bool // how far the log reached is not known
	used     bool // it held events once
	haveHead bool
	older    bool // the last segment is whole, and of a version that is no longer written
}

// lostHole is a range that is gone, and how.
type lostHole struct {
	hole
	cause lossCause
}

// recovering is the state of a walk through the last segment.
type recovering struct {
	seg    *segment
	file   vfs.File
	walk   *walk
	sum    *hasher
	next   Offset
	prev   [chainBytes]byte // chain value that the segment carries on
	chain  [chainBytes]byte
	linked bool // chain is that of the record before
	entry  Entry

	cutAt   int64 // where a torn tail begins, -1 without one
	damaged bool
	top     Offset // behind all offsets that damaged records may have had
	holes   []hole
}

// recover finds where the log ends and hands the last segment's records to Replay. It
// walks through the segment; known is the end that the head file and cursors speak of:
//
//	the walk meets                        what is done
//	a record                              taken: next and chain move on, replayed
//	a record that breaks the hash chain   on record as damage, taken
//	a hole                                on record as damage, and as a loss
//	a torn tail                           cut off, no damage: nobody was told of it
//	the end, known is not above next      the clean end
//	the end, known is above next          on record (records are missing); next is known
//
// A segment with damage is left as it is and copied to quarantine; the next record
// begins another one, above every offset that may have been given out. One without
// stays the active one, unless it is of an older version, which ends with it, or a newer
// one is known to have been there: then the log goes on above all that may have been in
// that.
//
// Afterwards the writer's state is set; active is nil when the next record needs a new
// segment.
func (l *Log) recover(ctx context.Context, found *survey, known end) (*recovered, error) {
	v := l.view.Load()
	out := &recovered{used: known.offset > 0}
	if len(v.segs) == 0 {
		l.w.next = known.offset
		if known.offset > 0 || l.w.head.note.hasNewest {
			out.used, out.unknown = true, !l.w.head.note.closed
			l.w.next = l.behindLost(known.offset)
			l.w.chain = l.w.head.chain
			l.publish(view{next: l.w.next})
		}
		return out, nil
	}
	seg := v.segs[len(v.segs)-1]
	if err := l.replayOlder(ctx, found); err != nil {
		return nil, err
	}
	file, writable, err := l.openLast(seg)
	if err != nil {
		return nil, err
	}
	r, err := l.walkLast(ctx, found, file, known)
	if err == nil && writable {
		err = l.settle(r)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if r.damaged {
		// Not seg.first, or the next segment would take the damaged one's
		// place.
		r.next = max(r.next, r.top, seg.first+1)
	}
	out.used = out.used || r.next > 0
	cut := l.cutOff(r, out)
	l.w.next, l.w.chain = r.next, r.chain
	l.recovery.Segment = seg.name
	size := seg.end
	if !r.damaged || r.cutAt >= 0 {
		seg.end = r.walk.scan.pos // where readers stop; a damaged one they search to its end
	}
	after := *v
	after.next, after.end = r.next, seg.end
	l.publish(after)
	out.older = seg.version < l.opts.format(r.next) && writable && !r.damaged && !cut
	if !writable || r.damaged || cut || out.older {
		if r.next == seg.first { // the next one takes its place, and says what it said
			l.w.chain, l.w.void = r.prev, found.segs[len(found.segs)-1].header.flags&flagVoid != 0
		}
		return out, file.Close()
	}
	l.w.active = &active{seg: seg, file: file, pos: r.walk.scan.pos, alloc: size, prev: r.prev}
	return out, nil
}

// cutOff collects what is missing of the last segment and behind it. It reports whether
// a newer segment was there, and has r.next lie above all that may have been in it.
func (l *Log) cutOff(r *recovering, out *recovered) bool {
	for i, h := range r.holes {
		if h.open || i == len(r.holes)-1 && h.to < r.next && h.to == r.walk.next {
			if r.next > h.to {
				// All that may have been there, unless the log was closed and HEAD knows.
				h.to, h.open = r.next, h.open || !l.w.head.note.closed || l.w.head.next != r.next
			}
		}
		if h.to > h.from {
			out.holes = append(out.holes, lostHole{h, lostRecords})
		}
	}
	n := &l.w.head.note
	if !n.hasNewest || n.newest <= r.seg.first || n.closed && l.w.head.next <= r.walk.next {
		return false
	}
	from := r.walk.next
	r.next = max(r.next, l.behindLost(max(r.next, n.newest)))
	out.holes = append(out.holes, lostHole{hole{from: from, to: r.next, open: !n.closed}, lostEnd})
	return true
}

// behindLost returns an offset behind all that a segment may have held that is gone and
// began at or before from: from itself if the log was closed, as HEAD knows its end then.
func (l *Log) behindLost(from Offset) Offset {
	if l.w.head.note.closed {
		return from
	}
	return from + mostEvents(segmentVersion, max(l.opts.SegmentBytes, defaultSegmentBytes, MaxRecordBytes))
}

// openLast opens the last segment, for reading only on a read-only disk.
func (l *Log) openLast(seg *segment) (f vfs.File, writable bool, err error) {
	f, err = l.opts.FS.OpenRW(seg.path(l.opts.Dir))
	if err == nil {
		return f, true, nil
	}
	f, again := l.opts.FS.Open(seg.path(l.opts.Dir))
	if again != nil {
		return nil, false, fmt.Errorf("open segment %s: %w", seg.name, errors.Join(err, again))
	}
	l.log.Warn("log cannot write to its last segment", "path", seg.name, "error", err)
	return f, false, nil
}

// walkLast reads the last segment to its end and classifies what is bad.
func (l *Log) walkLast(ctx context.Context, found *survey, file vfs.File, known end) (*recovering, error) {
	last := len(found.segs) - 1
	laid := &found.segs[last]
	r := &recovering{
		seg: l.view.Load().segs[last], file: file, next: laid.first, sum: newHasher(), cutAt: -1, walk: found.walk(last, file),
		prev: laid.header.prev, chain: laid.header.chain(), linked: laid.reason == "", damaged: laid.reason != "",
	}
	if laid.reason == "" {
		l.w.lastReceived = time.Unix(0, laid.header.created)
	}
	r.walk.known = known.offset
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var s step
		if err := r.walk.step(&s); err != nil {
			return nil, fmt.Errorf("read segment %s: %w", r.seg.name, err)
		}
		switch s.kind {
		case stepRecord:
			if err := l.recoverRecord(r, &s.rec); err != nil {
				return nil, err
			}
		case stepHole:
			l.lose(r, s.hole.pos, s.hole.from, s.hole.reason)
			r.holes = append(r.holes, s.hole)
			r.linked, r.top, r.next = false, max(r.top, s.hole.top), s.hole.to
		case stepTorn:
			r.cutAt, l.recovery.TornBytes = s.rec.pos, s.used-s.rec.pos
			l.log.Warn("log drops a record that was never finished", "path", r.seg.name,
				"position", s.rec.pos, "offset", r.next, "bytes", l.recovery.TornBytes)
			return r, nil
		case stepEnd:
			if known.offset > r.next {
				l.lose(r, s.rec.pos, r.next, fmt.Sprintf("records are missing at the end: %s knows of offset %d", known.source, known.offset))
				r.holes = append(r.holes, hole{pos: s.rec.pos, from: r.next, to: known.offset})
				r.next = known.offset
			}
			return r, nil
		}
	}
}

// recoverRecord takes a record whose checksums are right into the log.
func (l *Log) recoverRecord(r *recovering, rec *scanned) error {
	h := &rec.header
	if r.linked && !h.follows(&r.chain, r.sum, rec.bytes) {
		l.lose(r, rec.pos, r.next, "record breaks the hash chain")
	}
	r.next, r.chain, r.linked = h.behind(), h.chain, true
	r.seg.note(h.first, rec.pos)
	l.recovery.Records++
	l.w.lastReceived = h.receivedTime()
	l.recovery.Events += uint64(h.count)
	return l.replay(&r.entry, rec)
}

// lose puts a bad place of the last segment on record.
func (l *Log) lose(r *recovering, pos int64, from Offset, reason string) {
	r.damaged = true
	l.damage(Damage{
		Segment: r.seg.name, Position: pos, FirstBad: from, Reason: reason,
		Copy: l.quarantineCopy(r.seg.name, pos),
	})
}

// settle cuts a torn tail and makes durable what was found: after a kill, good
// records may be in the page cache only.
func (l *Log) settle(r *recovering) error {
	if r.cutAt >= 0 && !r.damaged { // a damaged segment is left as it is
		if err := r.file.Truncate(r.cutAt); err != nil {
			return fmt.Errorf("cut the torn tail of segment %s: %w", r.seg.name, err)
		}
		r.seg.end = r.cutAt
	}
	if err := r.file.Datasync(); err != nil {
		return fmt.Errorf("sync segment %s: %w", r.seg.name, err)
	}
	return nil
}
