package hub

import (
	"google.golang.org/protobuf/encoding/protowire"

	stored "github.com/amoskys/amoskys/internal/codec"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// blockBytes bounds the blocks of one Delivery; one larger block makes a Delivery
// alone.
const blockBytes = 256 << 10

// largestBlock is what a client takes that leaves gRPC's limit for a message at 4 MiB.
const largestBlock = 4<<20 - 64<<10

// blockWanted says how a client wants blocks: as they are stored where it knows their
// codec, unpacked where it does not.
type blockWanted struct{ codecs [256]bool }

func newBlockWanted(codecs []pb.Codec) *blockWanted {
	w := &blockWanted{}
	w.codecs[stored.None] = true
	for _, c := range codecs {
		if c >= 0 && int(c) < len(w.codecs) {
			w.codecs[c] = true
		}
	}
	return w
}

// block sends a record as a whole:
//
//	the record                            goes as
//	begins before what was asked for      events, as for a client that wants no blocks: where
//	                                      its cursor stands, a client learns by the first event
//	fits behind what is there             a block more of this Delivery
//	does not                              the first block of the next
//	is larger than a Delivery             the only block of one
//	has a codec that the client has not   a block without one
//	does not unpack then                  a gap
//	is larger than largestBlock, or than  events, likewise
//	  a small Delivery while there is no
//	  room for a large one
func (d *delivery) block(e *stream.Entry) error {
	if e.First < e.From {
		return d.events(e)
	}
	payload, packed := e.Payload, e.Codec
	if !d.blocks.codecs[packed] {
		fields, err := e.Fields()
		if err != nil {
			return d.missing(e)
		}
		payload, packed = fields, stored.None
	}
	size := blockHead + len(e.Publisher) + len(payload)
	if d.count > 0 && (!d.packed || len(d.buf)+size > d.room()) {
		kept, err := d.flushWithin(e)
		switch {
		case err != nil:
			return err
		case !kept:
			return d.block(e) // unpacks it again; there is nothing to flush then
		}
	}
	if d.count == 0 && !d.reserve(size) {
		return d.events(e)
	}
	d.buf = appendBlock(d.buf, e, d.logged, packed, payload)
	d.packed = true
	d.count += e.Count
	return nil
}

// room is how many bytes the Delivery that is being filled may have.
func (d *delivery) room() int {
	if d.large == nil {
		return deliveryBytes
	}
	return blockBytes
}

// reserve makes room for the first block of a Delivery, of size bytes. It reports
// false where there is none.
func (d *delivery) reserve(size int) bool {
	if d.large != nil && size <= blockBytes {
		return true
	}
	d.letGo()
	if size > largestBlock {
		return false
	}
	if large := d.bus.large.take(d.caller, size); large != nil {
		d.large, d.buf = large, (*large.bytes)[:0]
		return true
	}
	return size <= deliveryBytes
}

// letGo gives a large buffer back that nothing is in.
func (d *delivery) letGo() {
	if d.large != nil {
		d.large.release()
		d.large, d.buf = nil, nil
	}
}

// abandon gives back the room of what was sent, when the client has ended the stream and
// nobody reads it any more.
func (d *delivery) abandon() {
	for _, b := range d.given {
		b.abandon()
	}
	d.given = nil
}

// blockHead is more than what of a Block is neither publisher nor payload, with the
// progress that ends a Delivery.
const blockHead = 128

// appendBlock encodes a record as field 5 of a Delivery. logged is its logged_time,
// encoded by appendTime.
func appendBlock(b []byte, e *stream.Entry, logged []byte, packed stored.Codec, payload []byte) []byte {
	size := sizeUint(1, e.First) + sizeUint(2, uint64(e.Count)) + sizeUint(3, uint64(packed)) +
		1 + protowire.SizeBytes(len(logged)) +
		1 + protowire.SizeBytes(len(e.Publisher)) +
		1 + protowire.SizeBytes(len(payload))
	b = protowire.AppendTag(b, 5, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = appendUint(b, 1, e.First)
	b = appendUint(b, 2, uint64(e.Count))
	b = appendUint(b, 3, uint64(packed))
	b = protowire.AppendTag(b, 4, protowire.BytesType)
	b = protowire.AppendBytes(b, logged)
	b = protowire.AppendTag(b, 5, protowire.BytesType)
	b = protowire.AppendString(b, e.Publisher)
	b = protowire.AppendTag(b, 6, protowire.BytesType)
	return protowire.AppendBytes(b, payload)
}
