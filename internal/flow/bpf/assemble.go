package bpf

import "golang.org/x/net/bpf"

// placed is a block with its place in the program.
type placed struct {
	*block
	at int
	// far says which of the two jumps needs an instruction of its own, as its
	// target is more than 255 instructions away.
	far [2]bool
}

// farthest is how many instructions a conditional jump can skip.
const farthest = 255

// unreachable takes the place of offsets that lie outside of any packet. From
// there to 1<<32 the kernel means other things than bytes of the packet; the
// load of a byte outside of the packet ends the program with 0, as it should.
const unreachable = 0x7fffffff

// assemble puts the blocks in a line, so that jumps lead forward, and each
// block is followed by where it goes if its test holds, if that has no other
// place yet.
func assemble(first *block) ([]bpf.RawInstruction, error) {
	order := inOrder(first)
	places := make(map[*block]*placed, len(order))
	line := make([]*placed, len(order))
	for i, b := range order {
		line[i] = &placed{block: b}
		places[b] = line[i]
	}
	total := 0
	for again := true; again; {
		total = 0
		for _, p := range line {
			p.at = total
			total += p.length()
		}
		if total > MaxInstructions {
			return nil, errTooLong
		}
		again = false
		for _, p := range line {
			again = p.lengthen(places) || again
		}
	}
	program := make([]bpf.RawInstruction, 0, total)
	for _, p := range line {
		program = p.appendTo(program, places)
	}
	return program, nil
}

// inOrder returns the blocks in an order in which each comes before those that
// it leads to.
func inOrder(first *block) []*block {
	var done []*block
	seen := map[*block]bool{}
	var visit func(b *block)
	visit = func(b *block) {
		if b == nil || seen[b] {
			return
		}
		seen[b] = true
		visit(b.to[onFalse])
		visit(b.to[onTrue])
		done = append(done, b)
	}
	visit(first)
	for i, j := 0, len(done)-1; i < j; i, j = i+1, j-1 {
		done[i], done[j] = done[j], done[i]
	}
	return done
}

// body counts the block's instructions before its last.
func (p *placed) body() int {
	n := 0
	for _, i := range p.code {
		if i.op != opNone {
			n++
		}
	}
	return n
}

func (p *placed) length() int {
	n := p.body() + 1
	for _, far := range p.far {
		if far {
			n++
		}
	}
	return n
}

// lengthen gives jumps that do not reach their target an instruction of their
// own, and reports whether it did.
func (p *placed) lengthen(places map[*block]*placed) bool {
	if p.isReturn() {
		return false
	}
	changed := false
	for side, to := range p.to {
		skip := places[to].at - (p.at + p.body()) - 1
		if skip > farthest && !p.far[side] {
			p.far[side] = true
			changed = true
		}
	}
	return changed
}

func (p *placed) appendTo(program []bpf.RawInstruction, places map[*block]*placed) []bpf.RawInstruction {
	for _, i := range p.code {
		if i.op != opNone {
			program = append(program, rawOf(i))
		}
	}
	raw := rawOf(p.last)
	if p.isReturn() {
		return append(program, raw)
	}
	at := len(program)
	var jumps []bpf.RawInstruction
	for side, to := range p.to {
		skip := places[to].at - at - 1
		if p.far[side] {
			jumps = append(jumps, bpf.RawInstruction{Op: clsJMP | jmpJA, K: uint32(skip - len(jumps) - 1)})
			skip = len(jumps) - 1
		}
		if side == onTrue {
			raw.Jt = uint8(skip)
		} else {
			raw.Jf = uint8(skip)
		}
	}
	return append(append(program, raw), jumps...)
}

func rawOf(i instr) bpf.RawInstruction {
	switch {
	case i.op == clsALU|aluNEG:
		// The machine of golang.org/x/net/bpf does not negate; multiplying by
		// -1 is the same.
		return bpf.RawInstruction{Op: clsALU | aluMUL, K: ^uint32(0)}
	case i.class() <= clsLDX && (i.mode() == modeABS || i.mode() == modeIND || i.mode() == modeMSH):
		return bpf.RawInstruction{Op: i.op, K: min(i.k, unreachable)}
	default:
		return bpf.RawInstruction{Op: i.op, Jt: i.jt, Jf: i.jf, K: i.k}
	}
}
