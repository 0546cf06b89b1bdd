package bpf

import (
	"errors"
	"fmt"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// Families of addresses as Linux numbers them, which BSD loopback headers
// carry: in the byte order of the host (NULL), taken as little-endian, or of
// the network (LOOP).
const (
	familyIPv4 = 2
	familyIPv6 = 10
)

// linktype is the condition that the frame carries ether, an EtherType or the
// SAP of an LLC header.
func (g *generator) linktype(ether uint32) (*cond, error) {
	if g.labels > 0 {
		return g.labelledType(ether)
	}
	switch g.link {
	case packet.LinkEthernet:
		return g.ethernetType(ether), nil
	case packet.LinkCooked:
		return g.cookedType(ether), nil
	case packet.LinkRaw:
		switch ether {
		case etherIP:
			return g.equalMasked(fromLLC, 0, sizeB, 0x40, 0xf0), nil
		case etherIPv6:
			return g.equalMasked(fromLLC, 0, sizeB, 0x60, 0xf0), nil
		}
		return never(), nil
	case packet.LinkIPv4, packet.LinkIPv6:
		if ether == etherIP && g.link == packet.LinkIPv4 || ether == etherIPv6 && g.link == packet.LinkIPv6 {
			return always(), nil
		}
		return never(), nil
	case packet.LinkNull, packet.LinkLoop:
		var family uint32
		switch ether {
		case etherIP:
			family = familyIPv4
		case etherIPv6:
			family = familyIPv6
		default:
			return never(), nil
		}
		if g.link == packet.LinkNull {
			family <<= 24
		}
		return g.equal(fromLinkHeader, 0, sizeW, family), nil
	case packet.LinkPPP:
		return g.equal(fromLinkType, 0, sizeH, pppType(ether)), nil
	default:
		return g.equal(fromLinkType, 0, sizeH, ether), nil
	}
}

// pppType is the number in PPP (RFC 1661 and the IANA registry) of what has
// the EtherType or SAP ether on Ethernet, or ether itself.
func pppType(ether uint32) uint32 {
	switch ether {
	case etherIP:
		return 0x21
	case etherIPv6:
		return 0x57
	case etherDECnet:
		return 0x27
	case etherAppleTalk:
		return 0x29
	case etherNS:
		return 0x25
	case sapISO:
		return 0x23
	case sapSTP:
		return 0x31
	case sapIPX:
		return 0x2b
	default:
		return ether
	}
}

// labelledType tells by the first half byte of the packet what is behind MPLS
// labels, as the labels do not say it (RFC 3032).
func (g *generator) labelledType(ether uint32) (*cond, error) {
	version := uint32(0x40)
	switch ether {
	case etherIP:
	case etherIPv6:
		version = 0x60
	default:
		return nil, errors.New("behind mpls only ip and ip6, and what they carry, can be told apart")
	}
	bottom := g.equalMasked(fromLabel, 2, sizeB, 1, 1)
	return and(bottom, g.equalMasked(fromNetwork, 0, sizeB, version, 0xf0)), nil
}

// llcFrame is the condition that an Ethernet frame is one of IEEE 802.3, with
// a length in place of the EtherType.
func (g *generator) llcFrame() *cond {
	return not(g.test(jmpJGT, fromLinkType, 0, sizeH, maxLength))
}

// snap is the condition that an LLC header is followed by SNAP with the
// organisation org and the type ether (IEEE 802).
func (g *generator) snap(org, ether uint32) *cond {
	return g.equalBytes(fromLLC, 0, []byte{0xaa, 0xaa, 0x03, byte(org >> 16), byte(org >> 8), byte(org), byte(ether >> 8), byte(ether)})
}

// bothSAPs is the condition that an LLC header has sap as its destination and
// its source.
func (g *generator) bothSAPs(sap uint32) *cond {
	return g.equal(fromLLC, 0, sizeH, sap<<8|sap)
}

// appleOrg is the organisation in the SNAP header of AppleTalk.
const appleOrg = 0x080007

func (g *generator) ethernetType(ether uint32) *cond {
	typ := func(v uint32) *cond { return g.equal(fromLinkType, 0, sizeH, v) }
	switch {
	case ether == sapISO || ether == sapIP || ether == sapNetBEUI:
		return and(g.llcFrame(), g.bothSAPs(ether))
	case ether == sapIPX:
		raw := or(g.equal(fromLLC, 0, sizeB, sapIPX), g.equal(fromLLC, 0, sizeH, 0xffff))
		return or(typ(etherIPX), and(g.llcFrame(), or(g.snap(0, etherIPX), raw)))
	case ether == etherAppleTalk:
		return or(typ(ether), and(g.llcFrame(), g.snap(appleOrg, ether)))
	case ether == etherAARP:
		return or(typ(ether), and(g.llcFrame(), g.snap(0, ether)))
	case ether <= maxLength:
		return and(g.llcFrame(), g.equal(fromLinkType, 2, sizeB, ether))
	default:
		return typ(ether)
	}
}

// Values of the type field in Linux cooked captures for frames without an
// EtherType (linux/if_ether.h).
const (
	cookedRaw8023 = 1
	cookedLLC     = 4
)

func (g *generator) cookedType(ether uint32) *cond {
	typ := func(v uint32) *cond { return g.equal(fromLinkType, 0, sizeH, v) }
	switch {
	case ether == sapISO || ether == sapIP || ether == sapNetBEUI:
		return and(typ(cookedLLC), g.bothSAPs(ether))
	case ether == sapIPX:
		llc := and(typ(cookedLLC), or(g.equal(fromLLC, 0, sizeB, sapIPX), g.snap(0, etherIPX)))
		return or(typ(etherIPX), or(typ(cookedRaw8023), llc))
	case ether == etherAppleTalk:
		return or(typ(ether), and(typ(cookedLLC), g.snap(appleOrg, ether)))
	case ether == etherAARP:
		return or(typ(ether), and(typ(cookedLLC), g.snap(0, ether)))
	case ether <= maxLength:
		return and(typ(cookedLLC), g.equal(fromLLC, 0, sizeB, ether))
	default:
		return typ(ether)
	}
}

// llc is the condition that the frame has an LLC header, of a type if name is
// given. The types are those of IEEE 802.2, section 5.4.
func (g *generator) llc(name string) (*cond, error) {
	if g.link != packet.LinkEthernet {
		return nil, fmt.Errorf("llc is known on Ethernet alone, not on %s", g.name)
	}
	frame := and(g.llcFrame(), not(g.equal(fromLLC, 0, sizeH, 0xffff)))
	if name == "" {
		return frame, nil
	}
	if name == "i" {
		return and(frame, not(newTest(jmpJSET, 1, g.loadFrom(fromLLC, 2, sizeB)...))), nil
	}
	var value uint32
	mask := uint32(0xef)
	switch name {
	case "s":
		value, mask = 0x01, 0x03
	case "u":
		value, mask = 0x03, 0x03
	case "rr":
		value, mask = 0x01, 0x0f
	case "rnr":
		value, mask = 0x05, 0x0f
	case "rej":
		value, mask = 0x09, 0x0f
	case "ui":
		value = 0x03
	case "ua":
		value = 0x63
	case "disc":
		value = 0x43
	case "dm":
		value = 0x0f
	case "sabme":
		value = 0x6f
	case "test":
		value = 0xe3
	case "xid":
		value = 0xaf
	case "frmr":
		value = 0x87
	default:
		return nil, fmt.Errorf("llc has no type %s; there are i s u rr rnr rej ui ua disc dm sabme test xid frmr", plain(name))
	}
	return and(frame, g.equalMasked(fromLLC, 2, sizeB, value, mask)), nil
}

// outbound tells who sent the frame, which only cooked captures carry in the
// frame itself (packet type 4: sent by this host).
func (g *generator) outbound(want bool) (*cond, error) {
	var c *cond
	switch g.link {
	case packet.LinkCooked:
		c = g.equal(fromLinkHeader, 0, sizeH, 4)
	case packet.LinkCooked2:
		c = g.equal(fromLinkHeader, 10, sizeB, 4)
	default:
		return nil, fmt.Errorf("frames of %s do not say who sent them: inbound and outbound work on the interface any alone", g.name)
	}
	if !want {
		c = not(c)
	}
	return c, nil
}

// ifindex is the condition that the frame came by an interface, which
// LINUX_SLL2 alone carries in the frame.
func (g *generator) ifindex(n uint32) (*cond, error) {
	if g.link != packet.LinkCooked2 {
		return nil, fmt.Errorf("frames of %s do not say by which interface they came: ifindex works on LINUX_SLL2 alone", g.name)
	}
	return g.equal(fromLinkHeader, 4, sizeW, n), nil
}

func (g *generator) byteTest(index uint32, op string, value uint32) *cond {
	switch op {
	case "=":
		return g.equal(fromLinkHeader, index, sizeB, value)
	case "<":
		return not(g.test(jmpJGE, fromLinkHeader, index, sizeB, value))
	case ">":
		return g.test(jmpJGT, fromLinkHeader, index, sizeB, value)
	}
	alu := uint16(aluAND)
	if op == "|" {
		alu = aluOR
	}
	// As in tcpdump, & and | look at what the accumulator holds and load
	// nothing; ether[INDEX] & VALUE does what the words say.
	return not(newTest(jmpJEQ, 0, instr{op: clsALU | alu, k: value}))
}
