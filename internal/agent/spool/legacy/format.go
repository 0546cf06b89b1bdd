package legacy

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
)

// Sizes of the fixed parts, in bytes. All numbers are little endian.
const (
	headerBytes   = 64
	frameBytes    = 12
	sealBytes     = 16
	slotBytes     = 16
	producerBytes = 8 + 16 + 1 + 1 + 64 + 4
	maxEventBytes = 1 << 20
)

const (
	segmentMagic  = "AMSPOOL\x01"
	producerMagic = "AMSPROD\x01"
	frameMagic    = "\xf7\x5a"
)

type frameType uint8

const (
	frameEvent frameType = 1
	frameSeal  frameType = 2
)

func checksum(parts ...[]byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // the package keeps one
	var sum uint32
	for _, p := range parts {
		sum = crc32.Update(sum, table, p)
	}
	return sum
}

// segmentHeader starts every segment file.
type segmentHeader struct {
	producer [16]byte
	ordinal  uint64
	moved    byte
	first    uint64 // sequence of its first batch; 0 when a still older build made it
}

// What moved says of a segment's events.
const (
	movedSome byte = 1 // they are copies of some at the ends of earlier segments, and do not count
	movedAll  byte = 2 // all at the ends of earlier segments are in it, and do not count there
)

func decodeHeader(b []byte) (segmentHeader, bool) {
	if len(b) < headerBytes || string(b[:8]) != segmentMagic ||
		binary.LittleEndian.Uint32(b[60:]) != checksum(b[:60]) {
		return segmentHeader{}, false
	}
	h := segmentHeader{ordinal: binary.LittleEndian.Uint64(b[24:]), moved: b[32], first: binary.LittleEndian.Uint64(b[40:])}
	copy(h.producer[:], b[8:])
	return h, true
}

// seal closes a batch: count events that start at file offset off.
type seal struct {
	seq   uint64
	off   uint32
	count uint32
}

func decodeSeal(b []byte) (s seal, ok bool) {
	if len(b) != sealBytes {
		return s, false
	}
	s.seq = binary.LittleEndian.Uint64(b)
	s.off = binary.LittleEndian.Uint32(b[8:])
	s.count = binary.LittleEndian.Uint32(b[12:])
	return s, s.seq > 0 && s.seq < 1<<62 // no spool comes so far
}

// nextFrame reads the frame at the start of b. The payload is part of b.
func nextFrame(b []byte) (t frameType, payload []byte, ok bool) {
	if len(b) < frameBytes || string(b[:2]) != frameMagic || b[3] != 0 {
		return 0, nil, false
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if uint64(n) > maxEventBytes || uint64(n) > uint64(len(b)-frameBytes) {
		return 0, nil, false
	}
	payload = b[frameBytes : frameBytes+int(n)]
	if binary.LittleEndian.Uint32(b[8:]) != checksum(b[2:8], payload) {
		return 0, nil, false
	}
	return frameType(b[2]), payload, true
}

// frame is one readable frame of a segment, at a file offset.
type frame struct {
	off, end int64
	typ      frameType
	payload  []byte
}

// scan walks the frames in b, which starts at file offset base, and calls visit
// for each. What is damaged between them it hands to skip, with its offset; tail is
// the offset behind the last readable frame.
func scan(b []byte, base int64, visit func(frame), skip func(off int64, damaged []byte)) (tail int64) {
	pos, lastGood := 0, 0
	for pos < len(b) {
		t, payload, ok := nextFrame(b[pos:])
		if !ok {
			next := bytes.Index(b[pos+1:], []byte(frameMagic))
			if next < 0 {
				break
			}
			pos += next + 1
			continue
		}
		if pos > lastGood {
			skip(base+int64(lastGood), b[lastGood:pos])
		}
		end := pos + frameBytes + len(payload)
		visit(frame{base + int64(pos), base + int64(end), t, payload})
		pos, lastGood = end, end
	}
	return base + int64(lastGood)
}

func holdsEvents(content []byte) (yes bool) {
	scan(content[min(headerBytes, len(content)):], headerBytes,
		func(f frame) { yes = yes || f.typ == frameEvent }, func(int64, []byte) {})
	return yes
}

// eventsIn is how many events damaged bytes held at least: as many as the frames that
// they divide into, where the beginnings of all can be read; else one, or as many as it
// takes if they are more than an event may be. What is as short as a seal is one.
func eventsIn(b []byte) (atLeast int) {
	const seal, most = frameBytes + sealBytes, frameBytes + maxEventBytes
	left := b
	for len(left) >= frameBytes && string(left[:2]) == frameMagic && left[3] == 0 {
		n := frameBytes + int64(binary.LittleEndian.Uint32(left[4:]))
		if frameType(left[2]) != frameSeal {
			atLeast++
		}
		if n > int64(len(left)) {
			break // torn, or its length is what is damaged
		}
		if left = left[n:]; len(left) == 0 {
			return atLeast
		}
	}
	switch n := len(b); {
	case len(left) == n && atLeast > 0: // one torn frame
		return 1
	case n <= seal && (n == seal || n < frameBytes || frameType(b[2]) == frameSeal):
		return 0
	default:
		return (n + most - 1) / most
	}
}

// cursor is what is known to be acknowledged, and how many events beyond it are on
// disk; -1 when that is not known.
type cursor struct {
	seq  uint64
	held int
}

// readCursor reads the newer of the two slots that can be read.
func readCursor(dir string) (c cursor, ok bool) {
	c.held = -1
	b, err := os.ReadFile(filepath.Join(dir, "cursor"))
	if err != nil {
		return c, false
	}
	for i := 0; i < 2 && (i+1)*slotBytes <= len(b); i++ {
		slot := b[i*slotBytes : (i+1)*slotBytes]
		if binary.LittleEndian.Uint32(slot[12:]) != checksum(slot[:12]) {
			continue
		}
		m := cursor{binary.LittleEndian.Uint64(slot), int(binary.LittleEndian.Uint32(slot[8:])) - 1}
		if !ok || m.seq >= c.seq {
			c, ok = m, true
		}
	}
	return c, ok
}

// readProducer reads the producer file. safe says that no number it gave out can have
// been forgotten: it was closed in order, or the system has not restarted since.
func readProducer(dir, boot string) (id [16]byte, safe, ok bool) {
	b, err := os.ReadFile(filepath.Join(dir, "producer"))
	end := producerBytes - 4
	if err != nil || len(b) != producerBytes || string(b[:8]) != producerMagic ||
		binary.LittleEndian.Uint32(b[end:]) != checksum(b[:end]) {
		return id, false, false
	}
	copy(id[:], b[8:])
	clean, n := b[24] == 1, min(int(b[25]), 64)
	was := string(b[26 : 26+n])
	return id, clean || was != "" && was == boot, true
}
