package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/amoskys/amoskys/internal/codec"
)

// Sizes of the fixed parts, in bytes. All numbers are little endian.
const (
	headerBytes = 64
	headBytes   = 28
)

const (
	segmentMagic = "AMSPOOL\x02"
	frameMagic   = "\xf7\x5a"
)

// frameType says what is in a frame.
type frameType uint8

const (
	// frameBatch is a sealed batch, in a segment.
	frameBatch frameType = 3
	// frameEvent is one event of the open batch, in the journal.
	frameEvent frameType = 4
)

// maxSequence is beyond what any spool comes to; a number above it is damage.
const maxSequence = 1 << 62

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
	first    uint64 // sequence of its first batch
}

func (h segmentHeader) encode() []byte {
	b := make([]byte, headerBytes)
	copy(b, segmentMagic)
	copy(b[8:], h.producer[:])
	binary.LittleEndian.PutUint64(b[24:], h.ordinal)
	binary.LittleEndian.PutUint64(b[32:], h.first)
	binary.LittleEndian.PutUint32(b[60:], checksum(b[:60]))
	return b
}

func decodeHeader(b []byte) (segmentHeader, bool) {
	if len(b) < headerBytes || string(b[:8]) != segmentMagic ||
		binary.LittleEndian.Uint32(b[60:]) != checksum(b[:60]) {
		return segmentHeader{}, false
	}
	h := segmentHeader{ordinal: binary.LittleEndian.Uint64(b[24:]), first: binary.LittleEndian.Uint64(b[32:])}
	copy(h.producer[:], b[8:])
	return h, true
}

// head starts every frame. It has a checksum of its own, so that a payload which
// rots does not take along what it was.
type head struct {
	typ   frameType
	codec codec.Codec // of the payload
	size  int         // of the payload, in bytes
	seq   uint64      // of the batch; of an event, the one that its batch will have
	count uint32      // events in the batch; of an event, how many are before it
	sum   uint32      // of the payload
}

// appendFrame adds a frame to dst. It fills in size and sum.
func appendFrame(dst []byte, h head, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headBytes)...)
	dst = append(dst, payload...)
	h.put(dst[start:])
	return dst
}

// put writes the head of a frame in front of its payload. It fills in size and sum.
func (h head) put(frame []byte) {
	payload := frame[headBytes:]
	copy(frame, frameMagic)
	frame[2], frame[3] = byte(h.typ), byte(h.codec)
	binary.LittleEndian.PutUint32(frame[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint64(frame[8:], h.seq)
	binary.LittleEndian.PutUint32(frame[16:], h.count)
	binary.LittleEndian.PutUint32(frame[20:], checksum(payload))
	binary.LittleEndian.PutUint32(frame[24:], checksum(frame[:24]))
}

// decodeHead reads the head at the start of b.
func decodeHead(b []byte) (h head, ok bool) {
	if len(b) < headBytes || string(b[:2]) != frameMagic ||
		binary.LittleEndian.Uint32(b[24:]) != checksum(b[:24]) {
		return h, false
	}
	size := binary.LittleEndian.Uint32(b[4:])
	h = head{
		typ: frameType(b[2]), codec: codec.Codec(b[3]), size: int(size & (1<<30 - 1)),
		seq: binary.LittleEndian.Uint64(b[8:]), count: binary.LittleEndian.Uint32(b[16:]), sum: binary.LittleEndian.Uint32(b[20:]),
	}
	most := uint32(maxFieldBytes)
	if h.typ == frameEvent {
		most = MaxEventBytes
	}
	return h, size <= most && h.seq > 0
}

// frame is one frame of a file, whose head is readable.
type frame struct {
	head
	off, end int64
	payload  []byte
	rotten   bool // payload is not what was written
}

// scan walks the frames in b, which starts at file offset base, and calls visit for
// each. What is damaged between them it hands to skip; tail is the offset behind the
// last frame that is all there.
func scan(b []byte, base int64, visit func(frame), skip func(damaged []byte)) (tail int64) {
	pos, last := 0, 0
	for pos < len(b) {
		h, ok := decodeHead(b[pos:])
		if !ok {
			next := bytes.Index(b[pos+1:], []byte(frameMagic))
			if next < 0 {
				break
			}
			pos += next + 1
			continue
		}
		end := pos + headBytes + h.size
		if pos > last {
			skip(b[last:pos])
		}
		last = pos
		if end > len(b) {
			break // torn: nothing is behind it
		}
		payload := b[pos+headBytes : end]
		visit(frame{h, base + int64(pos), base + int64(end), payload, checksum(payload) != h.sum})
		pos, last = end, end
	}
	return base + int64(last)
}
