package wal

import (
	"context"
	"encoding/binary"
	"fmt"
)

// Skip moves a reader that cannot read where it stands to the next place that can
// be read, in this segment or a later one. What lies between is passed over: Offset
// tells. When the place can be read again, the reader stays. The error says that
// nothing behind the place could be read either, which is more than a bad sector: the
// reader has not moved then.
func (r *Reader) Skip(ctx context.Context) error {
	v := r.log.view.Load()
	if r.seg != nil && (len(v.segs) == 0 || v.find(r.seg.first) < 0 || v.segs[v.find(r.seg.first)] != r.seg) {
		return r.leave() // removed meanwhile: the next segment there is says how much is gone
	}
	r.skipRemoved(v)
	i := v.find(r.next)
	if r.seg != nil {
		i = v.find(r.seg.first)
	}
	if i < 0 {
		return nil
	}
	var cause error
	for ; i < len(v.segs); i++ {
		moved, err := r.skipInto(ctx, v, i)
		if moved || ctx.Err() != nil {
			return err
		}
		if cause == nil {
			cause = err
		}
	}
	return fmt.Errorf("nothing behind offset %d can be read: %w", r.next, cause)
}

// skipInto moves to the next readable place of the view's segment i, if there is one.
func (r *Reader) skipInto(ctx context.Context, v *view, i int) (moved bool, err error) {
	seg := v.segs[i]
	look := scanner{version: seg.version, salt: seg.salt, first: seg.first, limit: seg.end, pos: seg.seek(r.next)}
	if i == len(v.segs)-1 {
		look.limit = v.end
	}
	file, own := r.file, r.seg == seg
	if own {
		look.pos = r.scan.pos
	} else if file, err = r.log.openForReading(seg); err != nil {
		return false, err
	}
	look.file = file
	next, err := look.nextReadable(ctx)
	if err == nil && !own && look.pos >= look.limit {
		_, err = file.ReadAt(make([]byte, segmentHeaderBytes), 0) // nothing has been read so far
		err = ignoreEOF(err)
	}
	if err != nil {
		if !own {
			_ = file.Close()
		}
		return false, fmt.Errorf("read segment %s: %w", seg.name, err)
	}
	if !own {
		if err := r.leave(); err != nil {
			r.log.log.Warn("reader left a file open", "error", err)
		}
		r.seg, r.file = seg, file
		r.scan.file, r.scan.version, r.scan.salt, r.scan.first = file, seg.version, seg.salt, seg.first
	}
	r.scan.release()
	r.scan.pos, r.next, r.silent = look.pos, max(r.next, next, seg.first), false
	return true, nil
}

// nextReadable moves to the first place at or behind pos that the disk gives back,
// and returns an offset that no event before it reaches. A record of which the header
// can be read is passed alone; where that cannot be read either, the next header is
// searched for. The error is that of the first read when nothing is found.
func (s *scanner) nextReadable(ctx context.Context) (next Offset, err error) {
	for {
		var rec scanned
		what, err := s.next(&rec)
		switch {
		case err == nil && (what == foundRecord || what == foundNewer):
			s.pos = rec.pos
			return rec.header.first, nil
		case err == nil:
			return next, nil // the end, or a bad place that the reader knows how to pass
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case rec.headerOK:
			s.pos, next = min(rec.pos+rec.header.size(), s.limit), rec.header.behind()
		case !s.searchPages(ctx, rec.pos+recordAlign):
			return 0, err
		}
	}
}

// pageBytes is the unit in which the system reads a disk.
const pageBytes = 4096

// searchPages moves pos to the next record header that can be read and believed, at
// or behind from, and reports whether there is one. It reads page by page, and passes
// what cannot be read in leaps, because each such read may take the disk seconds.
func (s *scanner) searchPages(ctx context.Context, from int64) bool {
	buf := make([]byte, pageBytes+recordHeaderBytes)
	for at := from; at < s.limit && ctx.Err() == nil; {
		behind := at&^(pageBytes-1) + pageBytes
		page := buf[:min(behind+recordHeaderBytes, s.limit)-at]
		if !s.readable(page, at) {
			if page = buf[:min(behind, s.limit)-at]; !s.readable(page, at) {
				at = s.leap(ctx, buf, at)
				continue
			}
		}
		if pos, ok := s.headerIn(page, at); ok {
			s.pos = pos
			return true
		}
		at = behind
	}
	return false
}

// readable fills b from at on, if the disk gives it back.
func (s *scanner) readable(b []byte, at int64) bool {
	n, err := s.file.ReadAt(b, at)
	return n == len(b) || ignoreEOF(err) == nil
}

// leap returns the first page behind the unreadable one at bad that can be read, or
// the limit. It doubles its steps until one can, then halves the distance.
func (s *scanner) leap(ctx context.Context, buf []byte, bad int64) int64 {
	low, high := bad/pageBytes, (s.limit+pageBytes-1)/pageBytes
	probe := func(page int64) bool {
		at := page * pageBytes
		return s.readable(buf[:min(pageBytes, s.limit-at)], at)
	}
	for step := int64(1); low+step < high && ctx.Err() == nil; step *= 2 {
		if probe(low + step) {
			high = low + step
			break
		}
		low += step
	}
	for high-low > 1 && ctx.Err() == nil {
		if middle := low + (high-low)/2; probe(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return min(high*pageBytes, s.limit)
}

// headerIn finds the first record header in b, which was read at a position.
func (s *scanner) headerIn(b []byte, at int64) (pos int64, ok bool) {
	begin := (at + recordAlign - 1) &^ (recordAlign - 1)
	for pos = begin; pos+recordHeaderBytes <= at+int64(len(b)); pos += recordAlign {
		var h header
		p := b[pos-at:][:recordHeaderBytes]
		if binary.LittleEndian.Uint32(p[atSalt:]) == s.salt && s.parse(&h, p, pos) == "" {
			return pos, true
		}
	}
	return 0, false
}
