package wal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/vfs"
)

// Report is the result of Verify.
type Report struct {
	OK       bool
	Records  uint64 // whole records, checkpoints included
	Events   uint64
	Bytes    int64
	Segments int
	First    Offset // of the oldest event
	Next     Offset // behind the newest event

	// The first bad place, when OK is false.
	FirstBadOffset Offset
	Segment        string
	Position       int64
	Err            error // a *CorruptionError

	BadPlaces int      // all of them
	TornBytes int64    // of a record that was never finished, at the very end
	Notes     []string // what is unusual but not wrong
}

// Verify checks the whole log in dir: every checksum, the hash chain through
// all records and segments, and that neither end was cut off. progress, if not
// nil, is told the bytes done and their total.
//
// It takes no lock and changes nothing, so it may run beside the program that
// writes, where it stops at the end of what is whole, and on a copy. The error
// is that of reading, or of ctx; damage is in the report.
func Verify(ctx context.Context, fsys vfs.FS, dir string, progress func(done, total int64)) (Report, error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	v := &verifier{fs: fsys, dir: dir, sum: newHasher(), progress: progress}
	if err := v.run(ctx); err != nil {
		return v.report, fmt.Errorf("verify log %s: %w", dir, err)
	}
	v.report.OK = v.report.BadPlaces == 0
	return v.report, nil
}

// verifier is the state of one Verify.
type verifier struct {
	fs       vfs.FS
	dir      string
	sum      *hasher
	progress func(done, total int64)
	done     int64
	total    int64

	report   Report
	next     Offset
	chain    [chainBytes]byte
	linked   bool // next and chain are those of the record before
	head     head
	haveHead bool
	headSeen bool // the walk passed the place that the head file notes
}

func (v *verifier) run(ctx context.Context) error {
	cursorEnd, who, err := v.readKnown()
	if err != nil {
		return err
	}
	segs, err := listSegments(v.fs, v.dir)
	if err != nil {
		return err
	}
	for _, s := range segs {
		v.total += s.size
	}
	for i, s := range segs {
		after := ^Offset(0)
		if i+1 < len(segs) {
			after = segs[i+1].first
		}
		if err := v.segment(ctx, s, after, i == len(segs)-1); err != nil {
			return err
		}
		v.report.Segments++
	}
	v.report.Next = v.next
	switch {
	case v.report.BadPlaces > 0: // what is bad may be the end as well
	case v.haveHead && !v.headSeen && v.next < v.head.next:
		v.bad("", 0, v.next, fmt.Sprintf("the end of the log is missing: it reached at least offset %d", v.head.next))
	case v.haveHead && !v.headSeen && v.head.next > v.report.First:
		v.bad("", 0, v.report.First, "the log is not the one that its HEAD file describes")
	case cursorEnd > v.next:
		v.bad("", 0, v.next, fmt.Sprintf("the end of the log is missing: cursor %s stands at offset %d", who, cursorEnd))
	}
	return nil
}

// readKnown reads what else says how long the log is. It comes before the
// segments, since those may grow meanwhile.
func (v *verifier) readKnown() (cursorEnd Offset, who string, err error) {
	v.head, err = readHead(v.fs, v.dir)
	switch {
	case err == nil:
		v.haveHead = true
	case errors.Is(err, errNoHead):
		v.report.Notes = append(v.report.Notes, "there is no readable HEAD file: records cut off at either end would not be noticed")
	default:
		return 0, "", err
	}
	cursors, err := readCursors(v.fs, v.dir, func(name, reason string) {
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("cursor %s is damaged: %s", name, reason))
	})
	if err != nil {
		return 0, "", err
	}
	cursorEnd, who = highestCursor(cursors)
	return cursorEnd, who, nil
}

// bad counts a bad place and keeps the first.
func (v *verifier) bad(segment string, pos int64, off Offset, reason string) {
	v.report.BadPlaces++
	if v.report.Err != nil {
		return
	}
	v.report.FirstBadOffset, v.report.Segment, v.report.Position = off, segment, pos
	v.report.Err = &CorruptionError{Segment: segment, Position: pos, First: off, Next: off, Reason: reason}
}

// segment checks one file. after is the offset at which the next one starts.
func (v *verifier) segment(ctx context.Context, s listed, after Offset, last bool) (err error) {
	f, err := v.fs.Open(filepath.Join(v.dir, s.name))
	if vfs.IsNotExist(err) {
		v.report.Notes = append(v.report.Notes, "segment "+s.name+" was removed meanwhile")
		v.linked = false
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	h, salt, reason, err := readSegmentHeader(f)
	if err != nil {
		return err
	}
	expect := v.next
	if !v.linked {
		expect = s.first
	}
	switch {
	case reason != "":
	case !s.named:
		reason = "name is not that of a segment"
	case h.first != s.first:
		reason = fmt.Sprintf("name says offset %d, header says %d", s.first, h.first)
	case v.linked && h.first != v.next:
		reason = fmt.Sprintf("segment starts at offset %d, the one before ends at %d", h.first, v.next)
	case v.linked && h.prev != v.chain:
		reason = "segment does not carry on the hash chain of the one before"
	case v.report.Segments == 0 && v.haveHead && h.first > v.head.oldest:
		// Retention may have been at work since the head file was read.
		if now, err := readHead(v.fs, v.dir); err == nil && h.first > now.oldest {
			expect = now.oldest
			reason = fmt.Sprintf("segments are missing at the beginning: the oldest should start at offset %d", now.oldest)
		}
	}
	if reason != "" {
		v.bad(s.name, 0, min(expect, s.first), reason)
	}
	if salt == 0 || !s.named {
		v.linked = false
		v.done += s.size
		return nil
	}
	v.next, v.chain = s.first, h.chain()
	v.linked = h.salt != 0 // the header could be read, so the chain is known
	if v.report.Segments == 0 {
		v.report.First = s.first
	}
	v.passHead()
	scan := scanner{file: f, salt: salt, first: s.first, pos: segmentHeaderBytes, limit: size}
	v.report.Bytes += segmentHeaderBytes
	return v.records(ctx, s, &scan, after, last)
}

// passHead notes when the walk is where the head file says the log once was.
func (v *verifier) passHead() {
	if v.next == v.head.next && v.chain == v.head.chain {
		v.headSeen = true
	}
}

// records checks a segment's records.
func (v *verifier) records(ctx context.Context, s listed, scan *scanner, after Offset, last bool) error {
	base, told, looked := v.done, int64(0), int64(-1)
	for v.next < after {
		if err := ctx.Err(); err != nil {
			return err
		}
		var rec scanned
		what, err := scan.next(&rec)
		if err != nil {
			return fmt.Errorf("read segment %s: %w", s.name, err)
		}
		if what == foundRecord {
			v.record(s, &rec)
			if scan.pos-told >= 1<<20 {
				told = scan.pos
				v.progress(base+told, max(v.total, base+told))
			}
			continue
		}
		more, err := v.badRecord(s, scan, &rec, last, looked == rec.pos)
		looked = rec.pos
		if err != nil {
			return fmt.Errorf("read segment %s: %w", s.name, err)
		}
		if !more {
			break
		}
	}
	v.done = base + s.size
	v.progress(v.done, max(v.total, v.done))
	return nil
}

// record checks that a record whose checksums are right follows the one
// before.
func (v *verifier) record(s listed, rec *scanned) {
	h := &rec.header
	switch {
	case h.first < v.next:
		v.bad(s.name, rec.pos, h.first, "record repeats earlier offsets")
		return
	case v.linked && h.first > v.next:
		v.bad(s.name, rec.pos, v.next, "record does not follow the one before: offsets are missing")
	case v.linked && !h.follows(&v.chain, v.sum, rec.bytes):
		v.bad(s.name, rec.pos, v.next, "record breaks the hash chain")
	}
	v.next, v.chain, v.linked = h.behind(), h.chain, true
	v.passHead()
	v.report.Records++
	v.report.Events += uint64(h.count)
	v.report.Bytes += h.size()
}

// badRecord handles the end of a segment's records or a bad one, and reports
// whether to go on from the scanner's position. again says that this place has
// been looked at before.
func (v *verifier) badRecord(s listed, scan *scanner, rec *scanned, last, again bool) (bool, error) {
	durable := !last || v.haveHead && v.head.next > v.next
	place, err := inspect(scan, rec, durable)
	if err != nil {
		return false, err
	}
	if rec.reason == "" {
		rec.reason = "bytes behind the end of the records"
	}
	switch {
	case place.used <= rec.pos:
		return false, nil // the end
	case last && !place.torn && !again:
		// It may have been written between the two looks at it.
		scan.release()
		return true, nil
	case place.torn:
		v.report.TornBytes = place.used - rec.pos
		v.report.Notes = append(v.report.Notes,
			obs.Counted(v.report.TornBytes, "byte at the end is", "bytes at the end are")+" of a record that was never finished")
		return false, nil
	}
	v.bad(s.name, rec.pos, v.next, rec.reason)
	v.linked = false
	if place.resumeAt < 0 {
		return false, nil
	}
	scan.pos = place.resumeAt
	return true, nil
}
