package probe

import (
	"encoding/binary"
	"net/netip"
)

// MAC is an Ethernet address.
type MAC [6]byte

// Broadcast is the address of all hosts of a segment.
func Broadcast() MAC { return MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// IsZero says whether no address is known.
func (m MAC) IsZero() bool { return m == MAC{} }

// AppendARP appends a request for the address of dst (RFC 826), without link header.
// With an src of 0.0.0.0 it asks without claiming an address (RFC 5227).
func AppendARP(b []byte, own MAC, src, dst netip.Addr) []byte {
	s, d := src.As4(), dst.As4()
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1)
	b = append(b, own[:]...)
	b = append(b, s[:]...)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, d[:]...)
}

// ReadARP reads an answer to a request of own: who has which address.
func ReadARP(b []byte, own MAC) (ip netip.Addr, mac MAC, ok bool) {
	const length = 28
	if len(b) < length || binary.BigEndian.Uint64(b)>>16 != 0x000108000604 || b[6] != 0 || b[7] != 2 {
		return netip.Addr{}, MAC{}, false
	}
	mac = MAC(b[8:14])
	if MAC(b[18:24]) != own || mac[0]&1 != 0 || mac.IsZero() { // to others, or of a group
		return netip.Addr{}, MAC{}, false
	}
	return netip.AddrFrom4([4]byte(b[14:18])), mac, true
}

// Solicited is the multicast address at which the owner of ip listens for neighbour
// solicitations, and the Ethernet address of that group (RFC 4291, section 2.7.1, and
// RFC 2464, section 7).
func Solicited(ip netip.Addr) (netip.Addr, MAC) {
	b := ip.As16()
	group := [16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]}
	return netip.AddrFrom16(group), GroupMAC(netip.AddrFrom16(group))
}

// GroupMAC is the Ethernet address of a multicast group of IPv6.
func GroupMAC(group netip.Addr) MAC {
	b := group.As16()
	return MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// AllNodes is the group of all hosts of a segment (RFC 4291, section 2.7.1).
func AllNodes() netip.Addr { return netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 1}) }

// AppendSolicitation appends a neighbour solicitation for target (RFC 4861, section 4.3)
// with its IPv6 header.
func AppendSolicitation(b []byte, own MAC, src, target netip.Addr) []byte {
	const length = 24 + 8
	group, _ := Solicited(target)
	at := len(b)
	b = appendIP(b, src, group, protocolICMP6, length, 0, 255) // section 7.1.1: no router passed it on
	icmp := len(b)
	b = append(b, 135, 0, 0, 0, 0, 0, 0, 0)
	t := target.As16()
	b = append(b, t[:]...)
	b = append(b, 1, 1)
	b = append(b, own[:]...)
	binary.BigEndian.PutUint16(b[icmp+2:], checksum(b[icmp:], pseudo(b[at:icmp], protocolICMP6, length)))
	return b
}

// ReadAdvertisement reads a solicited neighbour advertisement (RFC 4861, section 4.4):
// who has which address. link is the Ethernet address of the sender, which is taken
// where the packet names none.
func ReadAdvertisement(b []byte, link MAC) (ip netip.Addr, mac MAC, ok bool) {
	const solicited = 0x40
	if len(b) < header6+24 || b[0]>>4 != 6 || b[6] != protocolICMP6 || b[7] != 255 || b[header6] != 136 || b[header6+4]&solicited == 0 {
		return netip.Addr{}, MAC{}, false
	}
	b = b[:min(header6+int(binary.BigEndian.Uint16(b[4:])), len(b))]
	if len(b) < header6+24 {
		return netip.Addr{}, MAC{}, false
	}
	ip, mac = netip.AddrFrom16([16]byte(b[header6+8:header6+24])), link
	for o := b[header6+24:]; len(o) >= 8 && o[1] > 0 && int(o[1])*8 <= len(o); o = o[int(o[1])*8:] {
		if o[0] == 2 && o[1] == 1 {
			mac = MAC(o[2:8])
		}
	}
	if ip.IsMulticast() || mac[0]&1 != 0 || mac.IsZero() {
		return netip.Addr{}, MAC{}, false
	}
	return ip, mac, true
}
