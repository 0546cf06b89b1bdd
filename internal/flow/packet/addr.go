package packet

import (
	"encoding/binary"
	"net/netip"
)

// Addr is an IP address in 16 bytes; IPv4 is mapped (::ffff:192.0.2.1, RFC 4291).
type Addr [16]byte

// Addr4 maps an IPv4 address.
func Addr4(b [4]byte) (a Addr) {
	binary.LittleEndian.PutUint64(a[8:16], 0xffff<<16|uint64(binary.LittleEndian.Uint32(b[:]))<<32)
	return a
}

// Is4 reports whether the address is one of IPv4.
func (a Addr) Is4() bool {
	return binary.LittleEndian.Uint64(a[0:8]) == 0 && binary.LittleEndian.Uint32(a[8:12]) == 0xffff<<16
}

// As4 is the IPv4 address; of one that is none its last 4 bytes.
func (a Addr) As4() [4]byte { return [4]byte(a[12:]) }

// ToMany reports whether an address is that of many: multicast (RFC 5771, RFC 4291) or
// the limited broadcast of IPv4. Broadcasts of a subnet cannot be told by the address.
func (a Addr) ToMany() bool {
	if a.Is4() {
		return a[12]&0xf0 == 0xe0 || binary.LittleEndian.Uint32(a[12:16]) == 0xffffffff
	}
	return a[0] == 0xff
}

// IP is the address as the standard library has it, an IPv4 address unmapped.
func (a Addr) IP() netip.Addr { return netip.AddrFrom16(a).Unmap() }
