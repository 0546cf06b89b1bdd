package bpf

// numberID makes a condition of a number with the qualifiers that it takes.
func (p *parser) numberID(number token, takes qualifiers) (item, error) {
	if takes.none {
		return item{}, p.fault(number.pos, "the number %s needs a word before it that says what it is, such as port, net or proto", number.text)
	}
	c, err := p.gen.number(number.num, takes)
	return item{kind: itemID, cond: c, takes: takes}, p.located(err, number.pos)
}

// addressID reads an address or a name and makes a condition of it with the
// qualifiers that it takes.
func (p *parser) addressID(takes qualifiers) (item, error) {
	t := p.tok
	if takes.none && t.kind == tokName {
		return item{}, p.unexpected("a condition such as tcp or port 80 has to stand here")
	}
	if takes.none {
		return item{}, p.fault(t.pos, "the address %s needs a word before it that says what it is, such as host or net", t.text)
	}
	if err := p.advance(); err != nil {
		return item{}, err
	}
	var c *cond
	var err error
	switch t.kind {
	case tokName:
		c, err = p.gen.named(t.text, takes)
	case tokIPv4:
		c, err = p.addressIPv4(t, takes)
	case tokIPv6:
		c, err = p.addressIPv6(t, takes)
	case tokMAC:
		c, err = p.gen.mac(t.mac, takes)
	default:
		return item{}, p.fault(t.pos, "addresses of ARCnet, as %s is one, are not of %s", t.text, p.gen.name)
	}
	if _, ok := err.(*SyntaxError); !ok { //nolint:errorlint // faults of the parser itself are never wrapped
		err = p.located(err, t.pos)
	}
	return item{kind: itemID, cond: c, takes: takes}, err
}

// addressIPv4 reads what follows an IPv4 address: /LENGTH, mask ADDRESS, or
// nothing.
func (p *parser) addressIPv4(t token, takes qualifiers) (*cond, error) {
	addr, bits, err := parseIPv4(t.text)
	if err != nil {
		return nil, err
	}
	switch {
	case p.sign("/"):
		length, err := p.maskLength(32)
		if err != nil {
			return nil, err
		}
		mask := uint32(0)
		if length > 0 {
			mask = ^uint32(0) << (32 - length)
		}
		return p.gen.netIPv4(addr, mask, takes)
	case p.isWord(wordMask):
		if err := p.advance(); err != nil {
			return nil, err
		}
		if p.tok.kind != tokIPv4 {
			return nil, p.unexpected("an IPv4 mask such as 255.255.255.0 has to follow")
		}
		mask, _, err := parseIPv4(p.tok.text)
		if err != nil {
			return nil, p.located(err, p.tok.pos)
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
		return p.gen.netIPv4(addr, mask, takes)
	default:
		return p.gen.addressIPv4(t.text, addr, ^uint32(0)<<(32-bits), takes)
	}
}

func (p *parser) addressIPv6(t token, takes qualifiers) (*cond, error) {
	length := uint32(128)
	if p.sign("/") {
		var err error
		if length, err = p.maskLength(128); err != nil {
			return nil, err
		}
	}
	return p.gen.addressIPv6(t.addr.As16(), length, takes)
}

// maskLength reads / and a number up to most.
func (p *parser) maskLength(most uint32) (uint32, error) {
	if err := p.advance(); err != nil {
		return 0, err
	}
	length, err := p.number("the length of a mask has to follow, up to 32 for IPv4 and 128 for IPv6")
	if err == nil && length.num > most {
		err = p.fault(length.pos, "the mask is longer than %d bits", most)
	}
	return length.num, err
}

// number takes a number without brackets.
func (p *parser) number(wanted string) (token, error) {
	if p.tok.kind != tokNumber {
		return token{}, p.unexpected(wanted)
	}
	t := p.tok
	return t, p.advance()
}

// optionalNumber takes a number if one stands here, perhaps in brackets.
func (p *parser) optionalNumber(most uint32, what string) (n uint32, given bool, err error) {
	depth := 0
	for p.sign("(") {
		if depth++; depth > deepestNesting {
			return 0, false, p.fault(p.tok.pos, "more than %d brackets are nested", deepestNesting)
		}
		if err := p.advance(); err != nil {
			return 0, false, err
		}
	}
	if depth == 0 && p.tok.kind != tokNumber {
		return 0, false, nil
	}
	t, err := p.number(what + " has to follow")
	if err != nil {
		return 0, false, err
	}
	if t.num > most {
		return 0, false, p.fault(t.pos, "%s is at most %d", what, most)
	}
	for ; depth > 0; depth-- {
		if err := p.expect(")"); err != nil {
			return 0, false, err
		}
	}
	return t.num, true, nil
}

// standalone reads a condition that takes no qualifiers.
func (p *parser) standalone(word token) (*cond, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	c, err := p.standaloneOf(word)
	if _, ok := err.(*SyntaxError); !ok { //nolint:errorlint // faults of the parser itself are never wrapped
		err = p.located(err, word.pos)
	}
	return c, err
}

func (p *parser) standaloneOf(word token) (*cond, error) {
	switch word.word {
	case wordLess, wordGreater, wordIfindex:
		n, err := p.number("a number has to follow " + word.text)
		if err != nil {
			return nil, err
		}
		switch word.word {
		case wordLess:
			return not(newTest(jmpJGT, n.num, instr{op: clsLD | modeLEN})), nil
		case wordGreater:
			return newTest(jmpJGE, n.num, instr{op: clsLD | modeLEN}), nil
		default:
			return p.gen.ifindex(n.num)
		}
	case wordByte:
		return p.byteTest()
	case wordInbound:
		return p.gen.outbound(false)
	case wordOutbound:
		return p.gen.outbound(true)
	case wordVLAN:
		id, given, err := p.optionalNumber(0x0fff, "the number of a VLAN")
		if err != nil {
			return nil, err
		}
		return p.gen.vlan(id, given)
	case wordMPLS:
		label, given, err := p.optionalNumber(0xfffff, "an MPLS label")
		if err != nil {
			return nil, err
		}
		return p.gen.mpls(label, given)
	case wordPPPoED:
		return p.gen.linktype(etherPPPoED)
	case wordPPPoES:
		session, given, err := p.optionalNumber(0xffff, "the number of a PPPoE session")
		if err != nil {
			return nil, err
		}
		return p.gen.pppoes(session, given)
	case wordGeneve:
		vni, given, err := p.optionalNumber(0xffffff, "a Geneve VNI")
		if err != nil {
			return nil, err
		}
		return p.gen.geneve(vni, given)
	case wordLLC:
		if p.tok.kind == tokName || p.tok.kind == tokWord && p.tok.text == "rnr" {
			name := p.tok.text
			if err := p.advance(); err != nil {
				return nil, err
			}
			return p.gen.llc(name)
		}
		return p.gen.llc("")
	case wordElse:
		return nil, p.fault(word.pos, "%s is of other link types, not of %s", word.text, p.gen.name)
	default:
		return nil, p.fault(word.pos, "%s does not fit here: a condition such as tcp or port 80 has to stand here", word.text)
	}
}

// byteTest reads byte INDEX OPERATOR NUMBER, an old form of ether[INDEX].
func (p *parser) byteTest() (*cond, error) {
	index, err := p.number("the index of a byte has to follow")
	if err != nil {
		return nil, err
	}
	op := p.tok.text
	switch {
	case p.sign("="), p.sign("<"), p.sign(">"), p.sign("&"), p.sign("|"):
	default:
		return nil, p.unexpected("one of = < > & | has to follow")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	value, err := p.number("a number has to follow")
	if err != nil {
		return nil, err
	}
	return p.gen.byteTest(index.num, op, value.num), nil
}
