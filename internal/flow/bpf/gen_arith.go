package bpf

import "errors"

// operand is a value of arithmetic: code computes it and leaves it in the
// scratch register reg.
type operand struct {
	code []instr
	reg  uint32
	// needs is the condition under which the value is there at all: that the
	// packet is of the protocol of which it asks bytes.
	needs *cond
}

// storeTo ends code with storing A in a register that is free.
func (g *generator) storeTo(code []instr, needs *cond) (*operand, error) {
	reg, err := g.scratch.take()
	if err != nil {
		return nil, err
	}
	return &operand{code: append(code, instr{op: clsST, k: reg}), reg: reg, needs: needs}, nil
}

func (g *generator) constant(n uint32) (*operand, error) {
	return g.storeTo([]instr{{op: clsLD | modeIMM, k: n}}, nil)
}

func (g *generator) length() (*operand, error) {
	return g.storeTo([]instr{{op: clsLD | modeLEN}}, nil)
}

func (g *generator) negate(a *operand) (*operand, error) {
	code := append(a.code, instr{op: clsLD | modeMEM, k: a.reg}, instr{op: clsALU | aluNEG})
	g.scratch.free(a.reg)
	return g.storeTo(code, a.needs)
}

// both joins the code of two operands, and code that loads a to A and b to X.
func both(a, b *operand) []instr {
	code := append(a.code, b.code...)
	return append(code, instr{op: clsLDX | modeMEM, k: b.reg}, instr{op: clsLD | modeMEM, k: a.reg})
}

// compute applies an operation of the machine. As in tcpdump, what the right
// operand needs is not asked for: 1 + tcp[0] = 5 looks at packets without TCP
// too.
func (g *generator) compute(alu uint16, a, b *operand) (*operand, error) {
	if first := b.code[0]; first.op == clsLD|modeIMM {
		switch {
		case alu == aluDIV && first.k == 0:
			return nil, errors.New("division by zero")
		case alu == aluMOD && first.k == 0:
			return nil, errors.New("remainder of a division by zero")
		case (alu == aluLSH || alu == aluRSH) && first.k > 31:
			return nil, errors.New("a shift is at most by 31 bits")
		}
	}
	code := append(both(a, b), instr{op: clsALU | alu | srcX})
	g.scratch.free(a.reg)
	g.scratch.free(b.reg)
	return g.storeTo(code, a.needs)
}

// compare makes the condition. Equality is tested by subtraction, which leaves
// more to the optimiser.
func (g *generator) compare(jump uint16, reversed bool, a, b *operand) *cond {
	code := both(a, b)
	var c *cond
	if jump == jmpJEQ {
		c = newTest(jmpJEQ, 0, append(code, instr{op: clsALU | aluSUB | srcX})...)
	} else {
		c = newTest(jump|srcX, 0, code...)
	}
	if reversed {
		c = not(c)
	}
	g.scratch.free(a.reg)
	g.scratch.free(b.reg)
	return and(and(a.needs, b.needs), c)
}

// load makes the operand of size bytes at an index from the header of a
// protocol.
func (g *generator) load(p proto, index *operand, size uint32) (*operand, error) {
	var width uint16
	switch size {
	case 1:
		width = sizeB
	case 2:
		width = sizeH
	case 4:
		width = sizeW
	default:
		return nil, errors.New("1, 2 or 4 bytes can be loaded")
	}
	reg, err := g.scratch.take()
	if err != nil {
		return nil, err
	}
	g.scratch.free(index.reg)
	code, needs, err := g.place(p, index)
	if err != nil {
		return nil, err
	}
	last := &code[len(code)-1]
	last.op |= width
	return &operand{code: append(code, instr{op: clsST, k: reg}), reg: reg, needs: needs}, nil
}

// place makes the code that loads from an index, but for the width of the
// load, and what has to hold before.
func (g *generator) place(p proto, index *operand) (code []instr, needs *cond, err error) {
	load := instr{op: clsLD | modeIND}
	needs = index.needs
	switch p {
	case protoLink:
		load.k = g.linkHeader.constant
		return append(g.indexFrom(g.linkHeader, index), load), needs, nil
	case protoSCTP, protoTCP, protoUDP, protoICMP, protoIGMP, protoIGRP, protoPIM, protoVRRP, protoCARP:
		// Bytes of IPv4 alone: the place is behind its header.
		load.k = g.payload.constant + g.network
		code = append(index.code, g.headerLength()...)
		code = append(code, instr{op: clsLD | modeMEM, k: index.reg}, instr{op: clsALU | aluADD | srcX}, instr{op: opTAX}, load)
		is, err := g.protocol(p)
		if err != nil {
			return nil, nil, err
		}
		four, err := g.protocol(protoIP)
		return code, and(four, and(needs, and(is, g.firstFragment()))), err
	case protoICMPv6:
		load.k = g.payload.constant + g.network + 40
		six, err := g.protocol(protoIPv6)
		needs = and(and(needs, six), g.equal(fromNetwork, 6, sizeB, ipICMPv6))
		return append(g.indexFrom(g.payload, index), load), needs, err
	case protoIP, protoARP, protoRARP, protoAppleTalk, protoDECnet, protoLAT, protoSCA, protoMOPRC, protoMOPDL, protoIPv6:
		load.k = g.payload.constant + g.network
		is, err := g.protocol(p)
		return append(g.indexFrom(g.payload, index), load), and(needs, is), err
	default:
		return nil, nil, errors.New("bytes of this protocol cannot be asked for")
	}
}

// indexFrom loads the index to X, and adds the variable part of a place.
func (g *generator) indexFrom(o offset, index *operand) []instr {
	if !o.variable {
		return append(index.code, instr{op: clsLDX | modeMEM, k: index.reg})
	}
	return append(index.code,
		instr{op: clsLDX | modeMEM, k: o.reg},
		instr{op: clsLD | modeMEM, k: index.reg},
		instr{op: clsALU | aluADD | srcX},
		instr{op: opTAX})
}
