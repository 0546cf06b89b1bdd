package module

import (
	"fmt"
	"slices"
	"strings"
)

// Type is how a column's value is read (RFC 2578, section 7.1, and textual conventions
// of RFC 2579).
type Type string

// Types of columns.
const (
	Integer   Type = "integer"   // Integer32, INTEGER
	Gauge     Type = "gauge"     // Gauge32, Unsigned32
	Counter   Type = "counter"   // Counter32
	Counter64 Type = "counter64" // Counter64
	Ticks     Type = "ticks"     // TimeTicks, hundredths of a second
	Text      Type = "text"      // DisplayString, SnmpAdminString
	Number    Type = "number"    // a number written as text, such as "23.5 C"
	Octets    Type = "octets"    // any OCTET STRING; read as hexadecimal
	MAC       Type = "mac"       // MacAddress
	Address   Type = "address"   // IpAddress, InetAddress
	Object    Type = "oid"       // OBJECT IDENTIFIER
	Bits      Type = "bits"      // BITS, named by an enumeration
	Date      Type = "date"      // DateAndTime
)

func columnTypes() []Type {
	return []Type{Integer, Gauge, Counter, Counter64, Ticks, Text, Number, Octets, MAC, Address, Object, Bits, Date}
}

// UnmarshalText reads a type.
func (t *Type) UnmarshalText(text []byte) error {
	*t = Type(text)
	if slices.Contains(columnTypes(), *t) {
		return nil
	}
	return fmt.Errorf("%q is not a type; valid: %s", text, joined(columnTypes()))
}

// Numeric reports whether values of it are numbers.
func (t Type) Numeric() bool {
	switch t {
	case Integer, Gauge, Counter, Counter64, Ticks, Number:
		return true
	default:
		return false
	}
}

// IndexType is how a part of an index is written in arcs.
type IndexType string

// Types of index parts.
const (
	IndexInteger IndexType = "integer" // one arc
	IndexAddress IndexType = "ipv4"    // four arcs
	IndexMAC     IndexType = "mac"     // six arcs
	IndexText    IndexType = "text"    // a length and so many arcs
	IndexOctets  IndexType = "octets"  // the same, read as hexadecimal
	IndexObject  IndexType = "oid"     // the same, read as an OID
	// IndexInet is InetAddressType and InetAddress (RFC 4001): kind, length, arcs.
	IndexInet IndexType = "inet"
)

func indexTypes() []IndexType {
	return []IndexType{IndexInteger, IndexAddress, IndexMAC, IndexText, IndexOctets, IndexObject, IndexInet}
}

// UnmarshalText reads the type of an index part.
func (t *IndexType) UnmarshalText(text []byte) error {
	*t = IndexType(text)
	if slices.Contains(indexTypes(), *t) {
		return nil
	}
	return fmt.Errorf("%q is not a type of an index; valid: %s", text, joined(indexTypes()))
}

func joined[T ~string](all []T) string {
	words := make([]string, len(all))
	for i, t := range all {
		words[i] = string(t)
	}
	return strings.Join(words, ", ")
}
