package logsql

import (
	"strconv"
	"strings"
)

const matchAll = "*"

// parser reads a query and writes what the engine is given. The engine's own parser
// has the last word: what this one passes on without understanding, such as the
// arguments of a pipe, is checked there.
//
//	query  = or { "|" pipe } [ ";" ]
//	or     = and { "or" and }
//	and    = not { ["and"] not }
//	not    = [ "-" | "!" | "not" ] term
//	term   = "(" or ")" | "{" streams "}" | [ name ":" ] ( value | operator value | function "(" … ")" | "(" or ")" )
type parser struct {
	lexer
	at    int // where the next token is looked for
	out   output
	depth int
	terms int
	pipes int // of all queries together
	// growth is how many times longer the pipes so far may make a text.
	growth int
	names  scope
	// piped says that the outermost query has pipes.
	piped bool
	// subquery says that a filter needs the answer of another query.
	subquery bool
	// counted says that a pipe came that gives out few rows: filters behind it read little.
	counted bool
	cost    cost
	// types are what the type of an event must be for the query to find it, as far as
	// terms at the top say so.
	types []typeTerm
}

func newParser(text string) *parser { return &parser{lexer: lexer{text: text}} }

// output is the text for the engine, and that for events as they come: they differ in
// times that are relative to now.
type output struct {
	engine, live strings.Builder
	// marks say which part of the query a part of the output came from.
	marks []mark
}

type mark struct{ out, in int }

func (o *output) raw(parts ...string) {
	for _, s := range parts {
		o.engine.WriteString(s)
		o.live.WriteString(s)
	}
}

func (o *output) differing(engine, live string) {
	o.engine.WriteString(engine)
	o.live.WriteString(live)
}

func (o *output) mark(in int) { o.marks = append(o.marks, mark{o.engine.Len(), in}) }

// quote writes a text so that the engine takes it as it stands.
func quote(s string) string { return strconv.Quote(s) }

func (p *parser) peek(in context) token {
	t, _ := p.scan(p.at, in) // query has seen that all quotes are closed
	return t
}

func (p *parser) take(in context) token {
	t := p.peek(in)
	p.at = t.end
	return t
}

// after is the token behind t.
func (p *parser) after(t token, in context) token {
	next, _ := p.scan(t.end, in)
	return next
}

func (p *parser) expect(sign string, in context) *SyntaxError {
	if t := p.take(in); !t.is(sign) {
		return faultAt(t.pos, "%s is not expected here, but %q", t.describe(), sign)
	}
	return nil
}

// query reads all of the text.
func (p *parser) query() error {
	for pos := 0; ; {
		t, err := p.scan(pos, inValue)
		if err != nil {
			return err
		}
		if t.kind == tokEnd {
			break
		}
		pos = t.end
	}
	if p.peek(inName).kind == tokEnd {
		p.out.raw(matchAll)
		return nil
	}
	if err := p.body(); err != nil {
		return err
	}
	if t := p.peek(inName); t.kind != tokEnd {
		return faultAt(t.pos, "%s is not expected here", t.describe())
	}
	if n := p.out.engine.Len(); n > maxRewritten {
		return faultAt(0, "the query looks for too many words in any field: name the fields")
	}
	return nil
}

// body reads a query or one inside another.
func (p *parser) body() *SyntaxError {
	t := p.peek(inName)
	if t.keyword("options") && p.after(t, inName).is("(") {
		return faultAt(t.pos, "options(…) is not available: range, limits and time come with the request")
	}
	if t.is("|") {
		p.out.raw(matchAll)
	} else if err := p.or(target{}, false); err != nil {
		return err
	}
	for p.peek(inName).is("|") {
		p.take(inName)
		if p.pipes++; p.pipes > maxPipes {
			return faultAt(p.at, "the query has more than %d pipes", maxPipes)
		}
		p.piped = p.piped || p.depth == 0
		p.out.raw(" | ")
		if err := p.pipe(); err != nil {
			return err
		}
		if t := p.peek(inName); !t.ends() {
			return faultAt(t.pos, "%s is not expected here: a pipe ends with |", t.describe())
		}
	}
	if p.peek(inName).is(";") {
		p.take(inName)
	}
	return nil
}

// inside reads what is nested.
func (p *parser) inside(read func() *SyntaxError) *SyntaxError {
	if p.depth++; p.depth > maxDepth {
		return faultAt(p.at, "the query is nested deeper than %d", maxDepth)
	}
	defer func() { p.depth-- }()
	return read()
}

func (p *parser) or(tg target, group bool) *SyntaxError {
	for {
		if err := p.and(tg, group); err != nil {
			return err
		}
		if !p.peek(tg.context()).keyword("or") {
			return nil
		}
		p.take(tg.context())
		p.out.raw(" or ")
		p.cost.or(p.depth)
	}
}

func (p *parser) and(tg target, group bool) *SyntaxError {
	for {
		read := func() *SyntaxError { return p.not(tg, group) }
		if p.depth == 0 && p.pipes == 0 {
			whole := read
			read = func() *SyntaxError { return p.sift(whole) }
		}
		if err := read(); err != nil {
			return err
		}
		t := p.peek(tg.context())
		if t.ends() || t.keyword("or") {
			return nil
		}
		if t.keyword("and") {
			p.take(tg.context())
		}
		p.out.raw(" ")
	}
}

func (p *parser) not(tg target, group bool) *SyntaxError {
	t := p.peek(tg.context())
	switch {
	case t.is("!"), t.is("-"):
		p.at = t.end
	case t.keyword("not") && (tg.none() || group || p.after(t, inValue).is("(")):
		p.at = t.end
	case group && !tg.none() && t.kind == tokWord && len(t.text) > 1 && t.text[0] == '-':
		p.at = t.pos + 1
	default:
		return p.term(tg)
	}
	return p.inside(func() *SyntaxError {
		p.out.raw("!(")
		p.cost.negated++
		err := p.not(tg, group)
		p.cost.negated--
		p.out.raw(")")
		return err
	})
}

// term reads one filter. tg says which field it is for, where that was said before.
func (p *parser) term(tg target) *SyntaxError {
	t := p.peek(tg.context())
	if p.terms++; p.terms > maxTerms {
		return faultAt(t.pos, "the query has more than %d terms", maxTerms)
	}
	p.out.mark(t.pos)
	if tg.kind == targetTime && !t.is("(") {
		return p.time()
	}
	switch {
	case t.is("("):
		if tg.kind == targetTime {
			return p.time()
		}
		p.at = t.end
		return p.inside(func() *SyntaxError {
			p.out.raw("(")
			if err := p.or(tg, true); err != nil {
				return err
			}
			p.out.raw(")")
			if end := p.take(tg.context()); !end.is(")") {
				return faultAt(end.pos, "a closing ) is missing for the one at position %d", t.pos)
			}
			return nil
		})
	case t.is("{") && tg.none():
		return p.streams()
	case t.is("*"):
		return p.star(tg, t)
	case t.is("~"), t.is("=~"), t.is("!~"), t.is("="), t.is("!="), t.is(">"), t.is(">="), t.is("<"), t.is("<="):
		p.at = t.end
		return p.operator(tg, t)
	case t.kind == tokWord || t.kind == tokString:
		if next := p.after(t, inName); t.kind == tokWord && !next.spaced && (next.is("(") || next.is("[") && t.keyword("range")) {
			if f := functionOf(strings.ToLower(t.text)); f != nil {
				p.at = next.end
				return f(p, tg, call{name: strings.ToLower(t.text), pos: t.pos, open: next.text})
			}
		}
		p.at = t.end
		if tg.none() {
			if named, err := p.named(t); named || err != nil {
				return err
			}
			if t.keyword("and", "or") {
				return faultAt(t.pos, "%s needs a term on each side", strings.ToUpper(t.text))
			}
		}
		return p.value(tg, t)
	}
	if t.is("[") && !tg.none() {
		return faultAt(t.pos, "\"[\" is not expected here: a range is written as range[1, 100]")
	}
	return faultAt(t.pos, "%s is not expected here: write a word, a field:value or a \"phrase\"", t.describe())
}

// named reads "name:" or "name*:" and the filter behind it, where t is a name.
func (p *parser) named(t token) (bool, *SyntaxError) {
	colon := p.peek(inName)
	wild := false
	if colon.is("*") && !colon.spaced {
		if after := p.after(colon, inName); after.is(":") && !after.spaced {
			colon, wild = after, true
		}
	}
	if !colon.is(":") || colon.spaced {
		return false, nil
	}
	p.at = colon.end
	var tg target
	var err *SyntaxError
	if wild {
		tg = target{kind: targetPrefix, name: t.text}
	} else if tg, err = p.names.resolve(t.text, t.pos); err != nil {
		return true, err
	}
	tg.said = t.text
	if v := p.peek(inValue); v.ends() || v.spaced && v.kind != tokEnd && !v.is("(") {
		return true, faultAt(v.pos, "a value is missing behind %s:", t.text)
	}
	if tg.kind == targetStream {
		if !p.peek(inName).is("{") {
			return true, faultAt(p.at, "write {host=\"…\"}, or better host:=…")
		}
		return true, p.streams()
	}
	p.terms-- // the name and what follows are one
	return true, p.not(tg, false)
}

// star reads what begins with *: any value, *part*, or a pattern.
func (p *parser) star(tg target, t token) *SyntaxError {
	p.at = t.end
	next := p.peek(inName)
	if tg.none() && next.is(":") && !next.spaced {
		p.at = next.end
		return p.not(target{kind: targetAny}, false)
	}
	if next = p.peek(inValue); next.spaced || next.ends() || next.is(",") {
		if tg.none() {
			p.out.raw(matchAll)
			return nil
		}
		return p.emitExists(tg)
	}
	p.at = t.pos
	return p.value(tg, token{kind: tokWord, pos: t.pos, end: t.pos})
}

// value reads a word or phrase, and the stars in it.
func (p *parser) value(tg target, t token) *SyntaxError {
	parts := []string{t.text}
	for {
		star := p.peek(inValue)
		if !star.is("*") || star.spaced && p.at != t.pos {
			break
		}
		p.at = star.end
		parts = append(parts, "")
		next := p.peek(tg.context())
		if next.spaced || next.kind != tokWord && next.kind != tokString {
			continue
		}
		if next.kind == tokWord && tg.none() {
			next, _ = p.scan(p.at, inName)
		}
		p.at = next.end
		parts[len(parts)-1] = next.text
	}
	if t := p.peek(inValue); !t.spaced && !t.ends() && !t.is(",") && !t.is("]") {
		return p.misplaced(tg, parts, t)
	}
	switch {
	case len(parts) == 1:
		return p.emitWord(tg, parts[0], t.pos)
	case len(parts) == 2 && parts[1] == "" && parts[0] != "":
		return p.emitPrefix(tg, parts[0], t.pos)
	case strings.Trim(strings.Join(parts, ""), "*") == "":
		return p.emitExists(tg)
	case len(parts) == 3 && parts[0] == "" && parts[2] == "":
		return p.emitSubstring(tg, parts[1], t.pos)
	}
	return p.emitGlob(tg, parts, t.pos)
}

// operator reads what stands behind a comparison.
func (p *parser) operator(tg target, op token) *SyntaxError {
	t := p.peek(inValue)
	if t.kind != tokWord && t.kind != tokString || t.spaced && tg.none() {
		return faultAt(t.pos, "a value is missing behind %s", op.text)
	}
	p.at = t.end
	star := p.peek(inValue)
	prefix := star.is("*") && !star.spaced
	if prefix {
		p.at = star.end
	}
	negative := strings.HasPrefix(op.text, "!")
	if negative {
		p.out.raw("!(")
		p.cost.negated++
	}
	err := p.compare(tg, op, t, prefix)
	if negative {
		p.cost.negated--
		p.out.raw(")")
	}
	return err
}

func (p *parser) compare(tg target, op, t token, prefix bool) *SyntaxError {
	switch op.text {
	case "~", "=~", "!~":
		if prefix {
			return faultAt(t.end, "put the regular expression in quotes")
		}
		return p.emitRegexp(tg, t.text, t.pos)
	case "=", "!=":
		if prefix {
			return p.emitExactPrefix(tg, t.text, t.pos)
		}
		return p.emitExact(tg, t.text, t.pos)
	}
	if prefix {
		return faultAt(t.end, "\"*\" is not expected here")
	}
	if tg.none() || tg.kind == targetAny || tg.kind == targetPrefix {
		return faultAt(op.pos, "%s needs a field in front of it", op.text)
	}
	return p.emitOrdered(tg, op.text, t.text, op.pos, t.pos)
}
