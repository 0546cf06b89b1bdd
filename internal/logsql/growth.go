package logsql

import (
	"regexp/syntax"
	"strings"
)

// mostGrowth is how many times longer the pipes of a query may make a text: a chain of
// formats and replacements doubles it with each, and the engine does not count that as
// memory of the query, which has a block of up to 2 MiB of each processor at a time.
const mostGrowth = 64

// growth is how many times longer a pipe may make a text, by its patterns.
func growth(pipe string, texts []string) int {
	switch pipe {
	case "format":
		if len(texts) > 0 {
			return namedMost(texts[0])
		}
	case "pack_json", "pack_logfmt":
		return 4 // all fields once more, in which a quote is written as two characters
	case "replace", "replace_regexp":
		if len(texts) < 2 {
			return 1
		}
		least := len(texts[0])
		if pipe == "replace_regexp" {
			least = 0
			if re, err := syntax.Parse(texts[0], syntax.Perl); err == nil {
				least = leastMatch(re)
			}
		}
		each := len(texts[1]) + max(least, 1) - 1
		each /= max(least, 1)
		if pipe == "replace_regexp" {
			each += strings.Count(texts[1], "$") // what was found stands in its place
		}
		if least == 0 {
			each++ // stands between what is there
		}
		return max(1, each)
	}
	return 1
}

// namedMost is how often a format has one and the same field, and two at least: different
// fields together are no longer than the row, which is there already.
func namedMost(format string) int {
	most, counts := 2, map[string]int{}
	for rest := format; ; {
		_, behind, ok := strings.Cut(rest, "<")
		name, after, closed := strings.Cut(behind, ">")
		if !ok || !closed {
			return most
		}
		if i := strings.LastIndexByte(name, ':'); i >= 0 {
			name = name[i+1:]
		}
		counts[name]++
		most, rest = max(most, counts[name]), after
	}
}

// leastMatch is how many characters an expression finds at least.
func leastMatch(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return leastMatch(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min * leastMatch(re.Sub[0])
	case syntax.OpConcat:
		n := 0
		for _, sub := range re.Sub {
			n += leastMatch(sub)
		}
		return n
	case syntax.OpAlternate:
		n := leastMatch(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			n = min(n, leastMatch(sub))
		}
		return n
	default:
		return 0
	}
}
