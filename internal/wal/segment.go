package wal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A segment starts with a header of fixed size. See docs/formats.md,
// "Segment".
const (
	segmentHeaderBytes = 128
	segmentMagic       = "AMOSKWAL"
	segmentVersion     = 2 // records may be packed; what is new is written in it
	segmentSuffix      = ".wal"
	tempSuffix         = ".tmp"

	segmentCRCAt = segmentHeaderBytes - 4

	// flagCheckpoint says that the first record is a checkpoint.
	flagCheckpoint = 1
	// flagVoid says that behind the last record of the segment before may lie what is
	// left of a write that failed.
	flagVoid = 2
)

// segmentHeader is a segment's header, decoded.
type segmentHeader struct {
	version uint32
	flags   uint32
	first   Offset
	created int64            // ns since 1970
	prev    [chainBytes]byte // last chain value of the segment before
	salt    uint32           // not zero; marks this segment's records
}

func (h *segmentHeader) encode() []byte {
	b := make([]byte, segmentHeaderBytes)
	le := binary.LittleEndian
	copy(b, segmentMagic)
	le.PutUint32(b[8:], h.version)
	le.PutUint32(b[12:], h.flags)
	le.PutUint64(b[16:], h.first)
	le.PutUint64(b[24:], uint64(h.created))
	copy(b[32:], h.prev[:])
	le.PutUint32(b[64:], h.salt)
	le.PutUint32(b[segmentCRCAt:], crc32.Checksum(b[:segmentCRCAt], castagnoli()))
	return b
}

// parse decodes and checks b and returns what is wrong, or "". The error is ErrNewer.
func (h *segmentHeader) parse(b []byte) (string, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < segmentHeaderBytes:
		return "segment header is cut short", nil
	case string(b[:8]) != segmentMagic:
		return "segment does not start with the magic " + segmentMagic, nil
	case crc32.Checksum(b[:segmentCRCAt], castagnoli()) != le.Uint32(b[segmentCRCAt:]):
		return "segment header fails its checksum", nil
	case le.Uint32(b[8:]) > segmentVersion:
		return "", fmt.Errorf("it has version %d, this program reads versions up to %d: %w", le.Uint32(b[8:]), segmentVersion, ErrNewer)
	case le.Uint32(b[8:]) == 0:
		return "segment header without version", nil
	}
	h.version = le.Uint32(b[8:])
	h.flags = le.Uint32(b[12:])
	h.first = le.Uint64(b[16:])
	h.created = int64(le.Uint64(b[24:]))
	copy(h.prev[:], b[32:])
	h.salt = le.Uint32(b[64:])
	switch {
	case h.salt == 0:
		return "segment header without salt", nil
	case h.first > maxOffset:
		h.salt = 0
		return "segment with an impossible offset", nil
	}
	return "", nil
}

// chain returns the value that the segment's first record is chained to; it
// covers the whole header and so the segment before.
func (h *segmentHeader) chain() [chainBytes]byte { return sha256.Sum256(h.encode()) }

// newSalt returns a random salt. Publishers do not know it, so that bytes they
// send can never pass for a record when damage is skipped by searching.
func newSalt() uint32 {
	var b [4]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if s := binary.LittleEndian.Uint32(b[:]); s != 0 {
			return s
		}
	}
}

// segmentName returns the file name of the segment that starts at first.
func segmentName(first Offset) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// parseSegmentName is the reverse of segmentName.
func parseSegmentName(name string) (Offset, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n <= maxOffset
}

// segment is a segment file as the log knows it. All fields but the index are
// fixed once a view that holds the segment as a sealed one is published.
type segment struct {
	name    string
	first   Offset
	created time.Time
	salt    uint32
	version uint32
	end     int64 // readable bytes once sealed

	mu    sync.Mutex
	index []indexEntry // sparse, in order; guarded by mu
}

// indexEntry says that the record at pos starts with offset first.
type indexEntry struct {
	first Offset
	pos   int64
}

// indexEvery is the distance of index entries in bytes.
const indexEvery = 1 << 20

// note adds a record to the sparse index when it is far enough from the last.
func (s *segment) note(first Offset, pos int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.index); n == 0 || pos-s.index[n-1].pos >= indexEvery {
		s.index = append(s.index, indexEntry{first, pos})
	}
}

// seek returns a position at or before the record that holds off.
func (s *segment) seek(off Offset) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	pos := int64(segmentHeaderBytes)
	for _, e := range s.index {
		if e.first > off {
			break
		}
		pos = e.pos
	}
	return pos
}

func (s *segment) path(dir string) string { return filepath.Join(dir, s.name) }
