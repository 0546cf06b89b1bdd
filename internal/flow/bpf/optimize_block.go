package bpf

import "errors"

// unknown is the number of a value about which nothing is known.
const unknown = 0

// values numbers values: two computations with the same number give the same.
type values struct {
	numbers map[computation]int
	// constants has, by number, values that are known.
	constants map[int]uint32
}

// computation is an operation with its operands: numbers of values, or
// constants, as the operation has it.
type computation struct {
	op   uint16
	a, b uint32
}

func newValues() values {
	return values{numbers: map[computation]int{}, constants: map[int]uint32{}}
}

func (v *values) of(op uint16, a, b uint32) int {
	c := computation{op, a, b}
	n, ok := v.numbers[c]
	if !ok {
		n = len(v.numbers) + 1
		v.numbers[c] = n
		if op == clsLD|modeIMM || op == clsLDX|modeIMM {
			v.constants[n] = a
		}
	}
	return n
}

func (v *values) constant(k uint32) int { return v.of(clsLD|modeIMM, k, 0) }

// block finds what the block's instructions compute, and simplifies them if
// alter is set.
func (o *optimizer) block(b *block, alter bool) error {
	b.inherit()
	a, x := b.val[atomA], b.val[atomX]
	for i := range b.code {
		if err := o.statement(&b.code[i], &b.val, alter); err != nil {
			return err
		}
	}
	unused := b.outUse == 0 && a != unknown && b.val[atomA] == a && x != unknown && b.val[atomX] == x
	if alter && (unused || b.isReturn()) {
		if len(b.code) > 0 {
			b.code = nil
			o.changed = true
		}
	} else {
		o.peephole(b)
		o.deadStores(b)
	}
	if b.last.usesX() {
		b.operand = b.val[atomX]
	} else {
		b.operand = o.values.constant(b.last.k)
	}
	return nil
}

// inherit sets the values at the block's beginning: those that all ways to it
// agree about.
func (b *block) inherit() {
	if len(b.in) == 0 {
		b.val = [atoms]int{}
		return
	}
	b.val = b.in[0].from.val
	for _, e := range b.in[1:] {
		for atom := range b.val {
			if b.val[atom] != e.from.val[atom] {
				b.val[atom] = unknown
			}
		}
	}
}

// statement computes what an instruction leaves in val.
func (o *optimizer) statement(s *instr, val *[atoms]int, alter bool) error {
	if s.op == opNone {
		return nil
	}
	v := &o.values
	store := func(atom, n int) {
		if alter && n != unknown && val[atom] == n {
			s.op = opNone
			return
		}
		val[atom] = n
	}
	switch s.class() {
	case clsLD, clsLDX:
		atom := atomA
		if s.class() == clsLDX {
			atom = atomX
		}
		switch s.mode() {
		case modeABS, modeMSH:
			store(atom, v.of(s.op, s.k, 0))
		case modeIMM:
			store(atom, v.constant(s.k))
		case modeLEN:
			store(atom, v.of(s.op, 0, 0))
		case modeIND:
			x := val[atomX]
			if k, ok := v.constants[x]; ok && alter {
				s.op = clsLD | modeABS | s.size()
				s.k += k
				x = 0
				o.simplify()
			}
			store(atom, v.of(s.op, s.k, uint32(x)))
		case modeMEM:
			n := val[s.k]
			if k, ok := v.constants[n]; ok && alter {
				s.op = s.class() | modeIMM
				s.k = k
				o.simplify()
			}
			store(atom, n)
		}
	case clsST:
		store(int(s.k), val[atomA])
	case clsSTX:
		store(int(s.k), val[atomX])
	case clsMISC:
		if s.op == opTXA {
			store(atomA, val[atomX])
		} else {
			store(atomX, val[atomA])
		}
	case clsALU:
		return o.arithmetic(s, val, alter, store)
	}
	return nil
}

// arithmetic computes what an operation on A leaves there.
func (o *optimizer) arithmetic(s *instr, val *[atoms]int, alter bool, store func(atom, n int)) error {
	v := &o.values
	op := s.alu()
	a, knownA := v.constants[val[atomA]]
	switch {
	case op == aluNEG:
		if alter && knownA {
			s.op, s.k = clsLD|modeIMM, -a
			val[atomA] = v.constant(s.k)
		} else {
			val[atomA] = v.of(s.op, uint32(val[atomA]), 0)
		}
		return nil
	case !s.usesX():
		return o.arithmeticWith(s, val, alter)
	}
	x, knownX := v.constants[val[atomX]]
	switch {
	case alter && knownX && knownA:
		return o.fold(s, val, a, x)
	case alter && knownX:
		s.op, s.k = clsALU|op, x
		if (op == aluLSH || op == aluRSH) && x > 31 {
			return errors.New("a shift is at most by 31 bits")
		}
		o.simplify()
		val[atomA] = v.of(s.op, uint32(val[atomA]), uint32(v.constant(x)))
		return nil
	case alter && knownA && a == 0:
		switch op {
		case aluADD, aluOR, aluXOR:
			s.op, s.k = opTXA, 0
			store(atomA, val[atomX])
			return nil
		case aluMUL, aluDIV, aluMOD, aluAND, aluLSH, aluRSH:
			s.op, s.k = clsLD|modeIMM, 0
			store(atomA, v.constant(0))
			return nil
		}
	}
	val[atomA] = v.of(s.op, uint32(val[atomA]), uint32(val[atomX]))
	return nil
}

// arithmeticWith computes an operation with a constant.
func (o *optimizer) arithmeticWith(s *instr, val *[atoms]int, alter bool) error {
	v := &o.values
	op := s.alu()
	if alter && s.k == 0 {
		switch op {
		case aluADD, aluLSH, aluRSH, aluOR, aluXOR:
			s.op = opNone
			return nil
		case aluMUL, aluAND:
			s.op = clsLD | modeIMM
			val[atomA] = v.constant(0)
			return nil
		case aluDIV:
			return errors.New("division by zero")
		case aluMOD:
			return errors.New("remainder of a division by zero")
		}
	}
	if a, ok := v.constants[val[atomA]]; ok && alter {
		return o.fold(s, val, a, s.k)
	}
	val[atomA] = v.of(s.op, uint32(val[atomA]), uint32(v.constant(s.k)))
	return nil
}

// fold replaces an operation on two constants by its result.
func (o *optimizer) fold(s *instr, val *[atoms]int, a, b uint32) error {
	switch s.alu() {
	case aluADD:
		a += b
	case aluSUB:
		a -= b
	case aluMUL:
		a *= b
	case aluDIV:
		if b == 0 {
			return errors.New("division by zero")
		}
		a /= b
	case aluMOD:
		if b == 0 {
			return errors.New("remainder of a division by zero")
		}
		a %= b
	case aluAND:
		a &= b
	case aluOR:
		a |= b
	case aluXOR:
		a ^= b
	case aluLSH:
		a <<= b
	case aluRSH:
		a >>= b
	}
	s.op, s.k = clsLD|modeIMM, a
	val[atomA] = o.values.constant(a)
	o.simplify()
	return nil
}

// deadStores takes out what writes an atom that nobody reads before it is
// written again.
func (o *optimizer) deadStores(b *block) {
	var last [atoms]*instr
	note := func(s *instr) {
		switch atom := s.uses(); atom {
		case noAtom:
		case atomsAX:
			last[atomA], last[atomX] = nil, nil
		default:
			last[atom] = nil
		}
		if atom := s.sets(); atom != noAtom {
			if last[atom] != nil {
				o.simplify()
				last[atom].op = opNone
			}
			last[atom] = s
		}
	}
	for i := range b.code {
		note(&b.code[i])
	}
	note(&b.last)
	for atom, s := range last {
		if s != nil && !b.outUse.has(atom) {
			s.op = opNone
			b.val[atom] = unknown
			o.simplify()
		}
	}
}
