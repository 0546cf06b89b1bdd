package packet

import "encoding/binary"

// Lengths of headers, in bytes.
const (
	cookedLength  = 16
	cooked2Length = 20
	hdlcLength    = 4
)

// otherLink reads a frame of any link type but Ethernet.
func (d *Decoder) otherLink(p *Packet, link Link, data []byte, rest uint32) error {
	switch link {
	case LinkRaw, LinkIPv4, LinkIPv6:
		return d.rawIP(p, link, data, rest)
	case LinkNull, LinkLoop:
		return d.loopback(p, link, data, rest)
	case LinkCooked:
		return d.cooked(p, data, rest)
	case LinkCooked2:
		return d.cooked2(p, data, rest)
	case LinkPPP, LinkPPPHDLC:
		// Cisco HDLC comes under both: its addresses (RFC 1547, section 4.3.1) are no
		// beginning of PPP, of which no protocol begins with an odd octet.
		if len(data) > 1 && (data[0] == 0x0f || data[0] == 0x8f) && data[1] == 0 {
			return d.hdlc(p, data, rest)
		}
		return d.ppp(p, data, rest)
	case LinkHDLC:
		return d.hdlc(p, data, rest)
	case LinkWiFi:
		return d.wifi(p, data, rest, false)
	case LinkRadiotap:
		return d.radiotap(p, data, rest)
	default:
	}
	return ErrLink
}

// rawIP reads a frame that begins with IP.
func (d *Decoder) rawIP(p *Packet, link Link, data []byte, rest uint32) error {
	if len(data) == 0 {
		return lack(rest, 1)
	}
	version := data[0] >> 4
	switch {
	case version == 4 && link != LinkIPv6:
		return d.etherType(p, etherIPv4, data, rest)
	case version == 6 && link != LinkIPv4:
		return d.etherType(p, etherIPv6, data, rest)
	}
	return ErrVersion
}

// loopback reads the header of BSD's loopback, the protocol family in 4 bytes: in the
// byte order of the host that captured, or in network order. Families fit in one
// byte, so that either order can be told.
func (d *Decoder) loopback(p *Packet, link Link, data []byte, rest uint32) error {
	if len(data) < 4 {
		return lack(rest, 4)
	}
	family := be32(data)
	if link == LinkNull && family > 0xffff {
		family = binary.LittleEndian.Uint32(data)
	}
	data, rest = data[4:], rest-4
	switch family {
	case 2: // AF_INET everywhere
		return d.etherType(p, etherIPv4, data, rest)
	case 10, 24, 28, 30: // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS
		return d.etherType(p, etherIPv6, data, rest)
	}
	return nil
}

// cooked reads the header that Linux makes up where there is none (LINKTYPE_LINUX_SLL).
func (d *Decoder) cooked(p *Packet, data []byte, rest uint32) error {
	if len(data) < cookedLength {
		return lack(rest, cookedLength)
	}
	h := (*[cookedLength]byte)(data)
	if be16(h[4:6]) == 6 {
		p.SrcMAC = MAC(h[6:12])
	}
	return d.cookedProtocol(p, be16(h[14:16]), data[cookedLength:], rest-cookedLength)
}

// cooked2 reads its second version (LINKTYPE_LINUX_SLL2).
func (d *Decoder) cooked2(p *Packet, data []byte, rest uint32) error {
	if len(data) < cooked2Length {
		return lack(rest, cooked2Length)
	}
	h := (*[cooked2Length]byte)(data)
	if h[11] == 6 {
		p.SrcMAC = MAC(h[12:18])
	}
	return d.cookedProtocol(p, be16(h[0:2]), data[cooked2Length:], rest-cooked2Length)
}

// cookedProtocol reads what a cooked header announces; 4 there is IEEE 802.2.
func (d *Decoder) cookedProtocol(p *Packet, kind uint16, data []byte, rest uint32) error {
	if kind == 4 {
		return d.llc(p, data, rest)
	}
	if kind < etherFirst {
		return nil
	}
	return d.etherType(p, kind, data, rest)
}

// PPP protocol numbers (IANA, Point-to-Point (PPP) Protocol Field Assignments).
const (
	pppIPv4      = 0x0021
	pppIPv6      = 0x0057
	pppMPLS      = 0x0281
	pppMPLSMulti = 0x0283
)

// ppp reads a PPP frame: the address and control bytes may be left out, and the first
// byte of the protocol, where it is zero (RFC 1661, section 6.5 and 6.6).
func (d *Decoder) ppp(p *Packet, data []byte, rest uint32) error {
	kind, header := pppProtocol(data, rest)
	if header == 0 {
		return lack(rest, 4)
	}
	data, rest = data[header:], rest-header
	switch kind {
	case pppIPv4:
		return d.etherType(p, etherIPv4, data, rest)
	case pppIPv6:
		return d.etherType(p, etherIPv6, data, rest)
	case pppMPLS, pppMPLSMulti:
		p.EtherType = etherMPLS
		return d.mpls(p, data, rest)
	}
	return nil
}

// pppProtocol gives the protocol of a PPP frame and the length of its header, 0 where
// that is not whole.
func pppProtocol(data []byte, rest uint32) (kind uint16, header uint32) {
	n := min(uint32(len(data)), rest)
	if n >= 2 && data[0] == 0xff && data[1] == 3 {
		header = 2
	}
	switch {
	case n > header && data[header]&1 == 1: // the last byte of a protocol is odd
		return uint16(data[header]), header + 1
	case n > header+1:
		return be16(data[header:]), header + 2
	}
	return 0, 0
}

// hdlc reads Cisco's header: address, control and an EtherType.
func (d *Decoder) hdlc(p *Packet, data []byte, rest uint32) error {
	if len(data) < hdlcLength {
		return lack(rest, hdlcLength)
	}
	return d.etherType(p, be16(data[2:4]), data[hdlcLength:], rest-hdlcLength)
}
