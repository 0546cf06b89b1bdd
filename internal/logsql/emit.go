package logsql

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity/hostname"
)

// caseForms are the forms in which a word or phrase is looked for: as it was typed, in
// lower case, in capitals, and with capitals at the beginnings. Each is looked up in
// the engine's index; a search that ignores case altogether, i(…), reads every value.
func caseForms(s string) []string {
	forms := []string{s}
	for _, f := range []string{strings.ToLower(s), strings.ToUpper(s), capital(strings.ToLower(s), false), capital(strings.ToLower(s), true)} {
		if !slices.Contains(forms, f) {
			forms = append(forms, f)
		}
	}
	return forms
}

// capital sets the first letter, or that of every word, in capitals.
func capital(s string, every bool) string {
	var b strings.Builder
	first := true
	for _, r := range s {
		if isWordRune(r) {
			if first {
				r = unicode.ToUpper(r)
			}
			first = false
		} else if every {
			first = true
		}
		b.WriteRune(r)
	}
	return b.String()
}

func isWordRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// forms are caseForms as they stand in the target's values.
func (t target) forms(s string) []string {
	switch {
	case t.kind == targetField && isLower(t.field):
		return []string{strings.ToLower(s)}
	case t.kind == targetList, t.kind == targetMap:
		s = jsonInner(s)
		return caseForms(s)
	case t.any():
		forms := caseForms(s)
		if inner := jsonInner(s); inner != s {
			forms = append(forms, caseForms(inner)...)
		}
		return forms
	}
	return caseForms(s)
}

// isName reports whether the field's values are names of hosts or agents, which events
// are given in one form (event.Attribute).
func isName(f *event.Field) bool {
	return f != nil && slices.Contains([]string{"host", "observer", "agent"}, f.Name)
}

// isLower reports whether the field's values have no capitals.
func isLower(f *event.Field) bool {
	return isName(f) || f != nil && slices.Contains([]string{"type", "id"}, f.Name)
}

// isEnum reports whether the field's values are known.
func isEnum(f *event.Field) bool { return f != nil && len(f.Values) > 0 }

// wantsWhole reports whether words make no sense in the target's values, so that a
// value is compared as a whole.
func (t target) wantsWhole() bool {
	return t.field != nil && (isEnum(t.field) || t.field.Type == event.FieldNumber || t.field.Type == event.FieldDuration)
}

// emitWord looks for a word or phrase.
func (p *parser) emitWord(tg target, s string, pos int) *SyntaxError {
	p.noteType(tg, s, typeWord)
	if s == "" {
		return p.emitEmpty(tg)
	}
	if tg.wantsWhole() {
		return p.emitExact(tg, s, pos)
	}
	if tg.field != nil && tg.field.Type == event.FieldTime {
		return p.emitMoment(tg, s, pos)
	}
	if err := tg.checkNetwork(s, pos); err != nil {
		return err
	}
	p.cost.word(p.depth)
	network := ""
	if !tg.any() && tg.kind != targetMap && tg.kind != targetEntry {
		network = networkPattern(tg, s)
	}
	if network != "" {
		p.out.raw("(")
	}
	switch forms := tg.forms(s); {
	case tg.kind == targetEntry:
		p.each(tg, "~"+quote(entryWord(tg.key, s, true)))
	case len(forms) == 1 && strings.Trim(s, "0123456789") != "":
		p.each(tg, quote(forms[0]))
	case len(forms) == 1:
		// By a phrase of digits the engine finds none of a column of whole numbers but the
		// number itself, and so not the 5 in -5, which is a word there as in any other.
		p.each(tg, "contains_any("+quote(forms[0])+")")
	default:
		p.each(tg, "contains_any("+quoteAll(forms)+")")
	}
	if network != "" {
		p.out.raw(" or ")
		p.each(tg, network)
		p.out.raw(")")
	}
	return nil
}

func quoteAll(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return strings.Join(quoted, ",")
}

// emitEmpty is for events that lack the field.
func (p *parser) emitEmpty(tg target) *SyntaxError {
	switch {
	case tg.any():
		p.out.raw(matchAll)
	case tg.kind == targetEntry:
		p.out.raw("!")
		return p.emitExists(tg)
	default:
		p.each(tg, `""`)
	}
	return nil
}

// emitExists is for events that have the field.
func (p *parser) emitExists(tg target) *SyntaxError {
	switch {
	case tg.any():
		p.out.raw(matchAll)
	case tg.kind == targetTime:
		p.out.raw(matchAll)
	case tg.kind == targetEntry:
		p.each(tg, "*"+quote(entryStart(tg.key))+"*")
	default:
		p.each(tg, "*")
	}
	return nil
}

// emitPrefix looks for words that begin so.
func (p *parser) emitPrefix(tg target, s string, pos int) *SyntaxError {
	p.noteType(tg, s, typeWord)
	if tg.wantsWhole() {
		return p.emitGlob(tg, []string{s, ""}, pos)
	}
	if tg.any() && !hasWholeWord(" "+s) {
		p.cost.bare("%s* at position %d", s, pos)
	} else {
		p.cost.word(p.depth)
	}
	if tg.kind == targetEntry {
		p.each(tg, "~"+quote(entryWord(tg.key, s, false)))
		return nil
	}
	if isPartOfNumber(s) {
		p.each(tg, "~"+quote(`(?:^|[^\pL\p{Nd}_])`+s))
		return nil
	}
	p.alternatives(tg.forms(s), func(form string) { p.each(tg, quote(form)+"*") })
	return nil
}

// isPartOfNumber reports whether s are digits that begin with 0: the engine does not
// find them inside numbers but by a regular expression.
func isPartOfNumber(s string) bool {
	return s != "" && s[0] == '0' && strings.Trim(s, "0123456789") == ""
}

// emitSubstring looks for a text anywhere.
func (p *parser) emitSubstring(tg target, s string, pos int) *SyntaxError {
	if tg.kind == targetEntry || tg.wantsWhole() {
		return p.emitGlob(tg, []string{"", s, ""}, pos)
	}
	p.cost.bare("the pattern at position %d", pos)
	if isPartOfNumber(s) {
		p.each(tg, "~"+quote(s))
		return nil
	}
	p.alternatives(tg.forms(s), func(form string) { p.each(tg, "*"+quote(form)+"*") })
	return nil
}

// alternatives joins filters by or.
func (p *parser) alternatives(list []string, write func(string)) {
	if len(list) > 1 {
		p.out.raw("(")
	}
	for i, s := range list {
		if i > 0 {
			p.out.raw(" or ")
		}
		write(s)
	}
	if len(list) > 1 {
		p.out.raw(")")
	}
}

// emitGlob holds whole values against a pattern whose stars stand between parts, and
// ignores case. Without a field, the pattern may stand anywhere.
func (p *parser) emitGlob(tg target, parts []string, pos int) *SyntaxError {
	quoted := make([]string, len(parts))
	for i, s := range parts {
		quoted[i] = regexp.QuoteMeta(s)
	}
	expr := strings.Join(quoted, ".*")
	if !tg.any() {
		expr = "^" + expr + "$"
	}
	return p.emitRegexp(tg, "(?is)"+expr, pos)
}

// emitExact compares whole values; in a list, that of any element.
func (p *parser) emitExact(tg target, s string, pos int) *SyntaxError {
	p.noteType(tg, s, typeWhole)
	if s == "" && !tg.any() {
		return p.emitEmpty(tg)
	}
	if tg.field != nil && tg.field.Type == event.FieldTime {
		return p.emitMoment(tg, s, pos)
	}
	if err := tg.checkNetwork(s, pos); err != nil {
		return err
	}
	s, err := tg.canonical(s, pos)
	if err != nil {
		return err
	}
	p.cost.word(p.depth)
	switch {
	case tg.kind == targetEntry:
		p.each(tg, "*"+quote(entryStart(tg.key)+jsonInner(s)+`"`)+"*")
	case tg.kind == targetMap:
		p.each(tg, "*"+quote(`:"`+jsonInner(s)+`"`)+"*")
	case tg.kind == targetList:
		if network := networkPattern(tg, s); network != "" {
			p.out.raw("(")
			p.each(tg, network)
			p.out.raw(" or ")
			defer p.out.raw(")")
		}
		p.each(tg, elementIn([]string{s}))
	case tg.any() && !p.names.shaped:
		p.out.raw("(")
		p.each(tg, "="+quote(s))
		p.out.raw(" or ")
		p.each(tg, elementIn([]string{s}))
		p.out.raw(")")
	default:
		p.each(tg, "="+quote(s))
	}
	return nil
}

// elementIn is the filter for a list that holds one of the values. What JSON escapes by
// letters is not found by the words of the engine's index.
func elementIn(values []string) string {
	for _, v := range values {
		if strings.ContainsFunc(v, unicode.IsControl) {
			quoted := make([]string, len(values))
			for i, v := range values {
				quoted[i] = regexp.QuoteMeta(jsonInner(v))
			}
			return "~" + quote(`[\[,]"?(?:`+strings.Join(quoted, "|")+`)"?[,\]]`)
		}
	}
	return "json_array_contains_any(" + quoteAll(values) + ")"
}

func (p *parser) emitExactPrefix(tg target, s string, pos int) *SyntaxError {
	p.noteType(tg, s, typeBegins)
	p.cost.word(p.depth)
	if isLower(tg.field) {
		s = strings.ToLower(s)
	}
	switch tg.kind {
	case targetEntry:
		p.each(tg, "*"+quote(entryStart(tg.key)+jsonInner(s))+"*")
	case targetList, targetMap:
		return p.emitRegexp(tg, "^"+regexp.QuoteMeta(s), pos)
	default:
		p.each(tg, "="+quote(s)+"*")
	}
	return nil
}

// canonical brings a value into the form in which it is stored.
func (t target) canonical(s string, pos int) (string, *SyntaxError) {
	f := t.field
	switch {
	case f == nil || t.kind == targetEntry || t.kind == targetMap:
		return s, nil
	case isEnum(f):
		lower := strings.ToLower(s)
		if !slices.Contains(f.Values, lower) && strings.Trim(s, "-0123456789") != "" {
			return "", faultAt(pos, "%s is one of %s", t.label(), oneOf(f.Values))
		}
		return lower, nil
	case f.Type == event.FieldNumber, f.Type == event.FieldDuration:
		n, err := t.number(s, pos)
		return n, err
	case isName(f):
		return hostname.Normal(s), nil
	case isLower(f):
		return strings.ToLower(s), nil
	}
	return s, nil
}

// maxProgram bounds what a query's regular expressions compile to together, in states:
// a repetition of a few bytes makes a thousand of them.
const maxProgram = 10_000

// emitRegexp holds values, or each element of a list, against an expression.
func (p *parser) emitRegexp(tg target, expr string, pos int) *SyntaxError {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return faultAt(pos, "this is not a regular expression (RE2): %v", err)
	}
	if p.cost.program += states(tree); p.cost.program > maxProgram {
		return faultAt(pos, "this regular expression is too large: repeat less")
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return faultAt(pos, "this is not a regular expression (RE2): %v", err)
	}
	p.cost.regexp(expr, pos)
	switch tg.kind {
	case targetEntry:
		p.each(tg, "~"+quote(quoteMeta(entryStart(tg.key))+insideString(tree)))
	case targetMap:
		p.each(tg, "~"+quote(`:"`+insideString(tree)))
	case targetList:
		if tg.field.Type == event.FieldNumber {
			p.each(tg, "~"+quote(`[\[,]`+insideNumber(tree)))
			break
		}
		p.each(tg, "~"+quote(`[\[,]"`+insideString(tree)))
	default:
		// An expression that finds nothing at all fits the value of a field that is not
		// there.
		if re.MatchString("") && !tg.any() && tg.kind != targetPrefix {
			p.out.raw("(")
			p.each(tg, "*")
			p.out.raw(" ")
			defer p.out.raw(")")
		}
		p.each(tg, "~"+quote(expr))
	}
	return nil
}

// states is about how many states an expression compiles to. A class is one, however
// large, and takes memory for its ranges.
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
