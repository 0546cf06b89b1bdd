package snmp

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Type is what a value is on the wire: the tag of its encoding (RFC 2578, section
// 7.1, and RFC 3416, section 3).
type Type uint8

// The types. What a device has not is NoSuchObject, NoSuchInstance or EndOfMIB.
const (
	Unknown        Type = 0 // of a kind or encoding that nobody knows
	Integer        Type = 0x02
	OctetString    Type = 0x04
	Null           Type = 0x05
	ObjectID       Type = 0x06
	IPAddress      Type = 0x40
	Counter32      Type = 0x41
	Gauge32        Type = 0x42
	TimeTicks      Type = 0x43 // hundredths of a second
	Opaque         Type = 0x44
	Counter64      Type = 0x46
	Unsigned32     Type = 0x47
	Float          Type = 0x78 // within Opaque, as NET-SNMP has it
	Double         Type = 0x79
	NoSuchObject   Type = 0x80
	NoSuchInstance Type = 0x81
	EndOfMIB       Type = 0x82
)

// String is the name of the type as MIBs write it.
func (t Type) String() string {
	switch t {
	case Integer:
		return "INTEGER"
	case OctetString:
		return "OCTET STRING"
	case Null:
		return "NULL"
	case ObjectID:
		return "OBJECT IDENTIFIER"
	case IPAddress:
		return "IpAddress"
	case Counter32:
		return "Counter32"
	case Gauge32:
		return "Gauge32"
	case TimeTicks:
		return "TimeTicks"
	case Opaque:
		return "Opaque"
	case Counter64:
		return "Counter64"
	case Unsigned32:
		return "Unsigned32"
	case Float:
		return "Float"
	case Double:
		return "Double"
	case NoSuchObject:
		return "noSuchObject"
	case NoSuchInstance:
		return "noSuchInstance"
	case EndOfMIB:
		return "endOfMibView"
	case Unknown:
	}
	return "unknown"
}

// Variable is one value of a device.
type Variable struct {
	// OID names it, in numbers without a leading dot.
	OID string
	// Type says how Value is meant.
	Type Type
	// Value is an int64 for Integer; a uint64 for counters, gauges, unsigned
	// numbers and ticks; []byte for octets and Opaque; a string for IPAddress
	// and ObjectID (without a leading dot); a float64 for Float and Double; nil
	// for the rest.
	Value any
}

// Missing reports whether the device has no such variable.
func (v Variable) Missing() bool {
	return v.Value == nil
}

// Int returns the value as a signed number, and false if it is none or does not fit.
func (v Variable) Int() (int64, bool) {
	switch n := v.Value.(type) {
	case int64:
		return n, true
	case uint64:
		return int64(n), n <= 1<<63-1
	default:
		return 0, false
	}
}

// Uint returns the value as an unsigned number, and false if it is none. Devices
// that count in a signed INTEGER past 2^31 give negative numbers, which are none.
func (v Variable) Uint() (uint64, bool) {
	switch n := v.Value.(type) {
	case uint64:
		return n, true
	case int64:
		return uint64(n), n >= 0
	default:
		return 0, false
	}
}

// Float returns a number of any type, and false if the value is none.
func (v Variable) Float() (float64, bool) {
	switch n := v.Value.(type) {
	case uint64:
		return float64(n), true
	case int64:
		return float64(n), true
	case float64:
		return n, true
	default:
		return 0, false
	}
}

// Bytes returns the octets of a string or of Opaque; nil for others. They belong to
// the Variable.
func (v Variable) Bytes() []byte {
	b, _ := v.Value.([]byte)
	return b
}

// Text returns the value for people: octets that are text as they are, other octets
// in hexadecimal with colons, numbers in decimal, nothing for what is missing. Text
// of a device can hold anything: clean it before a terminal sees it.
func (v Variable) Text() string {
	switch x := v.Value.(type) {
	case string:
		return x
	case []byte:
		return octets(x)
	case int64:
		return strconv.FormatInt(x, 10)
	case uint64:
		return strconv.FormatUint(x, 10)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	default:
		return ""
	}
}

// octets writes a string of a device. Many pad theirs with zero octets.
func octets(b []byte) string {
	text := strings.TrimRight(string(b), "\x00")
	if text == "" && len(b) > 0 || !utf8.ValidString(text) || strings.ContainsFunc(text, binary) {
		return hexadecimal(b)
	}
	return text
}

func binary(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
}

func hexadecimal(b []byte) string {
	return strings.ReplaceAll(fmt.Sprintf("% x", b), " ", ":")
}
