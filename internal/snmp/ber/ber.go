// Package ber reads and writes what SNMP uses of the Basic Encoding Rules (X.690, as
// RFC 3417, section 8, narrows them): definite lengths, one octet for each tag.
// Reading copies nothing and never looks past an end; writing appends.
package ber

// Tags that SNMP's messages are made of (RFC 3416, section 3; RFC 3412, section 6).
const (
	Integer        = 0x02
	OctetString    = 0x04
	Null           = 0x05
	ObjectID       = 0x06
	Sequence       = 0x30
	IPAddress      = 0x40
	Counter32      = 0x41
	Gauge32        = 0x42
	TimeTicks      = 0x43
	Opaque         = 0x44
	Counter64      = 0x46
	Unsigned32     = 0x47
	NoSuchObject   = 0x80
	NoSuchInstance = 0x81
	EndOfMIB       = 0x82
	GetRequest     = 0xa0
	GetNextRequest = 0xa1
	Response       = 0xa2
	TrapV1         = 0xa4
	GetBulkRequest = 0xa5
	Report         = 0xa8
)

// MaxArcs is how many numbers an OID may have (RFC 2578, section 3.5).
const MaxArcs = 128

// Take splits off one value that has this tag: its content and what follows it.
// Both are part of b. It reports false where b does not begin with a whole one.
func Take(b []byte, tag byte) (content, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, head := int(b[1]), 2
	if n >= 0x80 {
		octets := n & 0x7f
		if octets == 0 || octets > 4 || len(b) < 2+octets {
			return nil, nil, false
		}
		n = 0
		for _, x := range b[2 : 2+octets] {
			n = n<<8 | int(x)
		}
		head += octets
	}
	if n < 0 || n > len(b)-head {
		return nil, nil, false
	}
	return b[head : head+n], b[head+n:], true
}

// TakeInteger splits off one INTEGER of at most 8 octets.
func TakeInteger(b []byte) (n int64, rest []byte, ok bool) {
	content, rest, ok := Take(b, Integer)
	if !ok || len(content) == 0 || len(content) > 8 {
		return 0, nil, false
	}
	n = int64(int8(content[0])) // the first octet carries the sign
	for _, x := range content[1:] {
		n = n<<8 | int64(x)
	}
	return n, rest, true
}

// Unsigned reads the content of a counter or gauge: 1 to 9 octets, of which a ninth
// is zero.
func Unsigned(content []byte) (uint64, bool) {
	if len(content) == 0 || len(content) > 9 || len(content) == 9 && content[0] != 0 {
		return 0, false
	}
	var n uint64
	for _, x := range content {
		n = n<<8 | uint64(x)
	}
	return n, true
}

// Arcs appends the numbers of an encoded OID's content to arcs. It reports false
// where a number is above 2^32-1 or torn off, or where there are more than MaxArcs.
func Arcs(arcs []uint32, content []byte) ([]uint32, bool) {
	if len(content) == 0 {
		return arcs, false
	}
	start := len(arcs)
	var n uint64
	open := false
	for _, x := range content {
		if n = n<<7 | uint64(x&0x7f); n > 1<<32-1 {
			return arcs, false
		}
		if open = x&0x80 != 0; open {
			continue
		}
		if len(arcs) == start { // X.690, section 8.19.4
			first := min(n/40, 2)
			arcs = append(arcs, uint32(first))
			n -= first * 40
		}
		arcs = append(arcs, uint32(n))
		n = 0
	}
	return arcs, !open && len(arcs)-start <= MaxArcs
}

// AppendHead appends a tag and the length of the content that follows.
func AppendHead(b []byte, tag byte, length int) []byte {
	switch {
	case length < 0x80:
		return append(b, tag, byte(length))
	case length < 0x100:
		return append(b, tag, 0x81, byte(length))
	case length < 0x10000:
		return append(b, tag, 0x82, byte(length>>8), byte(length))
	default:
		return append(b, tag, 0x84, byte(length>>24), byte(length>>16), byte(length>>8), byte(length))
	}
}

// AppendValue appends a whole value.
func AppendValue(b []byte, tag byte, content []byte) []byte {
	return append(AppendHead(b, tag, len(content)), content...)
}

// AppendInteger appends a signed number in as few octets as it takes.
func AppendInteger(b []byte, tag byte, n int64) []byte {
	octets := 1
	for octets < 8 && (n >= 1<<(8*octets-1) || n < -1<<(8*octets-1)) {
		octets++
	}
	b = append(b, tag, byte(octets))
	for i := octets - 1; i >= 0; i-- {
		b = append(b, byte(n>>(8*i)))
	}
	return b
}

// AppendUnsigned appends an unsigned number, with a zero octet before it where its
// highest bit would look like a sign.
func AppendUnsigned(b []byte, tag byte, n uint64) []byte {
	if n < 1<<63 {
		return AppendInteger(b, tag, int64(n))
	}
	b = append(b, tag, 9, 0)
	for i := 7; i >= 0; i-- {
		b = append(b, byte(n>>(8*i)))
	}
	return b
}

// AppendOID appends a whole OID of at least two numbers, of which the first is at
// most 2 and the second, below 0 and 1, at most 39.
func AppendOID(b []byte, arcs []uint32) []byte {
	first := uint64(arcs[0])*40 + uint64(arcs[1])
	length := base128Length(first)
	for _, n := range arcs[2:] {
		length += base128Length(uint64(n))
	}
	b = appendBase128(AppendHead(b, ObjectID, length), first)
	for _, n := range arcs[2:] {
		b = appendBase128(b, uint64(n))
	}
	return b
}

func base128Length(n uint64) int {
	length := 1
	for n >>= 7; n > 0; n >>= 7 {
		length++
	}
	return length
}

func appendBase128(b []byte, n uint64) []byte {
	for i := base128Length(n) - 1; i > 0; i-- {
		b = append(b, byte(n>>(7*i))|0x80)
	}
	return append(b, byte(n)&0x7f)
}
