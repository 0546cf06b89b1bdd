package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// Sizes of the fixed parts, in bytes. All numbers are little endian.
const (
	headerBytes = 64
	frameBytes  = 12
	sealBytes   = 16
)

const (
	segmentMagic = "AMSPOOL\x01"
	frameMagic   = "\xf7\x5a"
)

type frameType uint8

const (
	frameEvent frameType = 1
	frameSeal  frameType = 2
)

// castagnoli is the CRC32C table; the crc32 package keeps one, this only names it.
func checksum(parts ...[]byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
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
}

// What moved says of a segment's events.
const (
	movedNone byte = iota
	movedSome      // they are copies of some at the ends of earlier segments, and do not count
	movedAll       // all at the ends of earlier segments are in it, and do not count there
)

func (h segmentHeader) encode() []byte {
	b := make([]byte, headerBytes)
	copy(b, segmentMagic)
	copy(b[8:], h.producer[:])
	binary.LittleEndian.PutUint64(b[24:], h.ordinal)
	b[32] = h.moved
	binary.LittleEndian.PutUint32(b[60:], checksum(b[:60]))
	return b
}

func decodeHeader(b []byte) (segmentHeader, bool) {
	if len(b) < headerBytes || string(b[:8]) != segmentMagic ||
		binary.LittleEndian.Uint32(b[60:]) != checksum(b[:60]) {
		return segmentHeader{}, false
	}
	h := segmentHeader{ordinal: binary.LittleEndian.Uint64(b[24:]), moved: b[32]}
	copy(h.producer[:], b[8:])
	return h, true
}

// appendFrame adds one frame to dst.
func appendFrame(dst []byte, t frameType, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, frameMagic...)
	dst = append(dst, byte(t), 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	sum := checksum(dst[start+2:start+8], payload)
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	return append(dst, payload...)
}

// seal closes a batch: count events that start at file offset off.
type seal struct {
	seq   uint64
	off   uint32
	count uint32
}

func (s seal) encode() []byte {
	b := make([]byte, 0, sealBytes)
	b = binary.LittleEndian.AppendUint64(b, s.seq)
	b = binary.LittleEndian.AppendUint32(b, s.off)
	return binary.LittleEndian.AppendUint32(b, s.count)
}

func decodeSeal(b []byte) (seal, bool) {
	if len(b) != sealBytes {
		return seal{}, false
	}
	return seal{
		seq:   binary.LittleEndian.Uint64(b),
		off:   binary.LittleEndian.Uint32(b[8:]),
		count: binary.LittleEndian.Uint32(b[12:]),
	}, true
}

// nextFrame reads the frame at the start of b. The payload is part of b.
func nextFrame(b []byte) (t frameType, payload []byte, ok bool) {
	if len(b) < frameBytes || string(b[:2]) != frameMagic || b[3] != 0 {
		return 0, nil, false
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if uint64(n) > MaxEventBytes || uint64(n) > uint64(len(b)-frameBytes) {
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
// for each. Between frames it skips what is damaged; tail is the offset behind
// the last readable frame and damaged counts the bytes skipped before it.
func scan(b []byte, base int64, visit func(frame)) (tail, damaged int64) {
	pos, lastGood, skipped := 0, 0, 0
	for pos < len(b) {
		t, payload, ok := nextFrame(b[pos:])
		if !ok {
			next := bytes.Index(b[pos+1:], []byte(frameMagic))
			if next < 0 {
				break
			}
			skipped += next + 1
			pos += next + 1
			continue
		}
		damaged += int64(skipped)
		skipped = 0
		end := pos + frameBytes + len(payload)
		visit(frame{base + int64(pos), base + int64(end), t, payload})
		pos, lastGood = end, end
	}
	return base + int64(lastGood), damaged
}
