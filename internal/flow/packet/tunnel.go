package packet

// Lengths of headers, in bytes.
const (
	greLength     = 4
	erspan2Length = 8
	erspan3Length = 12
	wccpLength    = 4
)

// Bits of the first two bytes of a GRE header (RFC 2784, 2890 and, for the
// acknowledgement, 2637).
const (
	greChecksum = 0x8000
	greRouting  = 0x4000
	greKey      = 0x2000
	greSequence = 0x1000
	greAck      = 0x0080
	greVersion  = 0x0007
)

// Protocol types of GRE that are no EtherTypes of ours.
const (
	greERSPAN  = 0x88be // types I and II
	greERSPAN3 = 0x22eb // type III
	greWCCP    = 0x883e // RFC 3040 draft: IPv4, maybe behind 4 bytes
)

// tunnel reads what an IP protocol that carries packets has. Where that does not hold
// up, and in fragments, the packet stays the one of the outer header.
func (d *Decoder) tunnel(p *Packet, protocol byte, data []byte, rest uint32) error {
	p.Payload, p.PayloadBytes = data, rest
	if p.Fragment {
		return nil
	}
	switch protocol {
	case protoIPv4:
		return d.carriedIP(p, Tunnel{Kind: TunnelIPIP}, 4, data, rest)
	case protoIPv6:
		return d.carriedIP(p, Tunnel{Kind: TunnelIPIP}, 6, data, rest)
	case protoMPLS: // RFC 4023
		if label := mplsBottom(data); label > 0 && (holdsIP(data[label:], rest-label, 4) || holdsIP(data[label:], rest-label, 6)) {
			p.clearTransport()
			p.EtherType = etherMPLS
			return d.mpls(p, data, rest)
		}
		return nil
	}
	return d.gre(p, data, rest)
}

// mplsBottom gives where a stack of labels ends, 0 where it does not.
func mplsBottom(data []byte) uint32 {
	for at := 0; at+mplsLength <= min(len(data), MaxTunnels*mplsLength); at += mplsLength {
		if data[at+2]&1 != 0 {
			return uint32(at) + mplsLength
		}
	}
	return 0
}

// carriedIP goes on with an IP packet of a version inside a tunnel, if there is one.
func (d *Decoder) carriedIP(p *Packet, t Tunnel, version byte, data []byte, rest uint32) error {
	if !holdsIP(data, rest, version) {
		return nil
	}
	if err := p.push(t.Kind, t.ID); err != nil {
		return err
	}
	p.clearTransport()
	if version == 4 {
		return d.etherType(p, etherIPv4, data, rest)
	}
	return d.etherType(p, etherIPv6, data, rest)
}

// carriedEthernet goes on with an Ethernet frame inside a tunnel, if it carries IP.
func (d *Decoder) carriedEthernet(p *Packet, t Tunnel, data []byte, rest uint32) error {
	if !holdsEthernet(data, rest) {
		return nil
	}
	if err := p.push(t.Kind, t.ID); err != nil {
		return err
	}
	p.clearTransport()
	return d.ethernet(p, data, rest)
}

// carriedKind goes on with what an EtherType announces inside a tunnel.
func (d *Decoder) carriedKind(p *Packet, t Tunnel, kind uint16, data []byte, rest uint32) error {
	switch kind {
	case etherIPv4:
		return d.carriedIP(p, t, 4, data, rest)
	case etherIPv6:
		return d.carriedIP(p, t, 6, data, rest)
	case etherTEB:
		return d.carriedEthernet(p, t, data, rest)
	case etherPPP:
		return d.carriedPPP(p, t, data, rest)
	}
	return nil
}

// carriedPPP goes on with IP in a PPP frame inside a tunnel, if there is one.
func (d *Decoder) carriedPPP(p *Packet, t Tunnel, data []byte, rest uint32) error {
	kind, header := pppProtocol(data, rest)
	if header == 0 {
		return nil
	}
	switch kind {
	case pppIPv4:
		return d.carriedIP(p, t, 4, data[header:], rest-header)
	case pppIPv6:
		return d.carriedIP(p, t, 6, data[header:], rest-header)
	}
	return nil
}

// gre reads a GRE header: version 0, which NVGRE (RFC 7637) and ERSPAN use too, and
// version 1 of PPTP.
func (d *Decoder) gre(p *Packet, data []byte, rest uint32) error {
	if len(data) < greLength {
		return lack(rest, greLength)
	}
	flags, kind := be16(data), be16(data[2:])
	version := flags & greVersion
	if version > 1 || flags&greRouting != 0 || version == 1 && (kind != etherPPP || flags&greKey == 0) {
		return nil
	}
	header, t := uint32(greLength), Tunnel{Kind: TunnelGRE}
	if flags&greChecksum != 0 {
		header += 4
	}
	key := header
	if flags&greKey != 0 {
		header += 4
	}
	if flags&greSequence != 0 {
		header += 4
	}
	if version == 1 && flags&greAck != 0 {
		header += 4
	}
	if uint32(len(data)) < header {
		return lack(rest, header)
	}
	if flags&greKey != 0 {
		t.ID = be32(data[key:])
		if version == 1 { // payload length and call id
			t.ID &= 0xffff
		}
	}
	data, rest = data[header:], rest-header
	switch kind {
	case greERSPAN, greERSPAN3:
		return d.erspan(p, flags, kind, data, rest)
	case greWCCP:
		if len(data) > wccpLength && data[0]>>4 != 4 {
			data, rest = data[wccpLength:], rest-wccpLength
		}
		return d.carriedIP(p, t, 4, data, rest)
	}
	return d.carriedKind(p, t, kind, data, rest)
}

// erspan reads what mirrors send of the frames they saw (draft-foschiano-erspan): type
// I has no header of its own, type II has 8 bytes, type III 12 and maybe 8 more.
func (d *Decoder) erspan(p *Packet, flags, kind uint16, data []byte, rest uint32) error {
	t := Tunnel{Kind: TunnelERSPAN}
	header := uint32(0)
	switch {
	case kind == greERSPAN3:
		header = erspan3Length
		if len(data) >= erspan3Length && data[11]&1 != 0 {
			header += 8
		}
	case flags&greSequence != 0:
		header = erspan2Length
	}
	if uint32(len(data)) < header {
		return lack(rest, header)
	}
	if header > 0 {
		t.ID = uint32(be16(data[2:4]) & 0x3ff)
	}
	return d.carriedEthernet(p, t, data[header:], rest-header)
}
