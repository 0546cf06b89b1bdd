package bpf

// redirect leads the edge of b on the given side past tests whose outcome is
// known on this way.
func (o *optimizer) redirect(b *block, side int) {
	to := b.to[side]
	if to.isReturn() {
		return
	}
	if to.to[onTrue] == to.to[onFalse] && !conflict(b, to.to[onTrue]) {
		o.simplify()
		b.to[side] = to.to[onTrue]
	}
	o.passed = o.edges.appendAbove(o.passed[:0], edge{b, side})
	for n := 0; n < len(o.passed); n++ {
		target := known(b.to[side], o.passed[n])
		if target == nil || conflict(b, target) {
			continue
		}
		o.changed = true
		b.to[side] = target
		if target.isReturn() {
			return
		}
		n = -1
	}
}

// conflict reports whether behind the block something is read that has another
// value at its end than at the end of from.
func conflict(from, to *block) bool {
	if to.outUse == 0 {
		return false
	}
	for atom := range atoms {
		if to.outUse.has(atom) && from.val[atom] != to.val[atom] {
			return true
		}
	}
	return false
}

// known returns where the test of b leads once the edge was taken, or nil if
// that cannot be told: the same test has the same outcome; and what is equal
// to one constant is not equal to another.
func known(b *block, e edge) *block {
	if b.isReturn() || b.last.op != e.from.last.op || b.val[atomA] != e.from.val[atomA] {
		return nil
	}
	if b.operand == e.from.operand {
		return b.to[e.side]
	}
	if e.side == onTrue && b.last.op == clsJMP|jmpJEQ {
		return b.to[onFalse]
	}
	return nil
}

// pullUp brings tests of one value together. b and what follows it on one side
// is a chain of tests that all go to the same place on the other side: tests
// of an "or" for side onTrue, of an "and" for onFalse. Where b is reached with
// A holding a value that a later test of the chain tests, and others between
// do not, that test moves before them.
func (o *optimizer) pullUp(b *block, side int) {
	if len(b.in) == 0 || b.isReturn() {
		return
	}
	val := b.firstIn().from.val[atomA]
	for _, e := range b.in {
		if e.from.val[atomA] != val {
			return
		}
	}
	chain := 1 - side
	o.above.ask(b)
	inChain := func(c *block) bool {
		return !c.isReturn() && c.to[side] == b.to[side] && o.above.dominates(c)
	}
	first := b.firstIn().from
	differs := edge{first, onFalse}
	if first.to[onTrue] == b {
		differs.side = onTrue
	}
	atTop := true
	for {
		if !inChain(differs.block()) {
			return
		}
		if differs.block().val[atomA] != val {
			break
		}
		differs = edge{differs.block(), chain}
		atTop = false
	}
	same := edge{differs.block(), chain}
	for {
		if !inChain(same.block()) {
			return
		}
		if same.block().val[atomA] == val {
			break
		}
		same = edge{same.block(), chain}
	}
	pulled := same.block()
	o.lead(same, pulled.to[chain])
	o.lead(edge{pulled, chain}, differs.block())
	if atTop {
		for _, e := range b.in {
			if e.from.to[onTrue] == b {
				o.lead(edge{e.from, onTrue}, pulled)
			} else {
				o.lead(edge{e.from, onFalse}, pulled)
			}
		}
	} else {
		o.lead(differs, pulled)
	}
	o.changed = true
}
