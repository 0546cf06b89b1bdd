package reader

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/stream"
)

// errNotDelivery says that what a hub sent is none.
var errNotDelivery = errors.New("the hub sent what is no delivery")

// Fields of the messages Delivery, StoredEvent, Block, Gap and Timestamp of bus.proto.
const (
	deliveryEvents, deliveryNext, deliveryGap, deliveryTail, deliveryBlocks       = 1, 2, 3, 4, 5
	eventOffset, eventLogged, eventPublisher, eventEncoded                        = 1, 2, 3, 4
	blockFirst, blockCount, blockCodec, blockLogged, blockPublisher, blockPayload = 1, 2, 3, 4, 5, 6
	gapFrom, gapTo, gapReason, gapCause                                           = 1, 2, 3, 4
	timeSeconds, timeNanos                                                        = 1, 2
)

// delivery is an encoded Delivery that is walked as its events and blocks are asked for.
// Nothing of it is copied but names, so it takes no more memory than its message; what
// comes out of it aliases that. It decides as proto.Unmarshal does what is well formed.
type delivery struct {
	next, tail stream.Offset
	gap        *stream.Gap // of the whole message, until it is told

	rest      []byte // not walked yet
	publisher string // the last that was read, mostly the next too
	logged    loggedTime
}

// open begins a message: it reads all but the events and blocks.
func (d *delivery) open(message []byte) error {
	d.next, d.tail, d.gap, d.rest = 0, 0, nil, message
	var gap gapFields
	err := walk(message, func(f *wireField) error {
		switch {
		case f.is(deliveryNext, protowire.VarintType):
			d.next = f.number
		case f.is(deliveryTail, protowire.VarintType):
			d.tail = f.number
		case f.is(deliveryGap, protowire.BytesType):
			d.gap = &stream.Gap{}
			return gap.read(f.bytes)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if d.gap != nil {
		*d.gap = stream.Gap{From: gap.from, To: gap.to, Cause: causeOf(gap.cause), Reason: gap.reason}
	}
	return nil
}

// item is what a delivery holds: an event or, if isBlock is set, a block.
type item struct {
	event   Event
	block   stream.Entry
	isBlock bool
}

// first is the offset that the item begins at.
func (i *item) first() stream.Offset {
	if i.isBlock {
		return i.block.First
	}
	return i.event.Offset
}

// read reads the next event or block; ok is false behind the last.
func (d *delivery) read(to *item) (ok bool, err error) {
	var f wireField
	for len(d.rest) > 0 {
		if d.rest, err = f.take(d.rest); err != nil {
			return false, err
		}
		switch {
		case f.is(deliveryEvents, protowire.BytesType):
			to.isBlock = false
			return true, d.readEvent(f.bytes, &to.event)
		case f.is(deliveryBlocks, protowire.BytesType):
			to.isBlock = true
			return true, d.readBlock(f.bytes, &to.block)
		}
	}
	return false, nil
}

func (d *delivery) readEvent(b []byte, e *Event) (err error) {
	*e = Event{}
	d.logged.begin()
	var publisher []byte
	var f wireField
	for len(b) > 0 {
		if b, err = f.take(b); err != nil {
			return err
		}
		switch {
		case f.is(eventOffset, protowire.VarintType):
			e.Offset = f.number
		case f.is(eventLogged, protowire.BytesType):
			err = d.logged.read(f.bytes)
		case f.is(eventPublisher, protowire.BytesType):
			publisher = f.bytes
			err = text(publisher)
		case f.is(eventEncoded, protowire.BytesType):
			e.Encoded = f.bytes
		}
		if err != nil {
			return err
		}
	}
	e.Logged, e.Publisher = d.logged.time(), d.name(publisher)
	return nil
}

func (d *delivery) readBlock(b []byte, e *stream.Entry) (err error) {
	*e = stream.Entry{}
	d.logged.begin()
	var publisher []byte
	var packed uint64
	var f wireField
	for len(b) > 0 {
		if b, err = f.take(b); err != nil {
			return err
		}
		switch {
		case f.is(blockFirst, protowire.VarintType):
			e.First = f.number
		case f.is(blockCount, protowire.VarintType):
			e.Count = int(uint32(f.number))
		case f.is(blockCodec, protowire.VarintType):
			packed = f.number
		case f.is(blockLogged, protowire.BytesType):
			err = d.logged.read(f.bytes)
		case f.is(blockPublisher, protowire.BytesType):
			publisher = f.bytes
			err = text(publisher)
		case f.is(blockPayload, protowire.BytesType):
			e.Payload = f.bytes
		}
		if err != nil {
			return err
		}
	}
	e.Codec = codec.Codec(unknownCodec)
	if n := int32(packed); n >= 0 && n < unknownCodec {
		e.Codec = codec.Codec(n)
	}
	e.Next = e.First + stream.Offset(e.Count)
	e.Received, e.Publisher = d.logged.time(), d.name(publisher)
	if e.Next < e.First || e.Count > stream.MaxEvents {
		return fmt.Errorf("%w: a block of %d events at %d", errNotDelivery, e.Count, e.First)
	}
	return nil
}

// unknownCodec stands for all that have larger numbers than ours ever will.
const unknownCodec = 255

// name is a publisher's name, made once as long as it is the same.
func (d *delivery) name(b []byte) string {
	if string(b) != d.publisher {
		d.publisher = string(b)
	}
	return d.publisher
}

// loggedTime reads Timestamps, most of which are like the one before.
type loggedTime struct {
	seconds int64
	nanos   int32

	made               time.Time
	madeSecs, madeNano int64
}

func (t *loggedTime) begin() { t.seconds, t.nanos = 0, 0 }

// read adds what b says to what was read since begin, as protobuf merges messages.
func (t *loggedTime) read(b []byte) error {
	return walk(b, func(f *wireField) error {
		switch {
		case f.is(timeSeconds, protowire.VarintType):
			t.seconds = int64(f.number)
		case f.is(timeNanos, protowire.VarintType):
			t.nanos = int32(f.number)
		}
		return nil
	})
}

func (t *loggedTime) time() time.Time {
	if t.made.IsZero() || t.madeSecs != t.seconds || t.madeNano != int64(t.nanos) {
		t.made, t.madeSecs, t.madeNano = time.Unix(t.seconds, int64(t.nanos)).UTC(), t.seconds, int64(t.nanos)
	}
	return t.made
}

// gapFields are those of a Gap, merged where there are several.
type gapFields struct {
	from, to      uint64
	reason, cause string
}

func (g *gapFields) read(b []byte) error {
	return walk(b, func(f *wireField) error {
		switch {
		case f.is(gapFrom, protowire.VarintType):
			g.from = f.number
		case f.is(gapTo, protowire.VarintType):
			g.to = f.number
		case f.is(gapReason, protowire.BytesType):
			g.reason = string(f.bytes)
			return text(f.bytes)
		case f.is(gapCause, protowire.BytesType):
			g.cause = string(f.bytes)
			return text(f.bytes)
		}
		return nil
	})
}

// text holds a string against what protobuf takes for one.
func text(b []byte) error {
	if !utf8.Valid(b) {
		return fmt.Errorf("%w: a text is not UTF-8", errNotDelivery)
	}
	return nil
}

// wireField is one field of a message. What is not known is skipped.
type wireField struct {
	num    protowire.Number
	typ    protowire.Type
	number uint64 // of a VarintType
	bytes  []byte // of a BytesType
}

func (f *wireField) is(num protowire.Number, typ protowire.Type) bool {
	return f.num == num && f.typ == typ
}

// take reads the field that b begins with and returns what follows it.
func (f *wireField) take(b []byte) (rest []byte, err error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n >= 0 && num > protowire.MaxValidNumber {
		return nil, fmt.Errorf("%w: field %d", errNotDelivery, num)
	}
	if n < 0 {
		return nil, fmt.Errorf("%w: %w", errNotDelivery, protowire.ParseError(n))
	}
	b = b[n:]
	f.num, f.typ = num, typ
	switch typ {
	case protowire.VarintType:
		f.number, n = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(num, typ, b)
	}
	if n < 0 {
		return nil, fmt.Errorf("%w: %w", errNotDelivery, protowire.ParseError(n))
	}
	return b[n:], nil
}

// walk calls take for each field of a message.
func walk(b []byte, take func(*wireField) error) (err error) {
	var f wireField
	for len(b) > 0 {
		if b, err = f.take(b); err != nil {
			return err
		}
		if err := take(&f); err != nil {
			return err
		}
	}
	return nil
}
