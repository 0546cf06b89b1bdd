package bpf

import (
	"errors"
	"fmt"
)

// Numbers of IP protocols, from the IANA registry.
const (
	ipICMP     = 1
	ipIGMP     = 2
	ipTCP      = 6
	ipIGRP     = 9
	ipUDP      = 17
	ipFragment = 44
	ipESP      = 50
	ipAH       = 51
	ipICMPv6   = 58
	ipPIM      = 103
	ipVRRP     = 112 // and CARP
	ipSCTP     = 132
)

// Protocols of ISO, by their first byte, and types of IS-IS packets (ISO
// 10589, section 9).
const (
	isoCLNP = 0x81
	isoESIS = 0x82
	isoISIS = 0x83

	isisHelloL1  = 15
	isisHelloL2  = 16
	isisHelloPTP = 17
	isisLSPL1    = 18
	isisLSPL2    = 20
	isisCSNPL1   = 24
	isisCSNPL2   = 25
	isisPSNPL1   = 26
	isisPSNPL2   = 27
)

// protocol is the condition that a packet is of p.
func (g *generator) protocol(p proto) (*cond, error) {
	switch p {
	case protoSCTP:
		return g.carries(ipSCTP, protoAny)
	case protoTCP:
		return g.carries(ipTCP, protoAny)
	case protoUDP:
		return g.carries(ipUDP, protoAny)
	case protoICMP:
		return g.carries(ipICMP, protoIP)
	case protoIGMP:
		return g.carries(ipIGMP, protoIP)
	case protoIGRP:
		return g.carries(ipIGRP, protoIP)
	case protoPIM:
		return g.carries(ipPIM, protoAny)
	case protoVRRP, protoCARP:
		return g.carries(ipVRRP, protoIP)
	case protoICMPv6:
		return g.carries(ipICMPv6, protoIPv6)
	case protoAH:
		return g.carries(ipAH, protoAny)
	case protoESP:
		return g.carries(ipESP, protoAny)
	case protoESIS:
		return g.carries(isoESIS, protoISO)
	case protoISIS:
		return g.carries(isoISIS, protoISO)
	case protoCLNP:
		return g.carries(isoCLNP, protoISO)
	case protoISISL1:
		return g.isis(isisPSNPL1, isisCSNPL1, isisLSPL1, isisHelloL1, isisHelloPTP)
	case protoISISL2:
		return g.isis(isisPSNPL2, isisCSNPL2, isisLSPL2, isisHelloL2, isisHelloPTP)
	case protoIIH:
		return g.isis(isisHelloPTP, isisHelloL1, isisHelloL2)
	case protoLSP:
		return g.isis(isisLSPL1, isisLSPL2)
	case protoSNP:
		return g.isis(isisPSNPL2, isisPSNPL1, isisCSNPL1, isisCSNPL2)
	case protoCSNP:
		return g.isis(isisCSNPL1, isisCSNPL2)
	case protoPSNP:
		return g.isis(isisPSNPL1, isisPSNPL2)
	case protoLink:
		return nil, errors.New("the link layer alone is no condition; ether host, ether proto or ether[0] is")
	default:
	}
	if ether, ok := etherOf(p); ok {
		return g.linktype(ether)
	}
	return nil, fmt.Errorf("this protocol is not of %s", g.name)
}

// etherOf is the EtherType, or the SAP, of a protocol that lies right on the
// link layer.
func etherOf(p proto) (uint32, bool) {
	switch p {
	case protoIP:
		return etherIP, true
	case protoIPv6:
		return etherIPv6, true
	case protoARP:
		return etherARP, true
	case protoRARP:
		return etherRARP, true
	case protoAppleTalk:
		return etherAppleTalk, true
	case protoAARP:
		return etherAARP, true
	case protoDECnet:
		return etherDECnet, true
	case protoLAT:
		return etherLAT, true
	case protoSCA:
		return etherSCA, true
	case protoMOPDL:
		return etherMOPDL, true
	case protoMOPRC:
		return etherMOPRC, true
	case protoISO:
		return sapISO, true
	case protoSTP:
		return sapSTP, true
	case protoIPX:
		return sapIPX, true
	case protoNetBEUI:
		return sapNetBEUI, true
	default:
		return 0, false
	}
}

// isis is the condition that a packet is IS-IS of one of the types.
func (g *generator) isis(types ...uint32) (*cond, error) {
	var c *cond
	for _, typ := range types {
		one, err := g.carries(typ, protoISIS)
		if err != nil {
			return nil, err
		}
		c = or(c, one)
	}
	return c, nil
}

// carries is the condition that packets of the protocol in carry n.
func (g *generator) carries(n uint32, in proto) (*cond, error) {
	switch in {
	case protoAny:
		four, err := g.carries(n, protoIP)
		if err != nil {
			return nil, err
		}
		six, err := g.carries(n, protoIPv6)
		return or(four, six), err
	case protoLink:
		return g.linktype(n)
	case protoIP:
		c, err := g.linktype(etherIP)
		return and(c, g.equal(fromNetwork, 9, sizeB, n)), err
	case protoIPv6:
		// The next header is looked at, and that behind one fragment header;
		// other extension headers are not walked.
		c, err := g.linktype(etherIPv6)
		next := g.equal(fromNetwork, 6, sizeB, n)
		fragment := and(g.equal(fromNetwork, 6, sizeB, ipFragment), g.equal(fromNetwork, 40, sizeB, n))
		return and(c, or(next, fragment)), err
	case protoISO:
		c, err := g.linktype(sapISO)
		return and(c, g.equal(fromISO, 0, sizeB, n)), err
	case protoISIS:
		c, err := g.carries(isoISIS, protoISO)
		return and(c, g.equal(fromISO, 4, sizeB, n)), err
	default:
		return nil, errors.New("proto has to follow ether, ip, ip6, iso or isis, or nothing")
	}
}

var (
	errGateway    = errors.New("gateway needs names of hosts, which a filter does not look up; use ether host and not host")
	errProtochain = errors.New("protochain needs a loop, which the kernel refuses; use proto, or the number of the extension header")
)

// number is the condition on a number behind its qualifiers.
func (g *generator) number(n uint32, q qualifiers) (*cond, error) {
	switch q.kind {
	case kindPort:
		return g.ports(n, n, false, q)
	case kindPortrange:
		return g.ports(n, n, true, q)
	case kindProto:
		return g.carries(n, q.proto)
	case kindProtochain:
		return nil, errProtochain
	case kindGateway:
		return nil, errGateway
	default:
	}
	if q.proto == protoLink {
		return nil, errors.New("an Ethernet address such as 02:00:00:00:00:01 has to stand here")
	}
	mask := ^uint32(0)
	if q.kind == kindNet {
		for n != 0 && n>>24 == 0 {
			n <<= 8
			mask <<= 8
		}
	}
	return g.hostIPv4(n, mask, q)
}

// named is the condition on a name behind its qualifiers.
func (g *generator) named(name string, q qualifiers) (*cond, error) {
	switch q.kind {
	case kindPort, kindPortrange:
		return g.namedPorts(name, q)
	case kindProto:
		n, err := protocolNumber(name, q.proto)
		if err != nil {
			return nil, err
		}
		return g.carries(n, q.proto)
	case kindProtochain:
		return nil, errProtochain
	case kindGateway:
		return nil, errGateway
	default:
	}
	// A backslash may stand before an address too.
	if addr, bits, err := parseIPv4(name); err == nil && bits == 32 && q.proto != protoLink && q.proto != protoDECnet && q.kind != kindNet {
		return g.hostIPv4(addr, ^uint32(0), q)
	}
	if q.kind == kindNet {
		return nil, fmt.Errorf("%s is a name: a filter does not look up names of networks, so write the address, such as 192.0.2.0/24", plain(name))
	}
	return nil, fmt.Errorf("%s is a name: a filter does not look up names of hosts, so write the address", plain(name))
}

// portProtocol is the IP protocol that ports are asked of: 0 is any.
func portProtocol(p proto) (uint32, error) {
	switch p {
	case protoAny:
		return 0, nil
	case protoTCP:
		return ipTCP, nil
	case protoUDP:
		return ipUDP, nil
	case protoSCTP:
		return ipSCTP, nil
	default:
		return 0, errors.New("before port only tcp, udp or sctp can stand")
	}
}

// ports is the condition on the ports from first to last, of the protocol that
// the qualifiers name or of each with ports. A range of one port is not
// tested as one port is, so that both cost what they cost in tcpdump.
func (g *generator) ports(first, last uint32, isRange bool, q qualifiers) (*cond, error) {
	protocol, err := portProtocol(q.proto)
	if err != nil {
		return nil, err
	}
	return g.portsOf(protocol, first, last, isRange, q.dir)
}

func (g *generator) portsOf(protocol, first, last uint32, isRange bool, dir direction) (*cond, error) {
	if first > 0xffff || last > 0xffff {
		return nil, fmt.Errorf("%d is no port: ports end at 65535", max(first, last))
	}
	if first > last {
		first, last = last, first
	}
	// Order matters to the optimiser alone.
	protocols := []uint32{ipSCTP, ipTCP, ipUDP}
	if protocol != 0 {
		protocols = []uint32{protocol}
	}
	var four, six *cond
	for _, n := range protocols {
		both := func(from base) *cond {
			c, _ := g.directed(dir, func(source bool) (*cond, error) {
				off := uint32(2)
				if source {
					off = 0
				}
				if !isRange {
					return g.equal(from, off, sizeH, first), nil
				}
				return and(g.test(jmpJGE, from, off, sizeH, first), not(g.test(jmpJGT, from, off, sizeH, last))), nil
			})
			return c
		}
		six = or(six, and(g.equal(fromNetwork, 6, sizeB, n), both(fromIPv6Payload)))
		four = or(four, and(and(g.equal(fromNetwork, 9, sizeB, n), g.firstFragment()), both(fromIPv4Payload)))
	}
	typ6, err := g.linktype(etherIPv6)
	if err != nil {
		return nil, err
	}
	typ4, err := g.linktype(etherIP)
	return or(and(typ6, six), and(typ4, four)), err
}

// firstFragment is the condition that an IPv4 packet is whole, or the first of
// its fragments, which alone has the header of the next layer.
func (g *generator) firstFragment() *cond {
	return not(newTest(jmpJSET, 0x1fff, g.loadFrom(fromNetwork, 6, sizeH)...))
}
