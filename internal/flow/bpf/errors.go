package bpf

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// SyntaxError says what is wrong with a filter, and where.
type SyntaxError struct {
	// Filter is the whole filter, as it was given.
	Filter string
	// Offset is the byte of Filter at which the fault is; len(Filter) if
	// something is missing at its end.
	Offset int
	// Message is one line that says what is wrong and what to do.
	Message string
}

// shown is how much of a filter an error shows on each side of its fault, in
// bytes.
const shown = 40

// Error shows the message, and below it the filter with a mark under the
// place. A long filter is cut around the place.
func (e *SyntaxError) Error() string {
	from, to := 0, len(e.Filter)
	before, after := "", ""
	if e.Offset > shown {
		from, before = e.Offset-shown, "…"
		for from < e.Offset && !utf8.RuneStart(e.Filter[from]) {
			from++
		}
	}
	if to-e.Offset > shown {
		to, after = e.Offset+shown, "…"
		for to > e.Offset && !utf8.RuneStart(e.Filter[to]) {
			to--
		}
	}
	left, right := plain(e.Filter[from:e.Offset]), plain(e.Filter[e.Offset:to])
	indent := strings.Repeat(" ", utf8.RuneCountInString(before+left))
	return fmt.Sprintf("filter: %s\n  %s%s%s%s\n  %s^", e.Message, before, left, right, after, indent)
}

// plain makes text fit for one line: each character that is not printed
// becomes a space or a question mark, one for one.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\t':
			return ' '
		case r < ' ', r == utf8.RuneError, 0x7f <= r && r < 0xa0, 0x200b <= r && r <= 0x200f, 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
			return '?'
		}
		return r
	}, s)
}

func firstRune(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return plain(s[:n])
}

func (l *lexer) fault(pos int, format string, args ...any) error {
	return &SyntaxError{Filter: l.filter, Offset: pos, Message: fmt.Sprintf(format, args...)}
}

// nearest returns the word of the language that is closest to s, or "" if
// none is close: at most one letter in three differs.
func nearest(s string) string {
	const longest = 32
	s = strings.ToLower(s)
	if len(s) > longest {
		return ""
	}
	best, at := "", max(1, len(s)/3)+1
	for w, m := range words {
		if m.word == wordElse {
			continue
		}
		if d := distance(s, w); d < at || d == at && best != "" && w < best {
			best, at = w, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace between a and b
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
