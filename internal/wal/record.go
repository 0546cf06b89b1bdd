package wal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/stream"
)

// A record is a fixed header, the publisher's name, the payload, padding to a
// multiple of eight bytes and a trailer. See docs/formats.md, "Record".
const (
	recordHeaderBytes  = 104
	recordTrailerBytes = 4
	recordAlign        = 8
	chainBytes         = sha256.Size

	// The places in the header.
	atLength    = 0  // u32, header + publisher + payload; 0 ends the segment
	atSalt      = 4  // u32, the segment's salt
	atFirst     = 8  // u64
	atReceived  = 16 // i64, ns since 1970
	atSequence  = 24 // u64
	atProducer  = 32 // 16 bytes
	atSynced    = 48 // u64, durable bytes of the segment when this was written
	atCount     = 56 // u32
	atBodyCRC   = 60 // u32, of publisher and payload
	atChain     = 64 // 32 bytes
	atKind      = 96 // u8
	atPublisher = 97 // u8, length of the name
	atCodec     = 98 // u8, zero in version 1
	atReserved  = 99 // u8, zero
	atHeaderCRC = 100
)

// header is a record's header, decoded.
type header struct {
	length    uint32
	salt      uint32
	first     Offset
	received  int64
	sequence  uint64
	producer  [16]byte
	synced    uint64
	count     uint32
	bodyCRC   uint32
	chain     [chainBytes]byte
	kind      Kind
	publisher uint8
	codec     codec.Codec
	reserved  uint8
}

// smallestRecordBytes is what a record takes up at least.
const smallestRecordBytes = 112

// mostEvents returns an upper bound of the events that n bytes of a segment hold. In
// version 1 an event takes a byte at least; packed events may take less, so from
// version 2 on a record is as full as it may be.
func mostEvents(version uint32, n int64) Offset {
	if version == 1 {
		return Offset(n)
	}
	return Offset((n + smallestRecordBytes - 1) / smallestRecordBytes * stream.MaxEvents)
}

// castagnoli returns the CRC-32C table; crc32 makes it once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// paddedSize returns the bytes that a record of the given length takes up.
func paddedSize(length uint32) int64 {
	n := int64(length) + recordTrailerBytes
	return (n + recordAlign - 1) &^ (recordAlign - 1)
}

// mostBefore returns an upper bound of the events before position pos of a segment.
func mostBefore(version uint32, pos int64) Offset {
	if version == 1 {
		return Offset(pos)
	}
	return mostEvents(version, pos-segmentHeaderBytes)
}

// size returns the bytes the record takes up.
func (h *header) size() int64 { return paddedSize(h.length) }

// trailer returns the record's last four bytes: the length, inverted, so that
// the last byte is never zero and a torn record shows.
func (h *header) trailer() uint32 { return ^h.length }

// behind returns the offset behind the record's last event.
func (h *header) behind() Offset { return h.first + Offset(h.count) }

// put writes the header to b, which has recordHeaderBytes.
func (h *header) put(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b[atLength:], h.length)
	le.PutUint32(b[atSalt:], h.salt)
	le.PutUint64(b[atFirst:], h.first)
	le.PutUint64(b[atReceived:], uint64(h.received))
	le.PutUint64(b[atSequence:], h.sequence)
	copy(b[atProducer:], h.producer[:])
	le.PutUint64(b[atSynced:], h.synced)
	le.PutUint32(b[atCount:], h.count)
	le.PutUint32(b[atBodyCRC:], h.bodyCRC)
	copy(b[atChain:], h.chain[:])
	b[atKind] = byte(h.kind)
	b[atPublisher] = h.publisher
	b[atCodec], b[atReserved] = byte(h.codec), h.reserved
	le.PutUint32(b[atHeaderCRC:], crc32.Checksum(b[:atHeaderCRC], castagnoli()))
}

// parse decodes and checks b, which has at least recordHeaderBytes. It returns
// what is wrong, or "".
func (h *header) parse(b []byte, salt uint32) string {
	le := binary.LittleEndian
	if crc32.Checksum(b[:atHeaderCRC], castagnoli()) != le.Uint32(b[atHeaderCRC:]) {
		return "record header fails its checksum"
	}
	h.length = le.Uint32(b[atLength:])
	h.salt = le.Uint32(b[atSalt:])
	h.first = le.Uint64(b[atFirst:])
	h.received = int64(le.Uint64(b[atReceived:]))
	h.sequence = le.Uint64(b[atSequence:])
	copy(h.producer[:], b[atProducer:])
	h.synced = le.Uint64(b[atSynced:])
	h.count = le.Uint32(b[atCount:])
	h.bodyCRC = le.Uint32(b[atBodyCRC:])
	copy(h.chain[:], b[atChain:])
	h.kind = Kind(b[atKind])
	h.publisher = b[atPublisher]
	h.codec, h.reserved = codec.Codec(b[atCodec]), b[atReserved]
	switch {
	case h.salt != salt:
		return "record belongs to another segment"
	case h.kind != KindEvents && h.kind != KindCheckpoint:
		return fmt.Sprintf("record of unknown kind %d", h.kind)
	case h.kind == KindCheckpoint && h.count != 0, h.kind == KindEvents && h.count == 0:
		return "record with an impossible count"
	case h.length < recordHeaderBytes+uint32(h.publisher), h.length > MaxRecordBytes:
		return "record with an impossible length"
	}
	return ""
}

// checkBody checks the whole record b, whose header is h. It returns what is
// wrong, or "".
func (h *header) checkBody(b []byte) string {
	if crc32.Checksum(b[recordHeaderBytes:h.length], castagnoli()) != h.bodyCRC {
		return "record body fails its checksum"
	}
	end := len(b) - recordTrailerBytes
	for _, c := range b[h.length:end] {
		if c != 0 {
			return "record padding is not zero"
		}
	}
	if binary.LittleEndian.Uint32(b[end:]) != h.trailer() {
		return "record trailer does not match its length"
	}
	return ""
}

// unread says what a whole record holds that this program does not know, "" when it
// knows all of it. No build has ever written such a record into a segment of version 1.
func (h *header) unread() string {
	switch {
	case h.kind == KindEvents && h.codec != codec.None && !slices.Contains(codec.Known(), h.codec):
		return "events are packed in a way that this program does not know: " + h.codec.String()
	case h.kind == KindCheckpoint && h.codec != codec.None:
		return "a checkpoint is packed: " + h.codec.String()
	case h.reserved != 0:
		return fmt.Sprintf("record has a mark that this program does not know: %d", h.reserved)
	}
	return ""
}

// body returns the publisher's name and the payload of the record b.
func (h *header) body(b []byte) (publisher, payload []byte) {
	at := recordHeaderBytes + int(h.publisher)
	return b[recordHeaderBytes:at:at], b[at:h.length:h.length]
}

// hasher computes digests. Its buffers are part of it because what is handed
// to a hash.Hash escapes to the heap.
type hasher struct {
	sum hash.Hash
	pre [40]byte
	out [sha256.Size]byte
}

func newHasher() *hasher { return &hasher{sum: sha256.New()} }

// digest hashes what the caller of Submit knows about a record, so that the
// bulk of hashing runs outside the writer.
func (d *hasher) digest(h *header, publisher []byte, payload ...[]byte) *[sha256.Size]byte {
	le := binary.LittleEndian
	le.PutUint64(d.pre[0:], uint64(h.received))
	le.PutUint64(d.pre[8:], h.sequence)
	copy(d.pre[16:], h.producer[:])
	le.PutUint32(d.pre[32:], h.count)
	d.pre[36], d.pre[37], d.pre[38] = byte(h.kind), h.publisher, byte(h.codec)
	d.sum.Reset()
	d.sum.Write(d.pre[:])
	d.sum.Write(publisher)
	for _, p := range payload {
		d.sum.Write(p)
	}
	d.sum.Sum(d.out[:0])
	return &d.out
}

// link returns the chain value of a record with header h and digest d that
// follows one with chain value prev.
func (h *header) link(prev *[chainBytes]byte, d *[sha256.Size]byte) [chainBytes]byte {
	var b [chainBytes + 16 + sha256.Size]byte
	copy(b[:], prev[:])
	binary.LittleEndian.PutUint64(b[chainBytes:], h.first)
	binary.LittleEndian.PutUint64(b[chainBytes+8:], h.synced)
	copy(b[chainBytes+16:], d[:])
	return sha256.Sum256(b[:])
}

// follows checks that the record b with header h carries the chain on from
// prev.
func (h *header) follows(prev *[chainBytes]byte, d *hasher, b []byte) bool {
	publisher, payload := h.body(b)
	return h.link(prev, d.digest(h, publisher, payload)) == h.chain
}

// receivedTime returns the receive time.
func (h *header) receivedTime() time.Time { return time.Unix(0, h.received).UTC() }
