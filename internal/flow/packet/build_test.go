package packet

import (
	"encoding/binary"
	"slices"
)

// What tests build frames of: each function puts a header before what it carries.

func u16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }

func u32(v uint32) []byte {
	return binary.BigEndian.AppendUint32(nil, v)
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

var (
	macA = []byte{2, 0, 0, 0, 0, 0xa}
	macB = []byte{2, 0, 0, 0, 0, 0xb}
	ip4A = []byte{192, 0, 2, 1}
	ip4B = []byte{198, 51, 100, 2}
	ip6A = []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
	ip6B = []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}
)

func ether(kind int, in []byte) []byte { return join(macB, macA, u16(kind), in) }

func vlan(id, kind int, in []byte) []byte { return join(u16(id), u16(kind), in) }

// ipv4With has options, whose length is a multiple of 4, and a fragment field.
func ipv4With(protocol, fragment int, options, in []byte) []byte {
	header := 20 + len(options)
	return join([]byte{0x40 | byte(header/4), 0}, u16(header+len(in)), u16(77), u16(fragment), []byte{64, byte(protocol), 0, 0}, ip4A, ip4B, options, in)
}

func ipv4(protocol int, in []byte) []byte { return ipv4With(protocol, 0, nil, in) }

func ipv6(next int, in []byte) []byte {
	return join([]byte{0x60, 0, 0, 0}, u16(len(in)), []byte{byte(next), 63}, ip6A, ip6B, in)
}

func tcpWith(flags byte, options, in []byte) []byte {
	return join(u16(40000), u16(443), u32(1000), u32(2000), []byte{byte((20+len(options))/4) << 4, flags}, u16(512), u16(0), u16(0), options, in)
}

func tcp(in []byte) []byte { return tcpWith(ACK|PSH, nil, in) }

func udp(from, to int, in []byte) []byte {
	return join(u16(from), u16(to), u16(8+len(in)), u16(0), in)
}

// extension is an IPv6 extension header of 8 bytes.
func extension(next int, in []byte) []byte {
	return join([]byte{byte(next), 0, 1, 4, 0, 0, 0, 0}, in)
}

func fragment6(next, place int, in []byte) []byte {
	return join([]byte{byte(next), 0}, u16(place), u32(99), in)
}

// inner is the packet that tests put into tunnels.
func inner() []byte { return ipv4(protoUDP, udp(1111, 2222, []byte("inside"))) }
