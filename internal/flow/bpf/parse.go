package bpf

const (
	// longestFilter bounds the text of a filter, in bytes.
	longestFilter = 64 << 10
	// deepestNesting bounds brackets, nots and signs inside each other.
	deepestNesting = 500
)

// kind says what an address or number after the qualifiers is.
type kind uint8

const (
	kindAny kind = iota
	kindHost
	kindNet
	kindPort
	kindPortrange
	kindProto
	kindProtochain
	kindGateway
)

// direction says which of a packet's two addresses or ports is meant.
type direction uint8

const (
	dirAny direction = iota
	dirSrc
	dirDst
	dirOr
	dirAnd
)

// qualifiers stand before an address or number and say what it means; those
// after and, or may leave them out and take the ones before. none is set
// where there is nothing to take.
type qualifiers struct {
	proto proto
	dir   direction
	kind  kind
	none  bool
}

// item is what the parser has read: a condition, an operand of arithmetic, or
// a number that may be either until the next token is seen.
type item struct {
	kind itemKind
	cond *cond
	// takes are the qualifiers that an address after and, or takes.
	takes qualifiers
	// bracketed says that an itemID stood in brackets.
	bracketed bool
	// number is set for itemNumber, operand for itemArith.
	number  token
	operand *operand
}

type itemKind uint8

const (
	itemTerm   itemKind = iota // a condition with its own qualifiers
	itemID                     // a condition made of an address or number alone
	itemNumber                 // a number, perhaps in brackets
	itemArith                  // arithmetic that no comparison followed yet
)

// parser reads a filter and makes its condition in one go, as what stands
// behind vlan, mpls, pppoes or geneve looks at other offsets of the packet.
type parser struct {
	lexer
	gen   generator
	tok   token
	depth int
}

// parse reads the whole filter.
func (p *parser) parse() (*cond, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	it, err := p.sequence(qualifiers{none: true}, false)
	if err != nil {
		return nil, err
	}
	if it.kind != itemTerm && it.kind != itemID {
		return nil, p.unexpected("a comparison such as = or > has to follow")
	}
	if p.tok.kind != tokEnd {
		return nil, p.unexpected("and, or, or the end of the filter has to follow")
	}
	return it.cond, nil
}

func (p *parser) advance() (err error) {
	p.tok, err = p.next()
	return err
}

func (p *parser) sign(text string) bool { return p.tok.kind == tokSign && p.tok.text == text }

func (p *parser) isWord(w word) bool { return p.tok.kind == tokWord && p.tok.word == w }

// expect takes the sign text, or says that it is missing.
func (p *parser) expect(text string) error {
	if !p.sign(text) {
		return p.unexpected(text + " has to follow")
	}
	return p.advance()
}

// unexpected is the fault that the token at hand does not fit.
func (p *parser) unexpected(wanted string) error {
	switch {
	case p.tok.kind == tokEnd:
		return p.fault(p.tok.pos, "the filter ends too early: %s", wanted)
	case p.tok.kind == tokWord && p.tok.word == wordElse:
		return p.fault(p.tok.pos, "%s is of other link types, not of %s", p.tok.text, p.gen.name)
	case p.tok.kind == tokName:
		if near := nearest(p.tok.text); near != "" {
			return p.fault(p.tok.pos, "the word %s is not known here; did you mean %s?", plain(p.tok.text), near)
		}
		return p.fault(p.tok.pos, "the word %s is not known here: %s", plain(p.tok.text), wanted)
	default:
		return p.fault(p.tok.pos, "%s does not fit here: %s", p.tok.text, wanted)
	}
}

// deeper counts one more level of nesting; the caller takes it back.
func (p *parser) deeper() error {
	p.depth++
	if p.depth > deepestNesting {
		return p.fault(p.tok.pos, "more than %d brackets, nots or signs are nested", deepestNesting)
	}
	return nil
}

// needComparison is what is said where arithmetic ends without one.
const needComparison = "a comparison such as = or > has to follow"

// sequence reads operands joined by and, or, which bind equally and to the
// left. takes is what an address without qualifiers takes. If the first is
// such an address, as after port ( or host (, all others have to be.
func (p *parser) sequence(takes qualifiers, idsOnly bool) (item, error) {
	left, err := p.operand(takes, idsOnly)
	for err == nil && (p.isWord(wordAnd) || p.isWord(wordOr)) {
		join := and
		if p.isWord(wordOr) {
			join = or
		}
		if left, err = p.settle(left, takes); err != nil {
			break
		}
		if err = p.advance(); err != nil {
			break
		}
		var right item
		if right, err = p.operand(left.takes, left.kind == itemID); err != nil {
			break
		}
		if right, err = p.settle(right, left.takes); err != nil {
			break
		}
		left = item{kind: left.kind, cond: join(left.cond, right.cond), takes: right.takes, bracketed: left.bracketed}
	}
	return left, err
}

// settle makes a condition of what may also have been arithmetic.
func (p *parser) settle(it item, takes qualifiers) (item, error) {
	switch it.kind {
	case itemNumber:
		return p.numberID(it.number, takes)
	case itemArith:
		return it, p.unexpected(needComparison)
	default:
		return it, nil
	}
}

// operand reads what stands between and, or.
func (p *parser) operand(takes qualifiers, idsOnly bool) (item, error) {
	switch {
	case p.isWord(wordNot), p.sign("!"):
		return p.negation(takes, idsOnly)
	case p.sign("("):
		return p.brackets(takes, idsOnly)
	case p.tok.kind == tokNumber:
		number := p.tok
		if err := p.advance(); err != nil {
			return item{}, err
		}
		it := item{kind: itemNumber, number: number}
		if idsOnly {
			return it, nil
		}
		return p.arithmeticAfter(it)
	case p.tok.kind == tokName, p.tok.kind == tokIPv4, p.tok.kind == tokIPv6, p.tok.kind == tokMAC, p.tok.kind == tokARCnet:
		return p.addressID(takes)
	case idsOnly:
		return item{}, p.unexpected("an address, a number or a name has to follow")
	case p.sign("-"), p.isWord(wordLen):
		return p.arithmeticAfter(item{kind: itemTerm})
	default:
		return p.term()
	}
}

func (p *parser) negation(takes qualifiers, idsOnly bool) (item, error) {
	if err := p.deeper(); err != nil {
		return item{}, err
	}
	defer func() { p.depth-- }()
	if err := p.advance(); err != nil {
		return item{}, err
	}
	it, err := p.operand(takes, idsOnly)
	if err != nil {
		return it, err
	}
	if it, err = p.settle(it, takes); err != nil {
		return it, err
	}
	it.cond = not(it.cond)
	it.bracketed = false
	return it, nil
}

// brackets reads (, what is inside, and ). What follows the bracket takes the
// qualifiers from before it, not those from inside.
func (p *parser) brackets(takes qualifiers, idsOnly bool) (item, error) {
	if err := p.deeper(); err != nil {
		return item{}, err
	}
	defer func() { p.depth-- }()
	if err := p.advance(); err != nil {
		return item{}, err
	}
	inside := p.tok.pos
	it, err := p.sequence(takes, idsOnly)
	if err != nil {
		return it, err
	}
	if it.bracketed {
		return it, p.fault(inside, "brackets around addresses cannot begin with another bracket")
	}
	if err := p.expect(")"); err != nil {
		return it, err
	}
	switch {
	case it.kind == itemNumber && !idsOnly, it.kind == itemArith:
		return p.arithmeticAfter(it)
	default:
		it.takes = takes
		it.bracketed = it.kind == itemID
		return it, nil
	}
}

// term reads a condition that begins with a word of the language.
func (p *parser) term() (item, error) {
	if p.tok.kind != tokWord {
		return item{}, p.unexpected("a condition such as tcp or port 80 has to follow")
	}
	word := p.tok
	p.gen.at = word.pos
	switch word.word {
	case wordProtocol:
		if err := p.advance(); err != nil {
			return item{}, err
		}
		if p.sign("[") {
			return p.arithmeticOf(proto(word.num), word.pos)
		}
		return p.qualified(proto(word.num), word)
	case wordSrc, wordDst, wordHost, wordNet, wordPort, wordPortrange, wordProto, wordProtochain, wordGateway, wordBroadcast, wordMulticast:
		return p.qualified(protoAny, word)
	default:
		c, err := p.standalone(word)
		return item{kind: itemTerm, cond: c, takes: qualifiers{none: true}}, err
	}
}

// qualified reads what follows a protocol, or what begins without one:
// directions and kinds with an address, broadcast, multicast, or nothing.
func (p *parser) qualified(pr proto, word token) (item, error) {
	if p.isWord(wordBroadcast) || p.isWord(wordMulticast) {
		made := p.gen.broadcast
		if p.isWord(wordMulticast) {
			made = p.gen.multicast
		}
		if err := p.advance(); err != nil {
			return item{}, err
		}
		c, err := made(pr)
		return item{kind: itemTerm, cond: c, takes: qualifiers{none: true}}, p.located(err, word.pos)
	}
	q := qualifiers{proto: pr}
	var err error
	if q.dir, err = p.direction(); err != nil {
		return item{}, err
	}
	if q.kind, err = p.kind(q.dir == dirAny); err != nil {
		return item{}, err
	}
	if q.dir == dirAny && q.kind == kindAny {
		c, err := p.gen.protocol(pr)
		return item{kind: itemTerm, cond: c, takes: qualifiers{none: true}}, p.located(err, word.pos)
	}
	it, err := p.operand(q, true)
	if err != nil {
		return it, err
	}
	if it, err = p.settle(it, q); err != nil {
		return it, err
	}
	it.kind, it.bracketed = itemTerm, false
	return it, nil
}

// direction reads src, dst, or both joined by and, or.
func (p *parser) direction() (direction, error) {
	var other word
	var dir direction
	switch {
	case p.isWord(wordSrc):
		other, dir = wordDst, dirSrc
	case p.isWord(wordDst):
		other, dir = wordSrc, dirDst
	default:
		return dirAny, nil
	}
	if err := p.advance(); err != nil {
		return dir, err
	}
	switch {
	case p.isWord(wordOr):
		dir = dirOr
	case p.isWord(wordAnd):
		dir = dirAnd
	default:
		return dir, nil
	}
	if err := p.advance(); err != nil {
		return dir, err
	}
	if !p.isWord(other) {
		return dir, p.unexpected("src and dst are joined with each other")
	}
	return dir, p.advance()
}

// kind reads host, net, port, portrange, and proto, protochain, gateway where
// no direction precedes them.
func (p *parser) kind(alone bool) (kind, error) {
	if p.tok.kind != tokWord {
		return kindAny, nil
	}
	k := kindAny
	switch p.tok.word {
	case wordHost:
		k = kindHost
	case wordNet:
		k = kindNet
	case wordPort:
		k = kindPort
	case wordPortrange:
		k = kindPortrange
	case wordProto:
		k = kindProto
	case wordProtochain:
		k = kindProtochain
	case wordGateway:
		k = kindGateway
	default:
	}
	if k == kindAny || k >= kindProto && !alone {
		return kindAny, nil
	}
	return k, p.advance()
}

// located puts a fault of the generator at a place of the filter.
func (p *parser) located(err error, pos int) error {
	if err == nil {
		return nil
	}
	return p.fault(pos, "%s", err.Error())
}
