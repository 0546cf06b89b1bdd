package bpf

import (
	"errors"
	"fmt"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// vlan is the condition that the frame has a VLAN tag, with a number if given.
// What follows in the filter looks behind the tag.
func (g *generator) vlan(id uint32, given bool) (*cond, error) {
	if g.labels > 0 {
		return nil, errors.New("vlan cannot follow mpls")
	}
	if g.link != packet.LinkEthernet {
		return nil, fmt.Errorf("vlan is known on Ethernet alone, not on %s", g.inner())
	}
	var c *cond
	for _, ether := range []uint32{etherVLAN, etherQinQ, etherOldQinQ} {
		c = or(c, g.ethernetType(ether))
	}
	if given {
		c = and(c, g.equalMasked(fromNetwork, 0, sizeH, id, 0x0fff))
	}
	g.payload.constant += 4
	g.linkType.constant += 4
	return c, nil
}

// inner is what to call the header that the filter has come to.
func (g *generator) inner() string {
	if g.link == packet.LinkPPP && g.name != linkName(packet.LinkPPP) {
		return "PPP inside of PPPoE"
	}
	return g.name
}

// pppMPLS is the protocol of PPP for MPLS (RFC 3032, section 4.3).
const pppMPLS = 0x0281

// mpls is the condition that the packet has an MPLS label, or one more, with a
// value if given. What follows in the filter looks behind the label.
func (g *generator) mpls(label uint32, given bool) (*cond, error) {
	var c *cond
	switch {
	case g.labels > 0:
		c = g.equalMasked(fromLabel, 2, sizeB, 0, 1)
	case g.link == packet.LinkEthernet:
		c = g.ethernetType(etherMPLS)
	case g.link == packet.LinkPPP:
		c = g.equal(fromLinkType, 0, sizeH, pppMPLS)
	default:
		return nil, fmt.Errorf("mpls is known on Ethernet and PPP alone, not on %s", g.inner())
	}
	if given {
		c = and(c, g.equalMasked(fromNetwork, 0, sizeW, label<<12, 0xfffff000))
	}
	g.network += 4
	g.iso += 4
	g.labels++
	return c, nil
}

// pppoes is the condition that the frame belongs to a PPPoE session (RFC
// 2516), with a number if given. What follows in the filter looks inside.
func (g *generator) pppoes(session uint32, given bool) (*cond, error) {
	c, err := g.linktype(etherPPPoES)
	if err != nil {
		return nil, err
	}
	if given {
		c = and(c, g.equalMasked(fromNetwork, 0, sizeW, session, 0xffff))
	}
	g.link = packet.LinkPPP
	g.linkHeader = g.payload
	g.linkHeader.constant += g.network + 6
	g.linkType = g.linkHeader
	g.payload.constant = g.linkHeader.constant + 2
	g.network, g.iso = 0, 0
	return c, nil
}

// genevePort is the UDP port of Geneve (RFC 8926, section 3.3).
const genevePort = 6081

// geneve is the condition that the packet is a Geneve tunnel's (RFC 8926),
// with a network identifier if given. What follows in the filter looks inside,
// at offsets that the program computes.
func (g *generator) geneve(vni uint32, given bool) (*cond, error) {
	four, err := g.linktype(etherIP)
	if err != nil {
		return nil, err
	}
	isUDP := and(g.equal(fromNetwork, 9, sizeB, ipUDP), g.firstFragment())
	four = and(four, and(isUDP, g.equal(fromIPv4Payload, 2, sizeH, genevePort)))
	four = and(four, g.geneveHeader(fromIPv4Payload, vni, given))
	// The length of the header goes to A; comparing it with X, which has it
	// too, is always true.
	four = and(four, newTest(jmpJEQ|srcX, 0, append(g.headerLength(), instr{op: opTXA})...))

	six, err := g.linktype(etherIPv6)
	if err != nil {
		return nil, err
	}
	six = and(six, and(g.equal(fromNetwork, 6, sizeB, ipUDP), g.equal(fromIPv6Payload, 2, sizeH, genevePort)))
	six = and(six, g.geneveHeader(fromIPv6Payload, vni, given))
	length := []instr{{op: clsLD | modeIMM, k: 40}} //nolint:prealloc // a list of one or three
	if g.payload.variable {
		length = []instr{{op: clsLDX | modeMEM, k: g.payload.reg}, length[0], {op: clsALU | aluADD | srcX}}
	}
	six = and(six, newTest(jmpJEQ|srcX, 0, append(length, instr{op: opTAX})...))

	inside, err := g.enterGeneve()
	return and(or(four, six), inside), err
}

// geneveHeader is the condition that behind UDP the version is 0, and the
// network is the one asked for.
func (g *generator) geneveHeader(from base, vni uint32, given bool) *cond {
	c := g.equalMasked(from, 8, sizeB, 0, 0xc0)
	if given {
		c = and(c, g.equalMasked(from, 12, sizeW, vni<<8, 0xffffff00))
	}
	return c
}

// enterGeneve makes the instructions that compute, from the length of the IP
// header in A, where the type, the Ethernet header and the payload inside the
// tunnel are, and turns the generator's offsets to them.
func (g *generator) enterGeneve() (*cond, error) {
	var regs [3]uint32
	for i := range regs {
		var err error
		if regs[i], err = g.scratch.take(); err != nil {
			return nil, err
		}
	}
	typ, header, payload := regs[0], regs[1], regs[2]
	code := []instr{ //nolint:prealloc // reads as the program that it is
		// X becomes the place of the Geneve header.
		{op: clsALU | aluADD, k: g.payload.constant + g.network + 8},
		{op: opTAX},
		// The type is in it: so it is if there is no Ethernet inside.
		{op: clsALU | aluADD, k: 2},
		{op: clsST, k: typ},
		// Its length without options is 8; they are counted in words.
		{op: clsLD | modeIND | sizeB},
		{op: clsALU | aluAND, k: 0x3f},
		{op: clsALU | aluMUL, k: 4},
		{op: clsALU | aluADD, k: 8},
		{op: clsALU | aluADD | srcX},
		{op: clsST, k: header},
		{op: clsLD | modeIND | sizeH, k: 2},
		{op: clsLDX | modeMEM, k: header},
		{op: clsJMP | jmpJEQ, k: etherTEB, jt: 0, jf: 5},
		// Behind Ethernet's addresses is the type, and then the payload.
		{op: opTXA},
		{op: clsALU | aluADD, k: 12},
		{op: clsST, k: typ},
		{op: clsALU | aluADD, k: 2},
		{op: opTAX},
		{op: clsSTX, k: payload},
	}
	c := always()
	c.code = append(code, c.code...)
	g.link = packet.LinkEthernet
	g.linkType = offset{variable: true, reg: typ}
	g.linkHeader = offset{variable: true, reg: header}
	g.payload = offset{variable: true, reg: payload}
	g.network = 0
	g.tunnelled = true
	return c, nil
}
