package bpf

// binding says how tightly an operator of arithmetic binds; 0 is none. % and ^
// have alwaysBinds: as in tcpdump they take whatever stands at their sides,
// whichever operators are there.
func binding(sign string) int {
	switch sign {
	case "|":
		return 1
	case "&":
		return 2
	case "<<", ">>":
		return 3
	case "+", "-":
		return 4
	case "*", "/":
		return 5
	case "%", "^":
		return alwaysBinds
	default:
		return 0
	}
}

const (
	bindsMinus  = 6
	alwaysBinds = 7
)

func aluOf(sign string) uint16 {
	switch sign {
	case "|":
		return aluOR
	case "&":
		return aluAND
	case "<<":
		return aluLSH
	case ">>":
		return aluRSH
	case "+":
		return aluADD
	case "-":
		return aluSUB
	case "*":
		return aluMUL
	case "/":
		return aluDIV
	case "%":
		return aluMOD
	default:
		return aluXOR
	}
}

// comparison returns the jump of a comparison, and whether it is turned round.
func comparison(sign string) (jump uint16, reversed, ok bool) {
	switch sign {
	case "=":
		return jmpJEQ, false, true
	case "!=":
		return jmpJEQ, true, true
	case ">":
		return jmpJGT, false, true
	case "<=":
		return jmpJGT, true, true
	case ">=":
		return jmpJGE, false, true
	case "<":
		return jmpJGE, true, true
	default:
		return 0, false, false
	}
}

// arithmeticOf goes on behind a protocol with [.
func (p *parser) arithmeticOf(pr proto, pos int) (item, error) {
	loaded, err := p.loaded(pr, pos)
	if err != nil {
		return item{}, err
	}
	return p.arithmeticAfter(item{kind: itemArith, operand: loaded})
}

// arithmeticAfter goes on behind a first operand, which is a number, an
// operand, or still to be read (itemTerm): with operators, and with a
// comparison if there is one.
func (p *parser) arithmeticAfter(first item) (item, error) {
	var left *operand
	var err error
	switch first.kind {
	case itemArith:
		left = first.operand
	case itemNumber:
		_, _, compares := comparison(p.tok.text)
		if p.tok.kind != tokSign || binding(p.tok.text) == 0 && !compares {
			return first, nil
		}
		left, err = p.gen.constant(first.number.num)
	default:
		left, err = p.primary()
	}
	if err == nil {
		left, err = p.operators(left, 0)
	}
	if err != nil {
		return item{}, p.arithmeticFault(err)
	}
	jump, reversed, ok := comparison(p.tok.text)
	if p.tok.kind != tokSign || !ok {
		return item{kind: itemArith, operand: left}, nil
	}
	if err := p.advance(); err != nil {
		return item{}, err
	}
	right, err := p.arithmetic(0)
	if err != nil {
		return item{}, p.arithmeticFault(err)
	}
	return item{kind: itemTerm, cond: p.gen.compare(jump, reversed, left, right), takes: qualifiers{none: true}}, nil
}

// arithmeticFault gives a place to a fault of the generator.
func (p *parser) arithmeticFault(err error) error {
	if _, ok := err.(*SyntaxError); ok { //nolint:errorlint // faults of the parser itself are never wrapped
		return err
	}
	return p.located(err, p.tok.pos)
}

// arithmetic reads operands with operators that bind tighter than least.
func (p *parser) arithmetic(least int) (*operand, error) {
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	left, err := p.primary()
	if err != nil {
		return nil, err
	}
	return p.operators(left, least)
}

// operators goes on behind the operand left while operators bind tighter than
// least.
func (p *parser) operators(left *operand, least int) (*operand, error) {
	for p.tok.kind == tokSign {
		sign := p.tok.text
		binds := binding(sign)
		if binds <= least {
			break
		}
		if binds == alwaysBinds {
			binds = 0
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
		right, err := p.arithmetic(binds)
		if err != nil {
			return nil, err
		}
		if left, err = p.gen.compute(aluOf(sign), left, right); err != nil {
			return nil, err
		}
	}
	return left, nil
}

// primary reads one operand: a number, len, bytes of the packet, a minus with
// its operand, or arithmetic in brackets.
func (p *parser) primary() (*operand, error) {
	t := p.tok
	switch {
	case t.kind == tokNumber:
		if err := p.advance(); err != nil {
			return nil, err
		}
		return p.gen.constant(t.num)
	case p.isWord(wordLen):
		if err := p.advance(); err != nil {
			return nil, err
		}
		return p.gen.length()
	case p.sign("-"):
		if err := p.advance(); err != nil {
			return nil, err
		}
		a, err := p.arithmetic(bindsMinus)
		if err != nil {
			return nil, err
		}
		return p.gen.negate(a)
	case p.sign("("):
		if err := p.advance(); err != nil {
			return nil, err
		}
		a, err := p.arithmetic(0)
		if err != nil {
			return nil, err
		}
		return a, p.expect(")")
	case p.isWord(wordProtocol):
		if err := p.advance(); err != nil {
			return nil, err
		}
		if !p.sign("[") {
			return nil, p.unexpected("[ with the index of a byte has to follow the protocol")
		}
		return p.loaded(proto(t.num), t.pos)
	default:
		return nil, p.unexpected("a number, len or bytes such as ip[0] have to stand here")
	}
}

// loaded reads [INDEX] or [INDEX:SIZE] behind a protocol.
func (p *parser) loaded(pr proto, pos int) (*operand, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	index, err := p.arithmetic(0)
	if err != nil {
		return nil, p.arithmeticFault(err)
	}
	size := token{num: 1, pos: pos}
	if p.sign(":") {
		if err := p.advance(); err != nil {
			return nil, err
		}
		if size, err = p.number("the number of bytes has to follow: 1, 2 or 4"); err != nil {
			return nil, err
		}
	}
	if err := p.expect("]"); err != nil {
		return nil, err
	}
	loaded, err := p.gen.load(pr, index, size.num)
	return loaded, p.located(err, pos)
}
