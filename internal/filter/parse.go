package filter

import (
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on a query, so that no text can cost much to parse or to run.
const (
	MaxLength = 8192
	maxDepth  = 64
	maxTerms  = 512
	// maxProgram bounds what a query's regular expressions compile to together, in
	// states: a repetition of a few bytes makes a thousand of them.
	maxProgram = 10_000
)

// Filter is a parsed query.
type Filter struct {
	text string
	root node
}

// Parse reads a query. An empty one matches all. The error is a *SyntaxError.
func Parse(q string) (*Filter, error) {
	if len(q) > MaxLength {
		return nil, faultAt(MaxLength, "the query is longer than %d bytes", MaxLength)
	}
	if !utf8.ValidString(q) {
		return nil, faultAt(invalidAt(q), "the query is not UTF-8")
	}
	toks, err := lex(q)
	if err != nil {
		return nil, err
	}
	p := &parser{toks: toks}
	if p.peek().kind == tokEnd {
		return &Filter{text: q, root: all{}}, nil
	}
	n, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != tokEnd {
		return nil, faultAt(t.pos, "%s is not expected here", describe(t))
	}
	return &Filter{text: q, root: n}, nil
}

// invalidAt is where the first byte that is not UTF-8 stands.
func invalidAt(q string) int {
	for i, r := range q {
		if r == utf8.RuneError && q[i:min(i+3, len(q))] != "\uFFFD" {
			return i
		}
	}
	return len(q)
}

// String returns the query as it was given.
func (f *Filter) String() string { return f.text }

// All reports whether the filter matches every event.
func (f *Filter) All() bool {
	_, ok := f.root.(all)
	return ok
}

// Match reports whether the event satisfies the query.
func (f *Filter) Match(ev *pb.Event) bool { return f.root.match(ev) }

// Require returns, for a query that cannot match unless the named field (by
// its native name, such as "type" or "host") equals one of a few values, those
// values, in lower case; ok is false when the query allows others. An index can
// use it to skip events before they are decoded.
func (f *Filter) Require(field string) (values []string, ok bool) { return f.root.require(field) }

type parser struct {
	toks  []token
	i     int
	terms int
	// program estimates the states of the regular expressions so far.
	program int
}

func (p *parser) peek() token { return p.toks[p.i] }

func (p *parser) next() token {
	t := p.toks[p.i]
	if t.kind != tokEnd {
		p.i++
	}
	return t
}

func isKeyword(t token, word string) bool {
	return t.kind == tokWord && strings.EqualFold(t.text, word)
}

func (p *parser) or(depth int) (node, error) {
	if depth > maxDepth {
		return nil, faultAt(p.peek().pos, "parentheses are nested deeper than %d", maxDepth)
	}
	n, err := p.and(depth)
	if err != nil {
		return nil, err
	}
	list := []node{n}
	for isKeyword(p.peek(), "or") {
		p.next()
		n, err := p.and(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return anyOf(list), nil
}

func (p *parser) and(depth int) (node, error) {
	var list []node
	for {
		n, err := p.not(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		t := p.peek()
		if isKeyword(t, "and") {
			p.next()
			continue
		}
		if t.kind == tokEnd || t.kind == tokClose || isKeyword(t, "or") {
			break
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return allOf(list), nil
}

func (p *parser) not(depth int) (node, error) {
	if depth > maxDepth {
		return nil, faultAt(p.peek().pos, "the query is nested deeper than %d", maxDepth)
	}
	if t := p.peek(); t.kind == tokNot || isKeyword(t, "not") {
		p.next()
		n, err := p.not(depth + 1)
		if err != nil {
			return nil, err
		}
		return negated{n}, nil
	}
	return p.term(depth)
}

func (p *parser) term(depth int) (node, error) {
	if p.terms++; p.terms > maxTerms {
		return nil, faultAt(p.peek().pos, "the query has more than %d terms", maxTerms)
	}
	t := p.next()
	switch t.kind {
	case tokOpen:
		n, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if end := p.next(); end.kind != tokClose {
			return nil, faultAt(end.pos, "a closing ) is missing for the one at position %d", t.pos)
		}
		return n, nil
	case tokWord, tokString:
		if p.peek().kind == tokColon && !p.peek().spaced {
			p.next()
			return p.comparison(t)
		}
		if t.text == "*" && t.kind == tokWord {
			return all{}, nil
		}
		if isKeyword(t, "and") || isKeyword(t, "or") {
			return nil, faultAt(t.pos, "%s needs a term on each side", strings.ToUpper(t.text))
		}
		return newText(t), nil
	default:
		return nil, faultAt(t.pos, "%s is not expected here: write a word, a field:value or a \"phrase\"", describe(t))
	}
}

// comparison parses what follows "field:".
func (p *parser) comparison(name token) (node, error) {
	f, key, ok := event.FieldByName(name.text)
	if !ok {
		hint := ""
		if near := event.Nearest(name.text); near != "" {
			hint = ", did you mean " + near + "?"
		}
		return nil, faultAt(name.pos, "there is no field %q%s", name.text, hint)
	}
	c := compare{field: f, key: key}
	t := p.next()
	switch {
	case t.kind == tokOp && t.text == "~":
		return p.regex(c)
	case t.kind == tokOp:
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		return newOrdered(c, t, v)
	case isKeyword(t, "in") && p.peek().kind == tokOpen && !p.peek().spaced:
		return p.list(c)
	case t.kind == tokWord && !t.spaced && t.text == "*":
		return exists(c), nil
	case (t.kind == tokWord || t.kind == tokString) && !t.spaced:
		t.text += p.glue()
		return newEqual(c, t), nil
	default:
		return nil, faultAt(t.pos, "a value is missing behind %s:", name.text)
	}
}

// glue appends what belongs to an unquoted value although it holds colons,
// such as an IPv6 address or a time.
func (p *parser) glue() string {
	var b strings.Builder
	for {
		t := p.peek()
		if t.spaced || t.kind != tokColon && (t.kind != tokWord || p.toks[p.i-1].kind != tokColon) && t.kind != tokOp {
			return b.String()
		}
		p.next()
		switch t.kind {
		case tokColon:
			b.WriteByte(':')
		default:
			b.WriteString(t.text)
		}
	}
}

func (p *parser) value() (token, error) {
	t := p.next()
	if t.kind != tokWord && t.kind != tokString || t.spaced {
		return t, faultAt(t.pos, "a value is missing here")
	}
	t.text += p.glue()
	return t, nil
}

func (p *parser) regex(c compare) (node, error) {
	t, err := p.value()
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(t.text, syntax.Perl)
	if err != nil {
		return nil, faultAt(t.pos, "this is not a regular expression (RE2): %v", err)
	}
	if p.program += states(tree); p.program > maxProgram {
		return nil, faultAt(t.pos, "this regular expression is too large: repeat less")
	}
	re, err := regexp.Compile(t.text)
	if err != nil {
		return nil, faultAt(t.pos, "this is not a regular expression (RE2): %v", err)
	}
	return matches{c, re}, nil
}

// states is about how many states an expression compiles to. A class is one,
// however large, and takes memory for its ranges.
func states(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	if re.Op == syntax.OpCharClass {
		n = 1 + len(re.Rune)/64
	}
	for _, sub := range re.Sub {
		n += states(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return n
}

func (p *parser) list(c compare) (node, error) {
	open := p.next()
	var list []node
	for {
		t := p.next()
		if t.kind != tokWord && t.kind != tokString {
			return nil, faultAt(t.pos, "in(…) takes values with commas between them")
		}
		t.text += p.glue()
		if p.terms++; p.terms > maxTerms {
			return nil, faultAt(t.pos, "the query has more than %d terms", maxTerms)
		}
		list = append(list, newEqual(c, token{kind: tokString, text: t.text, pos: t.pos}))
		switch end := p.next(); end.kind {
		case tokComma:
		case tokClose:
			return anyOf(list), nil
		default:
			return nil, faultAt(end.pos, "a closing ) is missing for the one at position %d", open.pos)
		}
	}
}

func newOrdered(c compare, op, v token) (node, error) {
	if op.text == "=" {
		return newEqual(c, token{kind: tokString, text: v.text, pos: v.pos}), nil
	}
	o := ordered{compare: c, op: op.text}
	switch {
	case len(c.field.Values) > 0 && c.field.Type == event.FieldKeyword:
		o.rank = slices.Index(c.field.Values, strings.ToLower(v.text))
		if o.rank < 0 {
			return nil, faultAt(v.pos, "%s is one of %s", c.field.Name, strings.Join(c.field.Values, ", "))
		}
	case c.field.Type == event.FieldTime:
		t, err := time.Parse(time.RFC3339Nano, v.text)
		if err != nil {
			return nil, faultAt(v.pos, "%s is a time: write it as 2026-01-31T12:00:00Z", c.field.Name)
		}
		o.time = t
	case c.field.Type == event.FieldNumber || c.field.Type == event.FieldDuration:
		n, err := number(v.text)
		if err != nil {
			return nil, faultAt(v.pos, "%s is a number: %q is none (units KB MB GB KiB MiB GiB ms s m h are known)", c.field.Name, v.text)
		}
		o.number = n
	default:
		return nil, faultAt(op.pos, "%s holds text, which has no %s", c.field.Name, op.text)
	}
	return o, nil
}

// number reads a float with an optional unit; durations become seconds.
func number(s string) (float64, error) {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		return n, nil
	}
	for _, u := range []struct {
		suffix string
		factor float64
	}{
		{"KiB", 1 << 10},
		{"MiB", 1 << 20},
		{"GiB", 1 << 30},
		{"TiB", 1 << 40},
		{"KB", 1e3},
		{"MB", 1e6},
		{"GB", 1e9},
		{"TB", 1e12},
		{"%", 1},
		{"ms", 1e-3},
		{"us", 1e-6},
		{"s", 1},
		{"m", 60},
		{"h", 3600},
		{"d", 86400},
	} {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			n, err := strconv.ParseFloat(rest, 64)
			return n * u.factor, err //nolint:wrapcheck // the caller words it
		}
	}
	return 0, strconv.ErrSyntax
}

func newEqual(c compare, v token) node {
	e := equal{compare: c, text: v.text, folded: strings.ToLower(v.text)}
	if v.kind == tokWord && strings.Contains(v.text, "*") {
		return newGlob(c, v.text)
	}
	if n, err := number(v.text); err == nil {
		e.number, e.isNumber = n, true
	}
	if p, err := netip.ParsePrefix(v.text); err == nil {
		e.prefix = p
	}
	return e
}

func describe(t token) string {
	switch t.kind {
	case tokEnd:
		return "the end of the query"
	case tokColon:
		return "\":\""
	case tokOpen:
		return "\"(\""
	case tokClose:
		return "\")\""
	case tokComma:
		return "\",\""
	case tokNot:
		return "\"-\""
	case tokWord, tokString, tokOp:
	}
	return strconv.Quote(t.text)
}
