package packet

// Lengths of headers, in bytes.
const (
	ethernetLength = 14
	vlanLength     = 4
	mplsLength     = 4
	snapLength     = 8
	pppoeLength    = 6
)

// EtherTypes (IEEE 802 numbers) that lead on.
const (
	etherIPv4      = 0x0800
	etherTEB       = 0x6558 // transparent Ethernet bridging (RFC 1701)
	etherVLAN      = 0x8100
	etherIPv6      = 0x86dd
	etherPPP       = 0x880b
	etherMPLS      = 0x8847
	etherMPLSMulti = 0x8848
	etherPPPoE     = 0x8864
	etherQinQ      = 0x88a8
	etherQinQOld   = 0x9100
	etherQinQOlder = 0x9200

	// etherFirst is the least value that is a type; below it is a length (IEEE
	// 802.3, clause 3.2.6).
	etherFirst = 0x0600
)

// ethernet reads an Ethernet header and what follows it.
func (d *Decoder) ethernet(p *Packet, data []byte, rest uint32) error {
	if len(data) < ethernetLength {
		return lack(rest, ethernetLength)
	}
	kind := be16(data[12:14])
	data, rest = data[ethernetLength:], rest-ethernetLength
	if kind < etherFirst {
		return d.llc(p, carried(data, min(rest, uint32(kind))), min(rest, uint32(kind)))
	}
	return d.etherType(p, kind, data, rest)
}

// etherType reads what an EtherType announces, behind any tags.
func (d *Decoder) etherType(p *Packet, kind uint16, data []byte, rest uint32) error {
	for {
		p.EtherType = kind
		switch kind {
		case etherIPv4:
			return d.ipv4(p, data, rest)
		case etherIPv6:
			return d.ipv6(p, data, rest)
		case etherVLAN, etherQinQ, etherQinQOld, etherQinQOlder:
			if len(data) < vlanLength {
				return lack(rest, vlanLength)
			}
			if err := p.push(TunnelVLAN, uint32(be16(data)&0xfff)); err != nil {
				return err
			}
			kind = be16(data[2:4])
			data, rest = data[vlanLength:], rest-vlanLength
			if kind < etherFirst {
				return d.llc(p, carried(data, min(rest, uint32(kind))), min(rest, uint32(kind)))
			}
		case etherMPLS, etherMPLSMulti:
			return d.mpls(p, data, rest)
		case etherPPPoE:
			return d.pppoe(p, data, rest)
		case etherPPP:
			return d.ppp(p, data, rest)
		case etherTEB:
			return d.ethernet(p, data, rest)
		default:
			return nil
		}
	}
}

// llc reads an IEEE 802.2 header. Only with SNAP (RFC 1042) does it lead to IP.
func (d *Decoder) llc(p *Packet, data []byte, rest uint32) error {
	if len(data) < snapLength {
		return nil
	}
	h := (*[snapLength]byte)(data)
	if h[0] != 0xaa || h[1] != 0xaa || h[2] != 3 || h[3] != 0 || h[4] != 0 {
		return nil
	}
	// An organisation of 0x0000f8 is the bridge tunnel of IEEE 802.1H.
	if h[5] != 0 && h[5] != 0xf8 {
		return nil
	}
	kind := be16(h[6:8])
	if kind < etherFirst {
		return nil
	}
	return d.etherType(p, kind, data[snapLength:], rest-snapLength)
}

// mpls reads a stack of labels (RFC 3032). No field says what it carries: IP shows
// itself by its version (RFC 4928), Ethernet by the type at its place, with or
// without the control word of a pseudowire (RFC 4448) before it.
func (d *Decoder) mpls(p *Packet, data []byte, rest uint32) error {
	for {
		if len(data) < mplsLength {
			return lack(rest, mplsLength)
		}
		entry := be32(data)
		if err := p.push(TunnelMPLS, entry>>12); err != nil {
			return err
		}
		data, rest = data[mplsLength:], rest-mplsLength
		if entry&0x100 != 0 {
			break
		}
	}
	switch {
	case holdsIP(data, rest, 4):
		return d.etherType(p, etherIPv4, data, rest)
	case holdsIP(data, rest, 6):
		return d.etherType(p, etherIPv6, data, rest)
	case len(data) > 4 && data[0]>>4 == 0 && holdsEthernet(data[4:], rest-4):
		return d.ethernet(p, data[4:], rest-4)
	case holdsEthernet(data, rest):
		return d.ethernet(p, data, rest)
	}
	return nil
}

// pppoe reads the header of a PPPoE session (RFC 2516, section 4).
func (d *Decoder) pppoe(p *Packet, data []byte, rest uint32) error {
	if len(data) < pppoeLength {
		return lack(rest, pppoeLength)
	}
	h := (*[pppoeLength]byte)(data)
	if h[0] != 0x11 || h[1] != 0 {
		return nil
	}
	if err := p.push(TunnelPPPoE, uint32(be16(h[2:4]))); err != nil {
		return err
	}
	data, rest = data[pppoeLength:], rest-pppoeLength
	// A frame of many segments states a length of its own making; zero is none.
	if length := uint32(be16(h[4:6])); length != 0 {
		if length > rest {
			return ErrLength
		}
		data, rest = carried(data, length), length
	}
	return d.ppp(p, data, rest)
}

// holdsEthernet says whether data looks like an Ethernet frame that carries IP.
func holdsEthernet(data []byte, rest uint32) bool {
	if len(data) < ethernetLength {
		return false
	}
	kind := be16(data[12:14])
	data, rest = data[ethernetLength:], rest-ethernetLength
	for range 2 {
		if kind != etherVLAN && kind != etherQinQ {
			break
		}
		if len(data) < vlanLength {
			return false
		}
		kind = be16(data[2:4])
		data, rest = data[vlanLength:], rest-vlanLength
	}
	switch kind {
	case etherIPv4:
		return holdsIP(data, rest, 4)
	case etherIPv6:
		return holdsIP(data, rest, 6)
	}
	return false
}

// holdsIP says whether data looks like an IP packet of a version, whose header is
// whole and states lengths that can be.
func holdsIP(data []byte, rest uint32, version byte) bool {
	if version == 4 {
		if len(data) < ipv4Length {
			return false
		}
		h := (*[ipv4Length]byte)(data)
		total, header := uint32(be16(h[2:4])), uint32(h[0]&0xf)*4
		return h[0]>>4 == 4 && header >= ipv4Length && header <= rest && (total == 0 || total >= header && total <= rest)
	}
	if len(data) < ipv6Length {
		return false
	}
	return data[0]>>4 == 6 && uint32(be16(data[4:6])) <= rest-ipv6Length
}
