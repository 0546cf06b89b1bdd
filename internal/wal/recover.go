package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/amoskys/amoskys/internal/vfs"
)

// recovering is the state of a walk through the last segment.
type recovering struct {
	seg    *segment
	file   vfs.File
	scan   scanner
	sum    *hasher
	next   Offset
	prev   [chainBytes]byte // chain value that the segment carries on
	chain  [chainBytes]byte
	linked bool // chain is that of the record before
	entry  Entry

	cutAt   int64 // where a torn tail begins, -1 without one
	damaged bool
	top     Offset // behind all offsets that damaged records may have had
}

// recover finds where the log ends and hands the last segment's records to
// Replay. Afterwards the writer's state is set; active is nil when the next
// record needs a new segment.
func (l *Log) recover(ctx context.Context, known end) error {
	v := l.view.Load()
	if len(v.segs) == 0 {
		l.w.next = known.offset
		if known.offset > 0 {
			l.w.chain = l.w.head.chain
			l.damage(Damage{FirstBad: known.offset, Reason: "all segments are missing, " + known.source + " knows of events"})
		}
		return nil
	}
	seg := v.segs[len(v.segs)-1]
	if err := l.replayOlder(ctx, v.segs); err != nil {
		return err
	}
	file, writable, err := l.openLast(seg)
	if err != nil {
		return err
	}
	r, err := l.walkLast(ctx, seg, file, known)
	if err == nil && writable {
		err = l.settle(r)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if r.damaged {
		// Not seg.first, or the next segment would take the damaged one's
		// place.
		r.next = max(r.next, r.top, seg.first+1)
	}
	l.w.next, l.w.chain = r.next, r.chain
	l.recovery.Segment = seg.name
	size := seg.end
	if !r.damaged || r.cutAt >= 0 {
		seg.end = r.scan.pos // where readers stop; a damaged one they search to its end
	}
	after := *v
	after.next, after.end = r.next, seg.end
	l.publish(after)
	if !writable || r.damaged {
		if r.next == seg.first {
			l.w.chain = r.prev
		}
		return file.Close()
	}
	l.w.active = &active{seg: seg, file: file, pos: r.scan.pos, alloc: size, prev: r.prev}
	return nil
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
func (l *Log) walkLast(ctx context.Context, seg *segment, file vfs.File, known end) (*recovering, error) {
	r := &recovering{
		seg: seg, file: file, next: seg.first, sum: newHasher(), cutAt: -1,
		scan: scanner{file: file, salt: seg.salt, first: seg.first, pos: segmentHeaderBytes, limit: seg.end},
	}
	h, _, reason, err := readSegmentHeader(file)
	if err != nil {
		return nil, err
	}
	r.prev = h.prev
	r.chain, r.linked, r.damaged = h.chain(), reason == "", reason != ""
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var rec scanned
		what, err := r.scan.next(&rec)
		if err != nil {
			return nil, fmt.Errorf("read segment %s: %w", seg.name, err)
		}
		if what == foundRecord {
			if err := l.recoverRecord(r, &rec); err != nil {
				return nil, err
			}
			continue
		}
		more, err := l.recoverBad(r, &rec, known)
		if err != nil {
			return nil, fmt.Errorf("read segment %s: %w", seg.name, err)
		}
		if !more {
			return r, nil
		}
	}
}

// recoverRecord takes a record whose checksums are right into the log.
func (l *Log) recoverRecord(r *recovering, rec *scanned) error {
	h := &rec.header
	reason := ""
	switch {
	case h.first < r.next:
		// Offsets given out already: nothing of it can be used.
		l.lose(r, rec.pos, "record repeats earlier offsets")
		r.top = max(r.top, h.behind())
		return nil
	case h.first > r.next && r.linked:
		reason = "record does not follow the one before: offsets are missing"
	case r.linked && !h.follows(&r.chain, r.sum, rec.bytes):
		reason = "record breaks the hash chain"
	}
	if reason != "" {
		l.lose(r, rec.pos, reason)
	}
	r.next, r.chain, r.linked = h.behind(), h.chain, true
	r.seg.note(h.first, rec.pos)
	l.recovery.Records++
	l.recovery.Events += uint64(h.count)
	return l.replay(&r.entry, rec)
}

// recoverBad handles the end of the records or a bad one, and reports whether
// to go on behind it.
func (l *Log) recoverBad(r *recovering, rec *scanned, known end) (more bool, err error) {
	place, err := inspect(&r.scan, rec, known.offset > r.next)
	if err != nil {
		return false, err
	}
	if rec.reason == "" {
		rec.reason = "bytes behind the end of the records"
	}
	switch {
	case place.used <= rec.pos && known.offset <= r.next:
		return false, nil // the clean end
	case place.used <= rec.pos:
		l.lose(r, rec.pos, fmt.Sprintf("records are missing at the end: %s knows of offset %d", known.source, known.offset))
		r.next = known.offset
		return false, nil
	case place.torn:
		r.cutAt = rec.pos
		l.recovery.TornBytes = place.used - rec.pos
		l.log.Warn("log drops a record that was never finished", "path", r.seg.name,
			"position", rec.pos, "offset", r.next, "bytes", l.recovery.TornBytes)
		return false, nil
	}
	l.lose(r, rec.pos, rec.reason)
	r.linked = false
	if rec.headerOK {
		r.top = max(r.top, rec.header.behind())
	}
	if place.resumeAt >= 0 {
		r.top = max(r.top, place.resume.behind())
		r.scan.pos = place.resumeAt
		return true, nil
	}
	if !rec.headerOK {
		// Nothing says how many offsets are lost, so leave room for more than
		// can be.
		r.top = max(r.top, r.next+Offset(place.used-rec.pos))
	}
	r.top = max(r.top, known.offset)
	return false, nil
}

// lose puts a bad place of the last segment on record.
func (l *Log) lose(r *recovering, pos int64, reason string) {
	r.damaged = true
	l.damage(Damage{
		Segment: r.seg.name, Position: pos, FirstBad: r.next, Reason: reason,
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
