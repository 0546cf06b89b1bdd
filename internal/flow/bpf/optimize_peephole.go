package bpf

// nextKept returns the place of the first instruction from n on that was not
// taken out, or len(code).
func nextKept(code []instr, n int) int {
	for n < len(code) && code[n].op == opNone {
		n++
	}
	return n
}

// peephole replaces short runs of instructions by shorter ones, and the test
// at the end if its outcome, or part of it, is known.
func (o *optimizer) peephole(b *block) {
	at := nextKept(b.code, 0)
	if at == len(b.code) {
		if len(b.code) > 0 {
			o.knownTest(b)
		}
		return
	}
	last := at
	for {
		next := nextKept(b.code, at+1)
		if next >= len(b.code) {
			break
		}
		last = next
		s, n := &b.code[at], &b.code[next]
		if s.op == clsST && n.op == clsLDX|modeMEM && s.k == n.k {
			n.op = opTAX
			o.simplify()
		}
		if s.op == clsLD|modeIMM && n.op == opTAX {
			s.op, n.op = clsLDX|modeIMM, opTXA
			o.simplify()
		}
		if s.op == clsLD|modeIMM {
			o.indexed(b, at, next)
		}
		at = nextKept(b.code, at+1)
		if at >= len(b.code) {
			break
		}
	}
	o.testAfter(b, &b.code[last])
	o.knownTest(b)
}

// indexed turns the load of a byte behind a header of variable length, as
// tcp[K] asks for it, into one that has K as its constant:
//
//	ld #K; ldx 4*([H]&0xf); add x; tax; ld [x+N]
//	becomes ldx 4*([H]&0xf); ld [x+N+K]
//
// provided that nobody else reads X.
func (o *optimizer) indexed(b *block, at, next int) {
	if b.outUse.has(atomX) {
		return
	}
	add := next
	if b.code[next].op == clsLDX|modeMSH|sizeB {
		add = nextKept(b.code, next+1)
	}
	if add >= len(b.code) || b.code[add].op != clsALU|aluADD|srcX {
		return
	}
	tax := nextKept(b.code, add+1)
	if tax >= len(b.code) || b.code[tax].op != opTAX {
		return
	}
	load := nextKept(b.code, tax+1)
	if load >= len(b.code) || b.code[load].class() != clsLD || b.code[load].mode() != modeIND {
		return
	}
	b.code[load].k += b.code[at].k
	b.code[at].op, b.code[add].op, b.code[tax].op = opNone, opNone, opNone
	o.simplify()
}

// testAfter merges the last instruction before a test for equality into the
// test, if nobody reads A behind it.
func (o *optimizer) testAfter(b *block, last *instr) {
	if b.last.op != clsJMP|jmpJEQ || b.outUse.has(atomA) {
		return
	}
	switch {
	case last.op == clsALU|aluSUB|srcX:
		if x, ok := o.values.constants[b.val[atomX]]; ok {
			b.last.k += x
			last.op = opNone
			o.simplify()
		} else if b.last.k == 0 {
			last.op = opNone
			b.last.op = clsJMP | jmpJEQ | srcX
			o.simplify()
		}
	case last.op == clsALU|aluSUB:
		last.op = opNone
		b.last.k += last.k
		o.simplify()
	case last.op == clsALU|aluAND && b.last.k == 0:
		b.last.k = last.k
		b.last.op = clsJMP | jmpJSET
		last.op = opNone
		o.simplify()
		b.to[onTrue], b.to[onFalse] = b.to[onFalse], b.to[onTrue]
	}
}

// knownTest finds tests whose outcome is known.
func (o *optimizer) knownTest(b *block) {
	if b.isReturn() {
		return
	}
	if b.last.op == clsJMP|jmpJSET {
		switch b.last.k {
		case 0:
			b.to[onTrue] = b.to[onFalse]
		case ^uint32(0):
			// As libpcap does; see docs/filters.md.
			b.to[onFalse] = b.to[onTrue]
		}
	}
	if x, ok := o.values.constants[b.val[atomX]]; ok && b.last.usesX() {
		b.last.op &^= srcX
		b.last.k = x
	}
	a, ok := o.values.constants[b.val[atomA]]
	if !ok || b.last.usesX() {
		return
	}
	holds := false
	switch b.last.alu() {
	case jmpJEQ:
		holds = a == b.last.k
	case jmpJGT:
		holds = a > b.last.k
	case jmpJGE:
		holds = a >= b.last.k
	case jmpJSET:
		holds = a&b.last.k != 0
	}
	if b.to[onTrue] != b.to[onFalse] {
		o.simplify()
	}
	if holds {
		b.to[onFalse] = b.to[onTrue]
	} else {
		b.to[onTrue] = b.to[onFalse]
	}
}
