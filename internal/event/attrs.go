package event

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/identity/hostname"
)

// Attr is one set attribute of an event. An attribute that repeats has several,
// in order; so has one of a message that repeats.
type Attr struct {
	ID FieldID
	// Key names the entry of a map attribute; nil for others.
	Key   []byte
	Value Value
}

// Attrs are the attributes of one encoded event, found without decoding it: no
// map, no reflection and, once List has grown, no allocation. One Attrs is used
// over and over. What List holds aliases the encoded event and is valid until the
// next Read.
//
// The attributes are exactly those that the decoded event has, in the order in
// which they stand in the bytes. Attributes that the table does not map, unknown
// fields among them, are left out.
type Attrs struct {
	List []Attr

	odd   bool // a field stands twice, or a map is not in order: see Read
	parts bool // something of the event is no attribute: see Whole
}

// Whole reports whether the attributes alone make the event whole: Field.Set and
// Field.SetEntries, given each of them, build one that is equal to the decoded one. It
// is not of an event with messages that repeat or are set and empty, with unknown
// fields, an odd encoding, or a duration beyond 292 years.
func (a *Attrs) Whole() bool { return !a.odd && !a.parts }

// Read replaces List by the attributes of encoded, which Inspect has accepted. Of
// other bytes it returns an error that wraps ErrMalformed, or what it could read.
//
// Encoders write each field once and in any order. Where a hostile one wrote a
// field twice, the decoder lets the last win, merges messages, and lets one body
// displace another; Read then decodes and encodes the event, which costs more and
// gives the same.
func (a *Attrs) Read(encoded []byte) error {
	a.List, a.odd, a.parts = a.List[:0], false, false
	if err := a.message(encoded, eventShape()); err != nil {
		return err
	}
	if !a.odd {
		return nil
	}
	ev, err := Decode(encoded)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	canonical, err := Encode(ev)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	a.List = a.List[:0]
	err = a.message(canonical, eventShape())
	a.odd = true
	return err
}

// ReadStored is Read for an event of the log, as Attribute completes one: the
// publisher, which the record tells, is an attribute as well, and names of hosts
// and agent are in the form in which they are shown.
func (a *Attrs) ReadStored(encoded []byte, publisher string) error {
	if err := a.Read(encoded); err != nil {
		return err
	}
	fields := compiled().fields
	for i := range a.List {
		if attr := &a.List[i]; fields[attr.ID].isName {
			attr.Value.text = hostname.NormalBytes(attr.Value.text)
		}
	}
	if publisher != "" {
		a.List = append(a.List, Attr{ID: publisherField().ID, Value: Value{kind: valueText, text: []byte(publisher)}})
	}
	return nil
}

// message reads the fields of one message.
func (a *Attrs) message(b []byte, s *shape) error {
	var seen uint64 // fields of this message, by number
	var body bool
	var last []byte // key of the last entry of a map
	for len(b) > 0 {
		num, typ, n := consumeTag(b)
		if n < 0 {
			return malformed(s, num)
		}
		b = b[n:]
		v, n := consumeValue(num, typ, b)
		if n < 0 {
			return malformed(s, num)
		}
		b = b[n:]
		if int(num) >= len(s.leaves) || s.leaves[num].kind == leafNone {
			a.parts = true
			continue
		}
		l, f := &s.leaves[num], &s.fields[num]
		if typ != f.wire {
			// Else the decoder takes it for an unknown field.
			switch {
			case typ != protowire.BytesType || !f.packed:
				a.parts = true
			case a.packed(v, l, f.wire) != nil:
				return malformed(s, num)
			}
			continue
		}
		if l.once {
			bit := uint64(1) << (num & 63)
			a.odd = a.odd || seen&bit != 0 || l.oneof && body || num > 63
			seen |= bit
			body = body || l.oneof
		}
		if l.kind == leafMap {
			key, err := a.entry(v, l, f.sub)
			if err != nil {
				return err
			}
			a.odd = a.odd || last != nil && bytes.Compare(last, key) >= 0
			last = key
			continue
		}
		if err := a.field(v, l, f); err != nil {
			return err
		}
	}
	return nil
}

// consumeValue returns what follows a tag, without the length of bytes, and how
// many bytes all of it has; below 0 for an error.
func consumeValue(num protowire.Number, typ protowire.Type, b []byte) (v []byte, n int) {
	switch {
	case typ == protowire.BytesType:
		if len(b) > 0 && b[0] < 0x80 { // most are short
			if n = 1 + int(b[0]); n > len(b) {
				return nil, -1
			}
			return b[1:n], n
		}
		return protowire.ConsumeBytes(b)
	case typ == protowire.VarintType && len(b) > 0 && b[0] < 0x80:
		return b[:1], 1
	}
	if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
		return nil, n
	}
	return b[:n], n
}

// field reads the value of one field: v is what follows its tag, without length.
func (a *Attrs) field(v []byte, l *leaf, f *field) error {
	switch l.kind {
	case leafGroup:
		before := len(a.List)
		err := a.message(v, f.sub)
		a.parts = a.parts || !l.once || len(a.List) == before
		return err
	case leafText, leafBytes:
		if len(v) > 0 || l.presence {
			kind := valueText
			if l.kind == leafBytes {
				kind = valueBytes
			}
			a.List = append(a.List, Attr{ID: l.id, Value: Value{kind: kind, text: v}})
		}
	case leafTime, leafDuration:
		return a.moment(v, l, f.sub)
	case leafDouble:
		a.number(binary.LittleEndian.Uint64(v), l)
	default:
		n := uint64(v[0])
		if len(v) > 1 {
			n, _ = protowire.ConsumeVarint(v)
		}
		a.number(n, l)
	}
	return nil
}

// packed reads the numbers of a repeated field that are written as one value.
func (a *Attrs) packed(v []byte, l *leaf, wire protowire.Type) error {
	for len(v) > 0 {
		var x uint64
		var n int
		if wire == protowire.Fixed64Type {
			x, n = protowire.ConsumeFixed64(v)
		} else {
			x, n = protowire.ConsumeVarint(v)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		v = v[n:]
		a.number(x, l)
	}
	return nil
}

// number appends a number, cut to the width of its type as the decoder does.
func (a *Attrs) number(x uint64, l *leaf) {
	value := Value{num: x}
	switch l.kind {
	case leafEnum:
		value.kind, value.names, value.num = valueEnum, &l.enum, uint64(int32(x))
	case leafBool:
		value.kind = valueBool
		if x != 0 {
			value.num = 1
		}
	case leafInt32:
		value.kind, value.num = valueInt, uint64(int32(x))
	case leafInt64:
		value.kind = valueInt
	case leafUint32:
		value.kind, value.num = valueUint, uint64(uint32(x))
	case leafDouble:
		value.kind = valueDouble
	default:
		value.kind = valueUint
	}
	if value.num != 0 || l.presence {
		a.List = append(a.List, Attr{ID: l.id, Value: value})
	}
}

// moment reads a Timestamp or Duration: seconds in field 1, nanoseconds in 2.
func (a *Attrs) moment(b []byte, l *leaf, s *shape) error {
	value := Value{kind: valueTime}
	if l.kind == leafDuration {
		value.kind = valueDuration
	}
	for len(b) > 0 {
		num, typ, n := consumeTag(b)
		if n < 0 {
			return malformed(s, num)
		}
		b = b[n:]
		v, n := consumeValue(num, typ, b)
		if n < 0 {
			return malformed(s, num)
		}
		b = b[n:]
		x := uint64(0)
		if typ == protowire.VarintType {
			x, _ = protowire.ConsumeVarint(v)
		}
		switch known := typ == protowire.VarintType; {
		case known && num == 1:
			value.num = x
		case known && num == 2:
			value.nanos = int32(x)
		default:
			a.parts = true
		}
	}
	a.parts = a.parts || value.nanos < 0 || value.nanos > maxNanos || l.kind == leafDuration && value.duration() == math.MaxInt64
	a.List = append(a.List, Attr{ID: l.id, Value: value})
	return nil
}

// entry reads one entry of a map from text to text and returns its key.
func (a *Attrs) entry(b []byte, l *leaf, s *shape) (key []byte, err error) {
	out := Attr{ID: l.id, Key: []byte{}, Value: Value{kind: valueText}}
	for len(b) > 0 {
		num, typ, n := consumeTag(b)
		if n < 0 {
			return nil, malformed(s, num)
		}
		b = b[n:]
		v, n := consumeValue(num, typ, b)
		if n < 0 {
			return nil, malformed(s, num)
		}
		b = b[n:]
		if typ == protowire.BytesType {
			switch int32(num) {
			case 1:
				out.Key = v
			case 2:
				out.Value.text = v
			}
		}
	}
	a.List = append(a.List, out)
	return out.Key, nil
}

// isFinite reports whether JSON has a form for the number.
func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
