package logsql

import (
	"strings"

	"github.com/amoskys/amoskys/internal/event"
)

// call is a function of the language, read up to its opening parenthesis.
type call struct {
	name string
	pos  int
	open string // ( or [
}

type function func(p *parser, tg target, c call) *SyntaxError

// functionOf returns nil for a word that is none.
func functionOf(name string) function {
	switch name {
	case "in":
		return callIn
	case "contains_any", "contains_all", "contains_common_case":
		return callContains
	case "i":
		return callAnyCase
	case "exact":
		return callExact
	case "re":
		return callRegexp
	case "ipv4_range", "ipv6_range":
		return callAddresses
	case "range":
		return callRange
	case "eq_field", "le_field", "lt_field":
		return callField
	case "seq", "string_range", "len_range", "value_type", "equals_common_case", "json_array_contains_any",
		"pattern_match", "pattern_match_full", "pattern_match_prefix", "pattern_match_suffix":
		return callPlain
	}
	return nil
}

// arg is one argument of a function.
type arg struct {
	text string
	star bool // a star follows it, or it is one
	pos  int
}

// args reads arguments up to ")" and the parenthesis; ok is false for what is no list
// of values, such as a query.
func (p *parser) args() (list []arg, ok bool) {
	for {
		t := p.take(inValue)
		switch {
		case t.is(")") && len(list) == 0:
			return nil, true
		case t.is("*"):
			list = append(list, arg{star: true, pos: t.pos})
		case t.kind == tokWord || t.kind == tokString:
			a := arg{text: t.text, pos: t.pos}
			if next := p.peek(inValue); next.is("*") && !next.spaced {
				p.at, a.star = next.end, true
			}
			list = append(list, a)
		default:
			return nil, false
		}
		switch t = p.take(inValue); {
		case t.is(")"):
			return list, true
		case t.is(",") && p.peek(inValue).is(")"): // a comma at the end
			p.take(inValue)
			return list, true
		case !t.is(","):
			return nil, false
		}
	}
}

func (p *parser) valuesOf(c call) ([]arg, *SyntaxError) {
	list, ok := p.args()
	if !ok {
		return nil, faultAt(c.pos, "%s(…) takes values with commas between them: put others than plain words in quotes", c.name)
	}
	if p.terms += len(list); p.terms > maxTerms {
		return nil, faultAt(c.pos, "the query has more than %d terms", maxTerms)
	}
	return list, nil
}

func (p *parser) oneValue(c call) (arg, *SyntaxError) {
	list, err := p.valuesOf(c)
	if err == nil && len(list) != 1 {
		err = faultAt(c.pos, "%s(…) takes one value", c.name)
	}
	if err != nil {
		return arg{}, err
	}
	return list[0], nil
}

// nested reads the query inside "name(" and writes it all.
func (p *parser) nested(tg target, c call) *SyntaxError {
	if tg.kind == targetEntry || tg.kind == targetMap || tg.kind == targetList && c.name == "in" {
		return faultAt(c.pos, "%s holds several values: %s(<query>) cannot be asked of it", tg.label(), c.name)
	}
	p.subquery = true
	outer := p.names
	p.names = scope{}
	var err *SyntaxError
	written := p.written(func() {
		err = p.inside(p.body)
	})
	p.names = outer
	if err != nil {
		return err
	}
	if err = p.expect(")", inName); err != nil {
		return err
	}
	if tg.any() {
		return faultAt(c.pos, "%s(<query>) needs a field in front of it", c.name)
	}
	p.out.raw(quote(tg.name), ":", c.name, "(")
	p.out.differing(written[0], written[1])
	p.out.raw(")")
	return nil
}

// written takes what write adds to the output out of it again.
func (p *parser) written(write func()) [2]string {
	outer := p.out
	p.out = output{}
	write()
	inner := p.out
	p.out = outer
	return [2]string{inner.engine.String(), inner.live.String()}
}

func callIn(p *parser, tg target, c call) *SyntaxError {
	at := p.at
	list, ok := p.args()
	if !ok {
		p.at = at
		if !p.looksLikeQuery() {
			return faultAt(c.pos, "in(…) takes values with commas between them")
		}
		return p.nested(tg, c)
	}
	if p.terms += len(list); p.terms > maxTerms {
		return faultAt(c.pos, "the query has more than %d terms", maxTerms)
	}
	if len(list) == 0 {
		if tg.any() {
			tg = target{kind: targetField, name: "_msg"}
		}
		p.each(tg, "in()")
		return nil
	}
	if values, err := p.plainValues(tg, list); values != nil || err != nil {
		p.cost.word(p.depth)
		if tg.kind == targetList {
			p.each(tg, elementIn(values))
		} else {
			p.each(tg, "in("+quoteAll(values)+")")
		}
		return err
	}
	p.out.raw("(")
	for i, a := range list {
		if i > 0 {
			p.out.raw(" or ")
		}
		var err *SyntaxError
		switch {
		case a.star && a.text == "":
			err = p.emitExists(tg)
		case a.star:
			err = p.emitExactPrefix(tg, a.text, a.pos)
		default:
			err = p.emitOneOf(tg, a)
		}
		if err != nil {
			return err
		}
	}
	p.out.raw(")")
	return nil
}

// plainValues are the values in their stored form; none where one must be written as a
// filter of its own.
func (p *parser) plainValues(tg target, list []arg) ([]string, *SyntaxError) {
	if tg.kind != targetField && tg.kind != targetList && tg.kind != targetComputed ||
		tg.field != nil && tg.field.Type == event.FieldTime {
		return nil, nil
	}
	var values []string
	for _, a := range list {
		if a.star || a.text == "" || networkPattern(tg, a.text) != "" {
			return nil, nil
		}
		if err := tg.checkNetwork(a.text, a.pos); err != nil {
			return nil, err
		}
		v, err := tg.canonical(a.text, a.pos)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// emitOneOf compares with one value of a list: with a network, too.
func (p *parser) emitOneOf(tg target, a arg) *SyntaxError {
	network := ""
	if tg.kind == targetField || tg.kind == targetComputed {
		network = networkPattern(tg, a.text)
	}
	if network == "" {
		return p.emitExact(tg, a.text, a.pos)
	}
	if err := p.emitExact(tg, a.text, a.pos); err != nil {
		return err
	}
	p.out.raw(" or ")
	p.each(tg, network)
	return nil
}

// looksLikeQuery reports whether a pipe stands before the parenthesis is closed.
func (p *parser) looksLikeQuery() bool {
	depth := 0
	for pos := p.at; ; {
		t, _ := p.scan(pos, inValue)
		switch {
		case t.kind == tokEnd:
			return false
		case t.is("("):
			depth++
		case t.is(")"):
			if depth--; depth < 0 {
				return false
			}
		case t.is("|"):
			return true
		}
		pos = t.end
	}
}

func callContains(p *parser, tg target, c call) *SyntaxError {
	at := p.at
	list, ok := p.args()
	if !ok && c.name != "contains_common_case" {
		if p.at = at; p.looksLikeQuery() {
			return p.nested(tg, c)
		}
	}
	if !ok || len(list) == 0 {
		return faultAt(c.pos, "%s(…) takes values with commas between them", c.name)
	}
	if p.terms += len(list); p.terms > maxTerms {
		return faultAt(c.pos, "the query has more than %d terms", maxTerms)
	}
	between := " or "
	if c.name == "contains_all" {
		between = " "
	}
	p.out.raw("(")
	for i, a := range list {
		if i > 0 {
			p.out.raw(between)
		}
		var err *SyntaxError
		switch {
		case a.star && a.text == "":
			err = p.emitExists(tg)
		case a.star:
			err = p.emitPrefix(tg, a.text, a.pos)
		default:
			err = p.emitWord(tg, a.text, a.pos)
		}
		if err != nil {
			return err
		}
	}
	p.out.raw(")")
	return nil
}

// callPlain passes a function on as it is.
func callPlain(p *parser, tg target, c call) *SyntaxError {
	list, err := p.valuesOf(c)
	if err != nil {
		return err
	}
	switch tg.kind { //nolint:exhaustive // the others have plain values
	case targetEntry, targetMap:
		return faultAt(c.pos, "%s holds several values: %s(…) cannot be asked of it", tg.label(), c.name)
	case targetList:
		if c.name != "json_array_contains_any" && c.name != "seq" && !strings.HasPrefix(c.name, "pattern_match") {
			return faultAt(c.pos, "%s holds several values: %s(…) cannot be asked of it", tg.label(), c.name)
		}
	}
	if err := checkPlain(c, list); err != nil {
		return err
	}
	texts := make([]string, len(list))
	for i, a := range list {
		if a.star {
			return faultAt(a.pos, "\"*\" is not expected here")
		}
		texts[i] = quote(a.text)
		if c.name == "len_range" {
			texts[i] = a.text
		}
	}
	p.cost.bare("%s(…) at position %d", c.name, c.pos)
	p.each(tg, c.name+"("+strings.Join(texts, ",")+")")
	return nil
}

// callAnyCase ignores case altogether.
func callAnyCase(p *parser, tg target, c call) *SyntaxError {
	a, err := p.oneValue(c)
	if err != nil {
		return err
	}
	if a.text == "" {
		return p.emitExists(tg)
	}
	p.cost.bare("i(…) at position %d", c.pos)
	star := ""
	if a.star {
		star = "*"
	}
	if tg.kind == targetEntry {
		p.each(tg, "~"+quote("(?i)"+entryWord(tg.key, a.text, !a.star)))
		return nil
	}
	if tg.kind == targetList || tg.kind == targetMap {
		a.text = jsonInner(a.text)
	}
	p.each(tg, "i("+quote(a.text)+star+")")
	return nil
}

func callExact(p *parser, tg target, c call) *SyntaxError {
	a, err := p.oneValue(c)
	if err != nil {
		return err
	}
	if a.star {
		return p.emitExactPrefix(tg, a.text, a.pos)
	}
	return p.emitExact(tg, a.text, a.pos)
}

func callRegexp(p *parser, tg target, c call) *SyntaxError {
	a, err := p.oneValue(c)
	if err != nil {
		return err
	}
	return p.emitRegexp(tg, a.text, a.pos)
}

func callAddresses(p *parser, tg target, c call) *SyntaxError {
	list, err := p.valuesOf(c)
	if err != nil {
		return err
	}
	if tg.kind == targetEntry || tg.kind == targetMap {
		return faultAt(c.pos, "%s holds several values: %s(…) cannot be asked of it", tg.label(), c.name)
	}
	if tg.kind == targetList {
		network := ""
		if len(list) == 1 {
			network = networkPattern(tg, list[0].text)
		}
		if network == "" {
			return faultAt(c.pos, "%s holds several addresses: name a network, such as 192.0.2.0/24", tg.label())
		}
		p.each(tg, network)
		return nil
	}
	if err := checkAddresses(c, list); err != nil {
		return err
	}
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = quote(a.text)
	}
	p.each(tg, c.name+"("+strings.Join(texts, ",")+")")
	return nil
}

func callRange(p *parser, tg target, c call) *SyntaxError {
	var bounds, said [2]string
	var numbers [2]float64
	pos := c.pos
	for i := range bounds {
		t := p.take(inValue)
		if said[i] = t.text; i == 0 {
			pos = t.pos
		}
		if t.kind != tokWord && t.kind != tokString {
			return faultAt(t.pos, "range takes two numbers: range[1,5] or range(1,5)")
		}
		switch {
		case tg.field == nil, tg.kind == targetField && tg.field.Type == event.FieldKeyword && !isEnum(tg.field):
			bounds[i], numbers[i] = quote(t.text), engineNumber(t.text)
		case tg.kind == targetField && !isEnum(tg.field) && tg.field.Type != event.FieldTime:
			n, err := tg.number(t.text, t.pos)
			if err != nil {
				return err
			}
			bounds[i], numbers[i] = n, engineNumber(n)
		default:
			return faultAt(c.pos, "range cannot be asked of %s: write %s:>=… %s:<=…", tg.label(), tg.label(), tg.label())
		}
		if i == 0 {
			if err := p.expect(",", inValue); err != nil {
				return err
			}
		}
	}
	end := p.take(inValue)
	if !end.is(")") && !end.is("]") {
		return faultAt(end.pos, "%s is not expected here: a range ends with ) or ]", end.describe())
	}
	open := c.open == "(" || end.is(")")
	if err := checkNumbers(pos, "range", said, numbers, open); err != nil {
		return err
	}
	p.each(tg, "range"+c.open+bounds[0]+","+bounds[1]+end.text)
	return nil
}

// callField compares with another field.
func callField(p *parser, tg target, c call) *SyntaxError {
	a, err := p.oneValue(c)
	if err != nil {
		return err
	}
	other, err := p.names.resolve(a.text, a.pos)
	if err != nil {
		return err
	}
	for _, t := range []target{tg, other} {
		if t.kind != targetField && t.kind != targetComputed {
			return faultAt(c.pos, "%s(…) compares fields that hold one value", c.name)
		}
	}
	p.each(tg, c.name+"("+quote(other.name)+")")
	return nil
}
