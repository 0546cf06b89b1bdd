package packet

// UDP ports that IANA, or in the case of 8472 Linux, gives to tunnels.
const (
	portL2TP     = 1701
	portGTPU     = 2152
	portTeredo   = 3544
	portVXLAN    = 4789
	portGeneve   = 6081
	portOldVXLAN = 8472
)

// Lengths of headers, in bytes.
const (
	vxlanLength  = 8
	geneveLength = 8
	gtpLength    = 8
)

// udpTunnel goes on with what a UDP datagram carries where its ports and content are
// those of a tunnel. Any other datagram may use these ports, as a client does by
// chance: so every reserved bit and the packet inside must be right, or the datagram
// is what it seems.
func (d *Decoder) udpTunnel(p *Packet, data []byte, rest uint32) error {
	switch p.DstPort {
	case portVXLAN, portOldVXLAN:
		return d.vxlan(p, data, rest)
	case portGeneve:
		return d.geneve(p, data, rest)
	case portGTPU:
		return d.gtp(p, data, rest)
	case portTeredo:
		return d.teredo(p, data, rest)
	case portL2TP:
		return d.l2tp(p, data, rest)
	}
	switch p.SrcPort { // those whose answers come from the port
	case portGTPU:
		return d.gtp(p, data, rest)
	case portTeredo:
		return d.teredo(p, data, rest)
	case portL2TP:
		return d.l2tp(p, data, rest)
	}
	return nil
}

// vxlan reads a VXLAN header (RFC 7348, section 5), also with a group policy
// (draft-smith-vxlan-group-policy).
func (d *Decoder) vxlan(p *Packet, data []byte, rest uint32) error {
	if len(data) < vxlanLength {
		return nil
	}
	const valid, policy, policyBits = 0x08, 0x80, 0x48
	word, vni := be32(data), be32(data[4:])
	plain := word == valid<<24
	grouped := data[0] == valid|policy && data[1]&^policyBits == 0
	if vni&0xff != 0 || !plain && !grouped {
		return nil
	}
	return d.carriedEthernet(p, Tunnel{Kind: TunnelVXLAN, ID: vni >> 8}, data[vxlanLength:], rest-vxlanLength)
}

// geneve reads a Geneve header (RFC 8926, section 3.4).
func (d *Decoder) geneve(p *Packet, data []byte, rest uint32) error {
	if len(data) < geneveLength {
		return nil
	}
	header := geneveLength + uint32(data[0]&0x3f)*4
	if data[0]>>6 != 0 || data[1]&0x3f != 0 || data[7] != 0 || header > uint32(len(data)) {
		return nil
	}
	for at := uint32(geneveLength); at < header; { // options fill what is theirs
		if at += 4 + uint32(data[at+3]&0x1f)*4; at > header {
			return nil
		}
	}
	t := Tunnel{Kind: TunnelGeneve, ID: be32(data[4:]) >> 8}
	return d.carriedKind(p, t, be16(data[2:]), data[header:], rest-header)
}

// gtp reads a G-PDU of GTP-U (3GPP TS 29.281, section 5.1), with extension headers.
func (d *Decoder) gtp(p *Packet, data []byte, rest uint32) error {
	const versionAndType, optional, extended, gPDU = 0x30, 0x07, 0x04, 0xff
	if len(data) < gtpLength || data[0]&^optional != versionAndType || data[1] != gPDU {
		return nil
	}
	if uint32(be16(data[2:])) != rest-gtpLength {
		return nil
	}
	t := Tunnel{Kind: TunnelGTPU, ID: be32(data[4:])}
	at := uint32(gtpLength)
	if data[0]&optional != 0 {
		at += 4 // sequence, N-PDU number, next extension
		if uint32(len(data)) < at {
			return nil
		}
		next := data[at-1]
		for range maxExtensions {
			if data[0]&extended == 0 || next == 0 {
				break
			}
			if at >= uint32(len(data)) || data[at] == 0 {
				return nil
			}
			at += uint32(data[at]) * 4
			if at > uint32(len(data)) {
				return nil
			}
			next = data[at-1]
		}
	}
	if at >= uint32(len(data)) {
		return nil
	}
	return d.carriedIP(p, t, data[at]>>4, data[at:], rest-at)
}

// teredo reads a Teredo packet (RFC 4380, section 5.1.1): IPv6, maybe behind an
// authentication or an origin indication. The packet fills the datagram, and one of
// its addresses is Teredo's or link-local.
func (d *Decoder) teredo(p *Packet, data []byte, rest uint32) error {
	if len(data) > 4 && be16(data) == 1 {
		header := 13 + uint32(data[2]) + uint32(data[3])
		if header > uint32(len(data)) {
			return nil
		}
		data, rest = data[header:], rest-header
	}
	if len(data) > 8 && be16(data) == 0 {
		data, rest = data[8:], rest-8
	}
	if !holdsIP(data, rest, 6) || uint32(be16(data[4:]))+ipv6Length != rest || !teredoAddress(data[8:]) && !teredoAddress(data[24:]) {
		return nil
	}
	return d.carriedIP(p, Tunnel{Kind: TunnelTeredo}, 6, data, rest)
}

// teredoAddress says whether an address is of 2001::/32 or fe80::/64.
func teredoAddress(a []byte) bool {
	return be32(a) == 0x20010000 || be32(a) == 0xfe800000 && be32(a[4:]) == 0
}

// l2tp reads a data message of L2TP version 2 (RFC 2661, section 3.1).
func (d *Decoder) l2tp(p *Packet, data []byte, rest uint32) error {
	const control, length, sequence, offset, priority, version = 0x8000, 0x4000, 0x0800, 0x0200, 0x0100, 2
	if len(data) < 2 {
		return nil
	}
	flags, at := be16(data), uint32(2)
	if flags&control != 0 || flags&^(length|sequence|offset|priority) != version {
		return nil
	}
	if flags&length != 0 {
		if len(data) < 4 || uint32(be16(data[2:])) != rest {
			return nil
		}
		at += 2
	}
	ids := at
	at += 4
	if flags&sequence != 0 {
		at += 4
	}
	if flags&offset != 0 {
		if uint32(len(data)) < at+2 {
			return nil
		}
		at += 2 + uint32(be16(data[at:]))
	}
	if uint32(len(data)) < at {
		return nil
	}
	return d.carriedPPP(p, Tunnel{Kind: TunnelL2TP, ID: be32(data[ids:])}, data[at:], rest-at)
}
