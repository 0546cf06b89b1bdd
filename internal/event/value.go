package event

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Value is what an attribute is set to. Its text aliases the encoded event.
type Value struct {
	kind  valueKind
	nanos int32
	num   uint64 // a number's bits, seconds of a time, or 1 for true
	text  []byte
	names *[]string // of an enumeration, by number
}

type valueKind uint8

const (
	valueText valueKind = iota
	valueBytes
	valueEnum
	valueBool
	valueInt
	valueUint
	valueDouble
	valueTime
	valueDuration
)

// Text returns the bytes of a text, and false for values of other types.
func (v *Value) Text() (text []byte, ok bool) { return v.text, v.kind == valueText }

// Time returns a point in time, and false for values of other types.
func (v *Value) Time() (at time.Time, ok bool) {
	return time.Unix(int64(v.num), int64(v.nanos)).UTC(), v.kind == valueTime
}

// Float returns a number, or a duration in seconds, and false for values of other
// types. Whole numbers beyond 2^53 lose their last digits.
func (v *Value) Float() (x float64, ok bool) {
	switch v.kind { //nolint:exhaustive // the others are no numbers
	case valueInt:
		return float64(int64(v.num)), true
	case valueUint:
		return float64(v.num), true
	case valueDouble:
		return math.Float64frombits(v.num), true
	case valueDuration:
		return v.duration().Seconds(), true
	}
	return 0, false
}

// Nanoseconds returns a duration exactly, but one beyond 292 years as them, and false
// for values of other types.
func (v *Value) Nanoseconds() (n int64, ok bool) { return int64(v.duration()), v.kind == valueDuration }

// duration saturates where time.Duration does, as durationpb's AsDuration.
func (v *Value) duration() time.Duration {
	seconds, nanos := int64(v.num), int64(v.nanos)
	if seconds > math.MaxInt64/int64(time.Second) {
		return math.MaxInt64
	}
	if seconds < math.MinInt64/int64(time.Second) {
		return math.MinInt64
	}
	d := seconds*int64(time.Second) + nanos
	switch {
	case seconds > 0 && nanos > 0 && d < 0:
		return math.MaxInt64
	case seconds < 0 && nanos < 0 && d > 0:
		return math.MinInt64
	}
	return time.Duration(d)
}

// Any returns the value as Fields gives it.
func (v *Value) Any() any {
	switch v.kind {
	case valueText:
		return string(v.text)
	case valueBytes:
		return IDString(v.text)
	case valueEnum:
		return v.enumText()
	case valueBool:
		return v.num != 0
	case valueInt:
		return int64(v.num)
	case valueUint:
		return v.num
	case valueDouble:
		return math.Float64frombits(v.num)
	case valueTime:
		at, _ := v.Time()
		return at
	case valueDuration:
		return v.duration().Seconds()
	}
	return nil
}

func (v *Value) enumText() string {
	if v.num < uint64(len(*v.names)) {
		return (*v.names)[v.num]
	}
	return strconv.FormatInt(int64(v.num), 10)
}

// Append appends the value as people read it: times as RFC 3339 in UTC, durations
// in seconds, ids as UUIDs, enumerations by their names in lower case.
func (v *Value) Append(dst []byte) []byte {
	switch v.kind {
	case valueText:
		return append(dst, v.text...)
	case valueBytes:
		return appendID(dst, v.text)
	case valueEnum:
		return append(dst, v.enumText()...)
	case valueBool:
		return strconv.AppendBool(dst, v.num != 0)
	case valueInt:
		return strconv.AppendInt(dst, int64(v.num), 10)
	case valueUint:
		return strconv.AppendUint(dst, v.num, 10)
	case valueDouble:
		return appendFloat(dst, math.Float64frombits(v.num))
	case valueTime:
		at, _ := v.Time()
		return at.AppendFormat(dst, time.RFC3339Nano)
	case valueDuration:
		return appendFloat(dst, v.duration().Seconds())
	}
	return dst
}

// AppendJSON appends the value as JSON; what JSON has no number for is a string.
func (v *Value) AppendJSON(dst []byte) []byte {
	switch v.kind {
	case valueText:
		return appendJSONString(dst, v.text)
	case valueBool, valueInt, valueUint:
		return v.Append(dst)
	case valueDouble, valueDuration:
		if x, _ := v.Float(); isFinite(x) {
			return v.Append(dst)
		}
	case valueBytes, valueEnum, valueTime:
	}
	dst = v.Append(append(dst, '"')) // plain ASCII
	return append(dst, '"')
}

// appendFloat writes the shortest form that reads back as x.
func appendFloat(dst []byte, x float64) []byte {
	if size := math.Abs(x); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.AppendFloat(dst, x, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, x, 'f', -1, 64)
}

// appendID is IDString without a string.
func appendID(dst, id []byte) []byte {
	if len(id) != IDSize {
		return hex.AppendEncode(dst, id)
	}
	for i, part := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

func appendJSONString(dst, text []byte) []byte {
	for _, c := range text {
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(string(text)) // a string always marshals
			return append(dst, quoted...)
		}
	}
	dst = append(append(dst, '"'), text...)
	return append(dst, '"')
}
