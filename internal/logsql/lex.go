package logsql

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	tokEnd    kind = iota
	tokWord        // without quotes: what stands between delimiters
	tokString      // in quotes
	tokSign        // one delimiter, or = != =~ !~ > >= < <= ~
)

// token is a part of the text.
type token struct {
	kind kind
	// text is without quotes and escapes.
	text string
	// pos and end are where it stands, in bytes.
	pos, end int
	// spaced says that there is space in front of it.
	spaced bool
}

func (t token) is(sign string) bool { return t.kind == tokSign && t.text == sign }

// keyword reports whether the token is one of the words, unquoted, whatever its case.
func (t token) keyword(words ...string) bool {
	if t.kind != tokWord {
		return false
	}
	for _, w := range words {
		if strings.EqualFold(t.text, w) {
			return true
		}
	}
	return false
}

// ends reports whether a filter or a pipe ends before the token.
func (t token) ends() bool { return t.kind == tokEnd || t.is("|") || t.is(")") || t.is(";") }

func (t token) describe() string {
	switch t.kind {
	case tokEnd:
		return "the end of the query"
	case tokString:
		return "a text in quotes"
	case tokWord, tokSign:
	}
	return "\"" + t.text + "\""
}

// context says what a word may hold at a place.
type context uint8

const (
	// inName: a word ends at a colon, for it may name a field.
	inName context = iota
	// inValue: colons belong to the word: addresses and times have them.
	inValue
	// inMath: + - / * and % stand for themselves.
	inMath
)

// lexer cuts the text into tokens, one at a time, for what a word is depends on where
// it stands. Any text has tokens: a quote that is not closed is reported by scan.
type lexer struct {
	text string
}

const delimiters = "()[]{}|,;=<>*\"'`!"

// scan returns the token that begins at or behind pos.
func (l lexer) scan(pos int, in context) (token, *SyntaxError) {
	start := pos
	pos = l.skip(pos)
	t := token{pos: pos, end: pos, spaced: pos > start || pos == 0}
	if pos == len(l.text) {
		return t, nil
	}
	switch c := l.text[pos]; c {
	case '"', '\'', '`':
		return l.quoted(t, c)
	case '=', '!', '<', '>':
		t.kind, t.end = tokSign, pos+1
		if rest := l.text[pos+1:]; c == '=' && strings.HasPrefix(rest, "~") ||
			c == '!' && (strings.HasPrefix(rest, "~") || strings.HasPrefix(rest, "=")) ||
			(c == '<' || c == '>') && strings.HasPrefix(rest, "=") {
			t.end++
		}
	case '(', ')', '[', ']', '{', '}', '|', ',', ';', '*', ':', '~':
		t.kind, t.end = tokSign, pos+1
	case '+', '/', '%', '^', '&':
		if in == inMath {
			t.kind, t.end = tokSign, pos+1
		}
	case '-':
		if in != inValue {
			t.kind, t.end = tokSign, pos+1
		}
	}
	if t.kind == tokEnd {
		t.kind = tokWord
		for t.end < len(l.text) && !l.endsWord(t.end, in) {
			t.end++
		}
		if t.end == pos {
			t.kind, t.end = tokSign, pos+1
		}
	}
	t.text = l.text[t.pos:t.end]
	return t, nil
}

// skip passes space and comments.
func (l lexer) skip(pos int) int {
	for pos < len(l.text) {
		r, size := utf8.DecodeRuneInString(l.text[pos:])
		switch {
		case unicode.IsSpace(r):
			pos += size
		case r == '#':
			n := strings.IndexByte(l.text[pos:], '\n')
			if n < 0 {
				return len(l.text)
			}
			pos += n + 1
		default:
			return pos
		}
	}
	return pos
}

func (l lexer) endsWord(i int, in context) bool {
	c := l.text[i]
	if strings.IndexByte(delimiters, c) >= 0 || c == '#' {
		return true
	}
	switch in {
	case inName:
		if c == ':' {
			return true
		}
	case inMath:
		if strings.IndexByte(":+-/%^&", c) >= 0 {
			return true
		}
	case inValue:
	}
	r, _ := utf8.DecodeRuneInString(l.text[i:])
	return unicode.IsSpace(r)
}

// quoted reads a text in quotes. Escapes are those that people type: \n \t \r \\ and
// that of the quote; others stay as they stand, so that "C:\Windows" can be typed.
func (l lexer) quoted(t token, quote byte) (token, *SyntaxError) {
	var b strings.Builder
	for i := t.pos + 1; i < len(l.text); i++ {
		c := l.text[i]
		if c == quote {
			t.kind, t.end, t.text = tokString, i+1, b.String()
			return t, nil
		}
		if c != '\\' || quote == '`' || i+1 == len(l.text) {
			b.WriteByte(c)
			continue
		}
		i++
		switch e := l.text[i]; e {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		case quote, '\\':
			b.WriteByte(e)
		default:
			b.WriteByte('\\')
			b.WriteByte(e)
		}
	}
	return t, faultAt(t.pos, "this quote is not closed: add %c at the end", quote)
}
