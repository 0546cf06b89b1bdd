package reading

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// fields goes through the fields of a message, one by one.
type fields struct {
	rest []byte
	bad  bool

	number int
	typ    protowire.Type
	bytes  []byte // of a length-delimited field
	value  uint64 // of a number
}

// next reads one field, and reports whether there was one.
func (f *fields) next() bool {
	if len(f.rest) == 0 || f.bad {
		return false
	}
	number, typ, n := protowire.ConsumeTag(f.rest)
	if n < 0 {
		f.bad = true
		return false
	}
	f.rest = f.rest[n:]
	f.number, f.typ = int(number), typ
	switch typ {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(f.rest)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(f.rest)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(f.rest)
	default:
		n = protowire.ConsumeFieldValue(number, typ, f.rest)
	}
	if n < 0 {
		f.bad = true
		return false
	}
	f.rest = f.rest[n:]
	return true
}

// ok reports whether all of the message was read.
func (f *fields) ok() bool { return !f.bad && len(f.rest) == 0 }

// float is the number of a field of type double.
func (f *fields) float() float64 { return math.Float64frombits(f.value) }

// isText and isNumber report whether a field has the wire type of texts and messages, or
// of numbers other than double.
func (f *fields) isText() bool   { return f.typ == protowire.BytesType }
func (f *fields) isNumber() bool { return f.typ == protowire.VarintType }
func (f *fields) isFloat() bool  { return f.typ == protowire.Fixed64Type }

// moment reads a Timestamp or a Duration.
func moment(b []byte) (seconds, nanos int64) {
	f := fields{rest: b}
	for f.next() {
		switch {
		case !f.isNumber():
		case f.number == 1:
			seconds = int64(f.value)
		case f.number == 2:
			nanos = int64(int32(f.value))
		}
	}
	return seconds, nanos
}

// span is a Duration in seconds.
func span(b []byte) float64 {
	seconds, nanos := moment(b)
	return float64(seconds) + float64(nanos)/1e9
}

// firstTexts returns fields 1 and 2 of a message, which are texts.
func firstTexts(b []byte) (one, two []byte) {
	f := fields{rest: b}
	for f.next() {
		switch {
		case !f.isText():
		case f.number == 1:
			one = f.bytes
		case f.number == 2:
			two = f.bytes
		}
	}
	return one, two
}

// label is a text as the value of a label: at most MaxLabelValue bytes of UTF-8. What is
// no UTF-8, which no event of the log has, gives none.
func label(b []byte) string {
	if len(b) > MaxLabelValue {
		n := MaxLabelValue
		for n > 0 && !utf8.RuneStart(b[n]) {
			n--
		}
		b = b[:n]
	}
	if !utf8.Valid(b) {
		return ""
	}
	return view(b)
}

// clean gives every NaN the bits of an ordinary one: those of others mean that a series is
// stale.
func clean(x float64) float64 {
	if math.IsNaN(x) {
		return math.NaN()
	}
	return x
}

// doubles calls each with the numbers of a repeated double, packed or not.
func (f *fields) doubles(each func(float64)) {
	switch {
	case f.isFloat():
		each(f.float())
	case f.isText():
		for b := f.bytes; len(b) >= 8; b = b[8:] {
			each(math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	}
}
