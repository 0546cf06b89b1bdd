package wal

import (
	"bytes"
	"encoding/binary"
	"sync"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// scanBufferBytes is the size of one read of a scanner.
const scanBufferBytes = 256 << 10

// scanner reads a segment's records in order through a window of bytes. It
// knows checksums, not offsets or chains.
type scanner struct {
	file    vfs.File
	salt    uint32
	first   Offset // of the segment
	version uint32 // of the segment
	pos     int64  // of the next record
	limit   int64  // bytes that may be read

	pool *sync.Pool // of *[]byte with scanBufferBytes, or nil
	buf  []byte
	base int64 // position of buf[0]
	fill int   // bytes of buf that are valid
}

// found says what a scanner met.
type found int

const (
	foundRecord found = iota
	foundEnd          // the limit, or a zero length
	foundBad
	foundNewer // a whole record, which only a newer build can read
)

// scanned is what the scanner met at pos.
type scanned struct {
	header header
	pos    int64
	bytes  []byte // the whole record; valid until the scanner's next use
	reason string // what is bad, or newer
	// headerOK says that header can be believed although the record is bad.
	headerOK bool
}

// window returns up to n bytes at pos, fewer at the limit.
func (s *scanner) window(pos, n int64) ([]byte, error) {
	n = min(n, s.limit-pos)
	if n <= 0 {
		return nil, nil
	}
	if pos >= s.base && pos+n <= s.base+int64(s.fill) {
		return s.buf[pos-s.base:][:n], nil
	}
	kept := 0
	if pos >= s.base && pos < s.base+int64(s.fill) {
		kept = copy(s.buf, s.buf[pos-s.base:s.fill])
	}
	kept = s.reserve(int(n), kept)
	want := int(min(int64(len(s.buf)), s.limit-pos))
	got, err := s.file.ReadAt(s.buf[kept:want], pos+int64(kept))
	if err = ignoreEOF(err); err != nil && int64(kept+got) < n {
		// What cannot be read may lie behind what is asked for.
		got, err = s.file.ReadAt(s.buf[kept:n], pos+int64(kept))
		err = ignoreEOF(err)
	}
	s.base, s.fill = pos, kept+got
	if err != nil && int64(s.fill) < n {
		s.fill = 0
		return nil, err
	}
	return s.buf[:min(int(n), s.fill)], nil
}

// reserve makes room for n bytes and keeps the first kept ones, or as many of
// them as fit. A buffer grown for a big record is dropped once it is no longer
// needed.
func (s *scanner) reserve(n, kept int) int {
	if n <= len(s.buf) && (len(s.buf) <= scanBufferBytes || n > scanBufferBytes) {
		return kept
	}
	old := s.buf
	switch {
	case n > scanBufferBytes:
		s.buf = make([]byte, n)
	case s.pool != nil:
		s.buf = *s.pool.Get().(*[]byte)
	default:
		s.buf = make([]byte, max(int64(n), min(s.limit, scanBufferBytes)))
	}
	kept = copy(s.buf, old[:kept])
	s.give(old)
	return kept
}

func (s *scanner) give(b []byte) {
	if s.pool != nil && len(b) == scanBufferBytes {
		s.pool.Put(&b)
	}
}

// release gives the buffer back; a waiting reader holds none.
func (s *scanner) release() {
	s.give(s.buf)
	s.buf, s.base, s.fill = nil, 0, 0
}

// next reads the record at pos and moves behind it. At a bad place pos stays.
// The error is that of reading the file.
func (s *scanner) next(r *scanned) (found, error) {
	*r = scanned{pos: s.pos}
	b, err := s.window(s.pos, recordHeaderBytes)
	switch {
	case err != nil:
		return foundBad, err
	case len(b) == 0, len(b) >= 4 && binary.LittleEndian.Uint32(b) == 0:
		return foundEnd, nil
	case len(b) < recordHeaderBytes:
		r.reason = "record header is cut short"
		return foundBad, nil
	}
	if r.reason = s.parse(&r.header, b, s.pos); r.reason != "" {
		return foundBad, nil
	}
	size := r.header.size()
	r.headerOK = true
	b, err = s.window(s.pos, size)
	if err != nil {
		return foundBad, err
	}
	if int64(len(b)) < size {
		r.reason = "record is cut short"
		return foundBad, nil
	}
	if r.reason = r.header.checkBody(b); r.reason != "" {
		return foundBad, nil
	}
	switch r.reason = r.header.unread(); {
	case s.version == 1 && (r.header.codec != 0 || r.header.reserved != 0):
		r.reason = "record of version 1 says to be packed"
		return foundBad, nil
	case r.reason != "":
		s.pos += size
		return foundNewer, nil
	}
	r.bytes = b
	s.pos += size
	return foundRecord, nil
}

// parse decodes the header of a record at pos. Beyond what the header itself
// shows, offsets must fit: a segment counts from its first offset on, an event that is
// not packed takes at least a byte, and a record has no more than stream.MaxEvents.
func (s *scanner) parse(h *header, b []byte, pos int64) string {
	if reason := h.parse(b, s.salt); reason != "" {
		return reason
	}
	switch {
	case h.first < s.first || h.first-s.first > mostBefore(s.version, pos):
		return "record with an impossible offset"
	case h.codec == codec.None && h.count > h.length, s.version > 1 && h.count > stream.MaxEvents:
		return "record with an impossible count"
	}
	return ""
}

// resync moves pos to the next place, at or behind from, where a record header
// can be believed, and reports whether there is one.
func (s *scanner) resync(from int64) (bool, error) {
	var mark [4]byte
	binary.LittleEndian.PutUint32(mark[:], s.salt)
	from = (from + recordAlign - 1) &^ (recordAlign - 1)
	for from < s.limit {
		b, err := s.window(from, scanBufferBytes/2)
		if err != nil {
			return false, err
		}
		if len(b) < recordHeaderBytes {
			break
		}
		i := bytes.Index(b[atSalt:], mark[:])
		switch {
		case i < 0:
			from += int64(len(b)-recordHeaderBytes)&^(recordAlign-1) + recordAlign
			continue
		case i%recordAlign != 0:
			from += int64(i)&^(recordAlign-1) + recordAlign
			continue
		}
		from += int64(i)
		if b, err = s.window(from, recordHeaderBytes); err != nil {
			return false, err
		}
		var h header
		if len(b) == recordHeaderBytes && s.parse(&h, b, from) == "" {
			s.pos = from
			return true, nil
		}
		from += recordAlign
	}
	s.pos = s.limit
	return false, nil
}

// lastNonZero returns the position behind the last byte in [from, limit) that
// is not zero, or from when all are.
func (s *scanner) lastNonZero(from int64) (int64, error) {
	last := from
	for at := from; at < s.limit; {
		b, err := s.window(at, scanBufferBytes)
		if err != nil {
			return 0, err
		}
		if len(b) == 0 {
			break
		}
		if trimmed := len(bytes.TrimRight(b, "\x00")); trimmed > 0 {
			last = at + int64(trimmed)
		}
		at += int64(len(b))
	}
	return last, nil
}
