package packet

// Lengths of headers, in bytes, and how many may lie between IP and transport.
const (
	ipv4Length     = 20
	ipv6Length     = 40
	fragmentLength = 8
	maxExtensions  = 16
)

// Protocol numbers (IANA, Assigned Internet Protocol Numbers).
const (
	protoHopByHop = 0
	protoICMP     = 1
	protoIPv4     = 4
	protoTCP      = 6
	protoUDP      = 17
	protoDCCP     = 33
	protoIPv6     = 41
	protoRouting  = 43
	protoFragment = 44
	protoGRE      = 47
	protoAH       = 51
	protoICMPv6   = 58
	protoOptions  = 60
	protoSCTP     = 132
	protoMobility = 135
	protoUDPLite  = 136
	protoMPLS     = 137
	protoHIP      = 139
	protoShim6    = 140
)

// ipv4 reads an IPv4 header (RFC 791) and what it carries. A total length of 0 is
// what a kernel leaves to a card that cuts one packet in segments: then the packet
// is as long as the frame.
func (d *Decoder) ipv4(p *Packet, data []byte, rest uint32) error {
	if len(data) < ipv4Length {
		return lack(rest, ipv4Length)
	}
	h := (*[ipv4Length]byte)(data)
	if h[0]>>4 != 4 {
		return ErrVersion
	}
	header, total := uint32(h[0]&0xf)*4, uint32(be16(h[2:4]))
	if total == 0 {
		total = rest
	}
	if header < ipv4Length || total < header || total > rest {
		return ErrLength
	}
	p.nest()
	p.Version, p.TTL, p.IPBytes = 4, h[8], total
	p.Src = Addr4([4]byte(h[12:16]))
	p.Dst = Addr4([4]byte(h[16:20]))
	data, rest = beyond(carried(data, total), header), total-header

	protocol := h[9]
	if place := be16(h[6:8]); place&0x3fff != 0 {
		key := fragmentKey{src: p.Src, dst: p.Dst, id: uint32(be16(h[4:6])), protocol: protocol}
		return d.fragment(p, key, protocol, fragmentPlace{at: uint32(place&0x1fff) * 8, more: place&0x2000 != 0}, data, rest)
	}
	return d.transport(p, protocol, data, rest)
}

// ipv6 reads an IPv6 header (RFC 8200), extension headers and what they carry. A
// payload length of 0 is that of a jumbogram (RFC 2675), whose option says more, or
// of a kernel that leaves it to the card.
func (d *Decoder) ipv6(p *Packet, data []byte, rest uint32) error {
	if len(data) < ipv6Length {
		return lack(rest, ipv6Length)
	}
	h := (*[ipv6Length]byte)(data)
	if h[0]>>4 != 6 {
		return ErrVersion
	}
	length, next := uint32(be16(h[4:6])), h[6]
	if length > rest-ipv6Length {
		return ErrLength
	}
	if length == 0 && next != protoNone {
		length = rest - ipv6Length
		if jumbo := jumboLength(next, data[ipv6Length:]); jumbo != 0 && jumbo <= length {
			length = jumbo
		}
	}
	p.nest()
	p.Version, p.TTL, p.IPBytes = 6, h[7], length+ipv6Length
	p.Src, p.Dst = Addr(h[8:24]), Addr(h[24:40])
	return d.extensions(p, next, carried(data[ipv6Length:], length), length)
}

// protoNone is the next header of a packet that carries nothing.
const protoNone = 59

// jumboLength finds the option Jumbo Payload, which Linux and RFC 2675 put first.
func jumboLength(next byte, data []byte) uint32 {
	if next != protoHopByHop || len(data) < 8 || data[2] != 0xc2 || data[3] != 4 {
		return 0
	}
	return be32(data[4:8])
}

// extensions passes the headers between IPv6 and transport (RFC 8200, section 4).
func (d *Decoder) extensions(p *Packet, next byte, data []byte, rest uint32) error {
	for range maxExtensions {
		var header uint32
		switch next {
		case protoHopByHop, protoRouting, protoOptions, protoMobility, protoHIP, protoShim6:
			if len(data) < 8 {
				p.Protocol = next
				return lack(rest, 8)
			}
			header = uint32(data[1])*8 + 8
		case protoAH:
			if len(data) < ahLength {
				p.Protocol = next
				return lack(rest, ahLength)
			}
			header = uint32(data[1])*4 + 8
		case protoFragment:
			if len(data) < fragmentLength {
				p.Protocol = next
				return lack(rest, fragmentLength)
			}
			next = data[0]
			place, id := be16(data[2:4]), be32(data[4:8])
			data, rest = data[fragmentLength:], rest-fragmentLength
			if place&0xfff9 == 0 { // a whole packet all the same (RFC 6946)
				continue
			}
			key := fragmentKey{src: p.Src, dst: p.Dst, id: id, protocol: protoFragment}
			return d.fragment(p, key, next, fragmentPlace{at: uint32(place &^ 7), more: place&1 != 0}, data, rest)
		default:
			return d.transport(p, next, data, rest)
		}
		if header > rest {
			p.Protocol = next
			return ErrLength
		}
		if header > uint32(len(data)) {
			p.Protocol = next
			return ErrCut
		}
		next = data[0]
		data, rest = data[header:], rest-header
	}
	return ErrExtensions
}
