package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/amoskys/amoskys/internal/codec"
)

// MaxBatchBytes bounds Options.Bytes. Hubs take 256 KiB by default.
const MaxBatchBytes = 4 << 20

// maxFieldBytes is how long the fields of a batch may be, tags and lengths included.
const maxFieldBytes = MaxBatchBytes + 512<<10

// errFields says that unpacked bytes are not the event fields of a batch.
var errFields = errors.New("not the events of a batch")

// Batch is a sealed run of events as it lies in the spool. It belongs to the caller.
type Batch struct {
	Producer [16]byte
	Sequence uint64
	Count    int // events
	// Packed is what Codec makes of the fields "events" of a PublishRequest, one behind
	// the other: tag, length, bytes. Events that packing does not make smaller have the
	// codec None.
	Codec  codec.Codec
	Packed []byte
}

// Events unpacks a batch. The slices share memory, Packed's where nothing was packed.
func (b *Batch) Events() ([][]byte, error) {
	fields, err := b.fields()
	if err != nil {
		return nil, fmt.Errorf("unpack batch %d: %w", b.Sequence, err)
	}
	events := make([][]byte, 0, min(b.Count, len(fields)/2))
	for len(fields) > 0 {
		size, n := binary.Uvarint(fields[1:])
		if fields[0] != codec.EventsTag || n <= 0 || size > uint64(len(fields)-1-n) {
			return nil, fmt.Errorf("unpack batch %d: %w", b.Sequence, errFields)
		}
		begin := 1 + n
		end := begin + int(size)
		events = append(events, fields[begin:end:end])
		fields = fields[end:]
	}
	if len(events) != b.Count {
		return nil, fmt.Errorf("unpack batch %d: %w: there are %d, not %d", b.Sequence, errFields, len(events), b.Count)
	}
	return events, nil
}

func (b *Batch) fields() ([]byte, error) {
	if b.Codec == codec.None {
		return b.Packed, nil
	}
	return b.Codec.Unpack(nil, b.Packed, maxFieldBytes)
}

// fieldBytes is how long an event is as a field.
func fieldBytes(event []byte) int {
	return 1 + (bits.Len64(uint64(len(event))|1)+6)/7 + len(event)
}

// packFrame adds the frame of a batch to dst: packed, unless that makes it no smaller.
func packFrame(dst []byte, seq uint64, count int, fields []byte) []byte {
	h := head{typ: frameBatch, codec: codec.S2, seq: seq, count: uint32(count)}
	start := len(dst)
	body := start + headBytes
	dst = append(dst, make([]byte, headBytes)...)
	if dst = h.codec.Pack(dst, fields); len(dst)-body >= len(fields) {
		h.codec = codec.None
		dst = append(dst[:body], fields...)
	}
	h.put(dst[start:])
	return dst
}
