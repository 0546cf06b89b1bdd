package bpf

import (
	"errors"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// EtherTypes that a filter can mean, from the IANA registry "IEEE 802
// Numbers". Numbers up to maxLength are no EtherTypes: they are the length of
// an IEEE 802.3 frame, and filters take them for the SAP of its LLC header.
const (
	maxLength = 1500

	etherNS        = 0x0600
	etherIP        = 0x0800
	etherARP       = 0x0806
	etherMOPDL     = 0x6001
	etherMOPRC     = 0x6002
	etherDECnet    = 0x6003
	etherLAT       = 0x6004
	etherSCA       = 0x6007
	etherTEB       = 0x6558 // Ethernet inside a tunnel
	etherRARP      = 0x8035
	etherAppleTalk = 0x809b
	etherAARP      = 0x80f3
	etherVLAN      = 0x8100
	etherIPX       = 0x8137
	etherIPv6      = 0x86dd
	etherMPLS      = 0x8847
	etherPPPoED    = 0x8863
	etherPPPoES    = 0x8864
	etherQinQ      = 0x88a8
	etherLoopback  = 0x9000
	etherOldQinQ   = 0x9100
)

// SAPs of IEEE 802.2.
const (
	sapIP      = 0x06
	sapSTP     = 0x42
	sapIPX     = 0xe0
	sapNetBEUI = 0xf0
	sapISO     = 0xfe
)

// base says from where the offset of a load counts.
type base uint8

const (
	fromLinkHeader base = iota
	fromLinkType        // the field that says what the frame carries
	fromLLC             // right behind the link layer's header
	fromNetwork         // the header of the network layer
	fromISO             // the same, behind the LLC header of ISO protocols
	fromLabel           // the MPLS label before the last
	fromIPv4Payload
	fromIPv6Payload
)

// offset is a place in the frame: known, or known only while a packet is
// looked at; then the program has put it in the scratch register reg, and
// constant is added to that.
type offset struct {
	variable bool
	reg      uint32
	constant uint32
}

// generator makes conditions for one link type. What it has passed (vlan,
// mpls, pppoes, geneve) shifts its offsets.
type generator struct {
	// link is the kind of header at linkHeader; name is what people call the
	// outermost one.
	link LinkType
	name string
	// at is the place in the filter of what is being read.
	at int

	linkHeader, linkType, payload offset
	// network and iso are the offsets, from the end of the link layer's
	// header, of the network layer, and of ISO protocols.
	network, iso uint32
	// labels counts the MPLS labels that were passed.
	labels int
	// tunnelled is set behind geneve.
	tunnelled bool

	scratch registers
}

var errEthernetOnly = errors.New("addresses of the link layer are known on Ethernet alone")

func newGenerator(link LinkType) generator {
	at := func(n uint32) offset { return offset{constant: n} }
	g := generator{link: link, name: linkName(link)}
	switch link {
	case packet.LinkEthernet:
		g.linkType, g.payload, g.iso = at(12), at(14), 3
	case packet.LinkNull, packet.LinkLoop:
		g.payload = at(4)
	case packet.LinkPPP:
		g.linkType, g.payload = at(2), at(4)
	case packet.LinkCooked:
		g.linkType, g.payload = at(14), at(16)
	case packet.LinkCooked2:
		g.payload = at(20)
	default:
	}
	return g
}

// loadFrom returns instructions that load size bytes at off from the base to
// A. Loads behind variable offsets and IPv4 headers change X.
func (g *generator) loadFrom(from base, off uint32, size uint16) []instr {
	switch from {
	case fromLinkHeader:
		return g.loadAt(g.linkHeader, off, size)
	case fromLinkType:
		return g.loadAt(g.linkType, off, size)
	case fromLLC:
		return g.loadAt(g.payload, off, size)
	case fromNetwork:
		return g.loadAt(g.payload, g.network+off, size)
	case fromISO:
		return g.loadAt(g.payload, g.iso+off, size)
	case fromLabel:
		return g.loadAt(g.payload, g.network-4+off, size)
	case fromIPv6Payload:
		return g.loadAt(g.payload, g.network+40+off, size)
	default:
		return append(g.headerLength(), instr{op: clsLD | modeIND | size, k: g.payload.constant + g.network + off})
	}
}

func (g *generator) loadAt(o offset, off uint32, size uint16) []instr {
	if o.variable {
		return []instr{{op: clsLDX | modeMEM, k: o.reg}, {op: clsLD | modeIND | size, k: o.constant + off}}
	}
	return []instr{{op: clsLD | modeABS | size, k: o.constant + off}}
}

// headerLength loads the length of the IPv4 header to X, and adds the variable
// part of its place if there is one.
func (g *generator) headerLength() []instr {
	place := g.payload.constant + g.network
	if g.payload.variable {
		return []instr{
			{op: clsLDX | modeMEM, k: g.payload.reg},
			{op: clsLD | modeIND | sizeB, k: place},
			{op: clsALU | aluAND, k: 0x0f},
			{op: clsALU | aluLSH, k: 2},
			{op: clsALU | aluADD | srcX},
			{op: opTAX},
		}
	}
	return []instr{{op: clsLDX | modeMSH | sizeB, k: place}}
}

// test compares what stands at off from the base.
func (g *generator) test(jump uint16, from base, off uint32, size uint16, value uint32) *cond {
	return newTest(jump, value, g.loadFrom(from, off, size)...)
}

func (g *generator) equal(from base, off uint32, size uint16, value uint32) *cond {
	return g.test(jmpJEQ, from, off, size, value)
}

// equalMasked compares the bits of mask alone.
func (g *generator) equalMasked(from base, off uint32, size uint16, value, mask uint32) *cond {
	code := g.loadFrom(from, off, size)
	if mask != ^uint32(0) {
		code = append(code, instr{op: clsALU | aluAND, k: mask})
	}
	return newTest(jmpJEQ, value, code...)
}

// equalBytes compares bytes, words of four from the end first.
func (g *generator) equalBytes(from base, off uint32, v []byte) *cond {
	var c *cond
	for len(v) > 0 {
		size, code := 1, uint16(sizeB)
		switch {
		case len(v) >= 4:
			size, code = 4, sizeW
		case len(v) >= 2:
			size, code = 2, sizeH
		}
		start := len(v) - size
		value := uint32(0)
		for _, b := range v[start:] {
			value = value<<8 | uint32(b)
		}
		c = and(c, g.equal(from, off+uint32(start), code, value))
		v = v[:start]
	}
	return c
}

// always and never are conditions that hold of each packet, and of none.
func always() *cond { return newTest(jmpJEQ, 0, instr{op: clsLD | modeIMM}) }
func never() *cond  { return newTest(jmpJEQ, 0, instr{op: clsLD | modeIMM, k: 1}) }

// registers hands out the machine's 16 words of scratch memory.
type registers struct {
	used [16]bool
	next uint32
}

var errNoRegister = errors.New("the arithmetic needs more than the 16 registers that there are: make it shorter")

func (r *registers) take() (uint32, error) {
	for range r.used {
		if !r.used[r.next] {
			r.used[r.next] = true
			return r.next, nil
		}
		r.next = (r.next + 1) % uint32(len(r.used))
	}
	return 0, errNoRegister
}

func (r *registers) free(n uint32) { r.used[n] = false }
