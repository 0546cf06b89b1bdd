package logsql

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/logsql/row"
)

// Lists are stored as one JSON array and maps as one JSON object, without spaces. What
// is asked of an element or an entry is asked of that text: an unescaped quote stands
// nowhere but at the ends of a string.

// jsonInner is a text as it stands inside a JSON string.
func jsonInner(s string) string {
	quoted := string(row.AppendString(nil, []byte(s)))
	return quoted[1 : len(quoted)-1]
}

// entryStart is what stands in front of the value of an entry.
func entryStart(key string) string { return `"` + jsonInner(key) + `":"` }

func quoteMeta(s string) string { return regexp.QuoteMeta(s) }

const (
	// inString is one character of a JSON string.
	inString = `(?:[^"\\]|\\[^u]|\\u[0-9a-f]{4})`
	// noWord is one that belongs to no word.
	noWord = `(?:[^"\\\pL\p{Nd}_]|\\[^u]|\\u[0-9a-f]{4})`
)

// entryWord finds a word or phrase in the value of an entry, or one that begins so.
func entryWord(key, word string, whole bool) string {
	alts := caseForms(jsonInner(word))
	for i, f := range alts {
		alts[i] = quoteMeta(f)
	}
	before, after := "", ""
	runes := []rune(word)
	if isWordRune(runes[0]) {
		before = noWord
	}
	if whole && isWordRune(runes[len(runes)-1]) {
		after = `(?:"|` + noWord + `)`
	}
	expr := quoteMeta(entryStart(key))
	if before == "" {
		expr += inString + "*"
	} else {
		expr += "(?:" + inString + "*" + before + ")?"
	}
	return expr + "(?:" + strings.Join(alts, "|") + ")" + after
}

// insideString rewrites an expression for a value to one for that value inside a JSON
// string, from behind its opening quote.
func insideString(re *syntax.Regexp) string {
	if startsAnchored(re) {
		return rewriteIn(re, stringRules)
	}
	return inString + "*" + rewriteIn(re, stringRules)
}

// insideNumber does so for numbers in an array.
func insideNumber(re *syntax.Regexp) string {
	if startsAnchored(re) {
		return rewriteIn(re, numberRules)
	}
	return numberRules.any + "*" + rewriteIn(re, numberRules)
}

// startsAnchored reports whether all that the expression finds begins at the beginning.
func startsAnchored(re *syntax.Regexp) bool {
	switch re.Op { //nolint:exhaustive // nothing else is
	case syntax.OpBeginText:
		return true
	case syntax.OpConcat, syntax.OpCapture:
		return len(re.Sub) > 0 && startsAnchored(re.Sub[0])
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(s *syntax.Regexp) bool { return !startsAnchored(s) })
	}
	return false
}

// rules say how parts of an expression look in a place.
type rules struct {
	any     string // one character
	end     string // the end of the value
	begin   string // the beginning, where it is not the first thing asked for
	escapes bool
}

//nolint:gochecknoglobals // constants
var (
	stringRules = rules{any: inString, end: `"`, begin: `(?:\b\B)`, escapes: true}
	numberRules = rules{any: `[-+.0-9e]`, end: `[,\]]`, begin: `(?:\b\B)`}
)

func rewriteIn(re *syntax.Regexp, r rules) string {
	sub := func(i int) string { return rewriteIn(re.Sub[i], r) }
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return r.any
	case syntax.OpLiteral:
		return r.literal(re)
	case syntax.OpCharClass:
		return r.class(re)
	case syntax.OpBeginText, syntax.OpBeginLine:
		return "" // startsAnchored has put it in front
	case syntax.OpEndText, syntax.OpEndLine:
		return r.end
	case syntax.OpCapture:
		return "(?:" + sub(0) + ")"
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		return "(?:" + sub(0) + ")" + map[syntax.Op]string{syntax.OpStar: "*", syntax.OpPlus: "+", syntax.OpQuest: "?"}[re.Op]
	case syntax.OpRepeat:
		one := *re
		one.Sub = []*syntax.Regexp{{Op: syntax.OpLiteral, Rune: []rune{'x'}}}
		return "(?:" + sub(0) + ")" + strings.TrimPrefix(one.String(), "x")
	case syntax.OpConcat, syntax.OpAlternate:
		parts := make([]string, len(re.Sub))
		for i := range re.Sub {
			parts[i] = sub(i)
		}
		if re.Op == syntax.OpConcat {
			return strings.Join(parts, "")
		}
		return "(?:" + strings.Join(parts, "|") + ")"
	case syntax.OpNoMatch, syntax.OpEmptyMatch, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
	}
	return re.String()
}

func (r rules) literal(re *syntax.Regexp) string {
	text := string(re.Rune)
	if r.escapes {
		text = jsonInner(text)
	}
	if re.Flags&syntax.FoldCase != 0 {
		return "(?i:" + quoteMeta(text) + ")"
	}
	return quoteMeta(text)
}

// class is a class without what cannot stand there as it is, and that in its form.
func (r rules) class(re *syntax.Regexp) string {
	if !r.escapes {
		return re.String()
	}
	var ranges []rune
	var alts []string
	has := func(c rune) bool {
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i] <= c && c <= re.Rune[i+1] {
				return true
			}
		}
		return false
	}
	for _, c := range []rune{'"', '\\', '\n', '\t', '\r'} {
		if has(c) {
			alts = append(alts, quoteMeta(jsonInner(string(c))))
		}
	}
	for i := 0; i < len(re.Rune); i += 2 {
		lo, hi := max(re.Rune[i], ' '), re.Rune[i+1]
		for _, c := range []rune{'"', '\\'} {
			if lo <= c && c <= hi {
				if lo < c {
					ranges = append(ranges, lo, c-1)
				}
				lo = c + 1
			}
		}
		if lo <= hi {
			ranges = append(ranges, lo, hi)
		}
	}
	if len(ranges) > 0 {
		alts = append(alts, (&syntax.Regexp{Op: syntax.OpCharClass, Rune: ranges}).String())
	}
	if len(alts) == 0 {
		return `[^\x00-\x{10FFFF}]`
	}
	return "(?:" + strings.Join(alts, "|") + ")"
}
