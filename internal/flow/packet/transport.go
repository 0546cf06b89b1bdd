package packet

import "encoding/binary"

// Lengths of headers, in bytes.
const (
	tcpLength  = 20
	udpLength  = 8
	sctpLength = 12
	icmpLength = 8
	dccpLength = 12
	ahLength   = 12
)

// transport reads what a protocol number announces.
func (d *Decoder) transport(p *Packet, protocol byte, data []byte, rest uint32) error {
	p.Protocol = protocol
	switch protocol {
	case protoTCP:
		return p.tcp(data, rest)
	case protoUDP:
		return d.udp(p, data, rest)
	case protoICMP, protoICMPv6:
		return p.icmp(data, rest)
	case protoSCTP:
		return p.ports(data, rest, sctpLength)
	case protoUDPLite:
		return p.ports(data, rest, udpLength)
	case protoDCCP:
		return p.dccp(data, rest)
	case protoAH:
		return d.authenticated(p, data, rest)
	case protoGRE, protoIPv4, protoIPv6, protoMPLS:
		return d.tunnel(p, protocol, data, rest)
	}
	p.Payload, p.PayloadBytes = data, rest
	return nil
}

// tcp reads a TCP header (RFC 9293, section 3.1). Its options may have been cut.
func (p *Packet) tcp(data []byte, rest uint32) error {
	if len(data) < tcpLength {
		p.takePorts(data)
		return lack(rest, tcpLength)
	}
	h := (*[tcpLength]byte)(data)
	p.HasPorts, p.SrcPort, p.DstPort = true, be16(h[0:2]), be16(h[2:4])
	p.Seq, p.Ack = be32(h[4:8]), be32(h[8:12])
	p.Flags, p.Window = h[13], be16(h[14:16])
	header := uint32(h[12]>>4) * 4
	if header < tcpLength || header > rest {
		return ErrLength
	}
	if header > tcpLength {
		p.Options = data[tcpLength:min(header, uint32(len(data)))]
	}
	p.Payload, p.PayloadBytes = beyond(data, header), rest-header
	return nil
}

// udp reads a UDP header (RFC 768), and behind it a tunnel where one is. The length
// of a first fragment is that of the whole datagram; 0 is that of a jumbogram.
func (d *Decoder) udp(p *Packet, data []byte, rest uint32) error {
	if len(data) < udpLength {
		p.takePorts(data)
		return lack(rest, udpLength)
	}
	h := (*[udpLength]byte)(data)
	p.HasPorts, p.SrcPort, p.DstPort = true, be16(h[0:2]), be16(h[2:4])
	length := uint32(be16(h[4:6]))
	if length == 0 || p.Fragment && length > rest {
		length = rest
	}
	if length < udpLength || length > rest {
		return ErrLength
	}
	data, rest = carried(data, length)[udpLength:], length-udpLength
	p.Payload, p.PayloadBytes = data, rest
	if !p.Fragment {
		return d.udpTunnel(p, data, rest)
	}
	return nil
}

// icmp reads type and code of ICMP (RFC 792) and ICMPv6 (RFC 4443).
func (p *Packet) icmp(data []byte, rest uint32) error {
	if len(data) < 2 || rest < 4 {
		return lack(rest, 4)
	}
	p.ICMPType, p.ICMPCode = data[0], data[1]
	if echo := p.Protocol == protoICMP && p.ICMPType&^8 == 0 || p.Protocol == protoICMPv6 && p.ICMPType&^1 == 128; echo && len(data) >= 6 {
		p.EchoID = binary.BigEndian.Uint16(data[4:])
	}
	header := min(rest, icmpLength)
	p.Payload, p.PayloadBytes = beyond(data, header), rest-header
	return nil
}

// ports reads a header whose first fields are ports, and of which no more is used.
func (p *Packet) ports(data []byte, rest, header uint32) error {
	p.takePorts(data)
	if !p.HasPorts || rest < header {
		return lack(rest, header)
	}
	p.Payload, p.PayloadBytes = beyond(data, header), rest-header
	return nil
}

// dccp reads a DCCP header, which states its length (RFC 4340, section 5.1).
func (p *Packet) dccp(data []byte, rest uint32) error {
	p.takePorts(data)
	if len(data) < dccpLength {
		return lack(rest, dccpLength)
	}
	header := uint32(data[4]) * 4
	if header < dccpLength || header > rest {
		return ErrLength
	}
	p.Payload, p.PayloadBytes = beyond(data, header), rest-header
	return nil
}

// takePorts takes the ports of a header that may be cut behind them.
func (p *Packet) takePorts(data []byte) {
	if len(data) >= 4 {
		p.HasPorts, p.SrcPort, p.DstPort = true, be16(data), be16(data[2:])
	}
}

// authenticated passes the authentication header (RFC 4302) of an IPv4 packet; that
// of IPv6 is among its extension headers.
func (d *Decoder) authenticated(p *Packet, data []byte, rest uint32) error {
	if len(data) < ahLength {
		return lack(rest, ahLength)
	}
	header := uint32(data[1])*4 + 8
	if header < ahLength || header > rest {
		return ErrLength
	}
	if header > uint32(len(data)) {
		return ErrCut
	}
	if data[0] == protoAH {
		return ErrExtensions
	}
	return d.transport(p, data[0], data[header:], rest-header)
}
