package bpf

import "slices"

// atomSet is a set of places that hold values: the machine's scratch
// registers by their numbers, A and X.
type atomSet uint32

const (
	atomA = 16
	atomX = 17
	atoms = 18
	// noAtom and atomsAX are answers of uses.
	noAtom  = -1
	atomsAX = atoms
)

func (s atomSet) has(atom int) bool { return s>>atom&1 != 0 }

// uses returns the atom that an instruction reads: noAtom if none, atomsAX for
// both A and X.
func (i instr) uses() int {
	if i.op == opNone {
		return noAtom
	}
	switch i.class() {
	case clsRET:
		return noAtom
	case clsLD, clsLDX:
		switch i.mode() {
		case modeIND:
			return atomX
		case modeMEM:
			return int(i.k)
		default:
			return noAtom
		}
	case clsST:
		return atomA
	case clsSTX:
		return atomX
	case clsJMP, clsALU:
		if i.usesX() {
			return atomsAX
		}
		return atomA
	default:
		if i.op == opTXA {
			return atomX
		}
		return atomA
	}
}

// sets returns the atom that an instruction writes, or noAtom.
func (i instr) sets() int {
	if i.op == opNone {
		return noAtom
	}
	switch i.class() {
	case clsLD, clsALU:
		return atomA
	case clsLDX:
		return atomX
	case clsST, clsSTX:
		return int(i.k)
	case clsMISC:
		if i.op == opTAX {
			return atomX
		}
		return atomA
	default:
		return noAtom
	}
}

// edge is one of the two ways out of a block.
type edge struct {
	from *block
	side int
}

// findLevels sorts the blocks that can be reached by the longest way to a
// return.
func (o *optimizer) findLevels() {
	o.round++
	o.levels = o.levels[:0]
	var visit func(b *block)
	visit = func(b *block) {
		if b.seen == o.round {
			return
		}
		b.seen = o.round
		b.level = 0
		if !b.isReturn() {
			visit(b.to[onTrue])
			visit(b.to[onFalse])
			b.level = max(b.to[onTrue].level, b.to[onFalse].level) + 1
		}
		for len(o.levels) <= b.level {
			o.levels = append(o.levels, nil)
		}
		o.levels[b.level] = append(o.levels[b.level], b)
	}
	visit(o.root)
	place := 0
	for _, level := range slices.Backward(o.levels) {
		slices.Reverse(level)
		for _, b := range level {
			b.place = place
			place++
		}
	}
}

// findUses finds which atoms a block reads before it writes them, and which
// are read behind it.
func (o *optimizer) findUses() {
	for _, level := range o.levels {
		for _, b := range level {
			b.findOwnUses()
			b.outUse = 0
			if b.isReturn() {
				continue
			}
			b.outUse = b.to[onTrue].inUse | b.to[onFalse].inUse
			b.inUse |= b.outUse &^ b.kill
		}
	}
}

func (b *block) findOwnUses() {
	var defined, used, killed atomSet
	use := func(atom int) {
		if !defined.has(atom) {
			used |= 1 << atom
		}
	}
	note := func(i instr) {
		switch atom := i.uses(); atom {
		case noAtom:
		case atomsAX:
			use(atomX)
			use(atomA)
		default:
			use(atom)
		}
		if atom := i.sets(); atom != noAtom {
			if !used.has(atom) {
				killed |= 1 << atom
			}
			defined |= 1 << atom
		}
	}
	for _, i := range b.code {
		note(i)
	}
	if !b.isReturn() {
		note(b.last)
	}
	b.kill, b.inUse = killed, used
}

// findPredecessors finds the edges into each block, those found last first.
func (o *optimizer) findPredecessors() {
	for _, b := range o.blocks {
		b.in = b.in[:0]
	}
	for l := o.root.level; l > 0; l-- {
		for _, b := range o.levels[l] {
			for side, to := range b.to {
				to.in = append(to.in, edge{b, side})
			}
		}
	}
}

// firstIn is the predecessor that was found last.
func (b *block) firstIn() edge { return b.in[len(b.in)-1] }
