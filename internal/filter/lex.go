package filter

import (
	"fmt"
	"strings"
)

// SyntaxError is a fault in a query.
type SyntaxError struct {
	// Position counts bytes from the start of the query.
	Position int
	Message  string
}

func (e *SyntaxError) Error() string { return e.Message }

func faultAt(pos int, format string, args ...any) error {
	return &SyntaxError{Position: pos, Message: fmt.Sprintf(format, args...)}
}

type tokenKind uint8

const (
	tokEnd    tokenKind = iota
	tokWord             // bare text; may hold '*'
	tokString           // quoted text
	tokColon
	tokOpen
	tokClose
	tokComma
	tokOp  // = > >= < <= ~ directly behind a colon
	tokNot // - or ! before a term
)

type token struct {
	kind tokenKind
	text string
	pos  int
	// spaced is set when white space comes before the token.
	spaced bool
}

// lex splits a query. Operators are read only where a value may begin, so that
// "a-b" and "10.0.0.1" are words.
func lex(q string) ([]token, error) {
	var out []token
	spaced := true
	for i := 0; i < len(q); {
		c := q[i]
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			spaced = true
			i++
			continue
		}
		t := token{pos: i, spaced: spaced}
		afterColon := len(out) > 0 && out[len(out)-1].kind == tokColon
		n, err := lexOne(q, i, &t, spaced, afterColon)
		if err != nil {
			return nil, err
		}
		i += n
		out = append(out, t)
		spaced = false
	}
	return append(out, token{kind: tokEnd, pos: len(q), spaced: true}), nil
}

func lexOne(q string, i int, t *token, spaced, afterColon bool) (int, error) {
	c := q[i]
	switch c {
	case ':':
		t.kind = tokColon
		return 1, nil
	case '(':
		t.kind = tokOpen
		return 1, nil
	case ')':
		t.kind = tokClose
		return 1, nil
	case ',':
		t.kind = tokComma
		return 1, nil
	case '"', '\'', '`':
		return lexString(q, i, t)
	}
	if afterColon && strings.IndexByte("=<>~", c) >= 0 {
		t.kind, t.text = tokOp, string(c)
		if i+1 < len(q) && q[i+1] == '=' && c != '=' && c != '~' {
			t.text += "="
		}
		return len(t.text), nil
	}
	if (c == '-' || c == '!') && spaced || c == '!' {
		t.kind = tokNot
		return 1, nil
	}
	end := i
	for end < len(q) && !isDelimiter(q[end]) {
		end++
	}
	t.kind, t.text = tokWord, q[i:end]
	return end - i, nil
}

func isDelimiter(c byte) bool {
	return strings.IndexByte(" \t\r\n:(),\"'`", c) >= 0
}

func lexString(q string, start int, t *token) (int, error) {
	quote := q[start]
	var b strings.Builder
	for i := start + 1; i < len(q); i++ {
		switch c := q[i]; {
		case c == quote:
			t.kind, t.text = tokString, b.String()
			return i + 1 - start, nil
		case c == '\\' && quote != '`' && i+1 < len(q):
			i++
			switch q[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case quote, '\\':
				b.WriteByte(q[i])
			default: // keep unknown escapes, so that "C:\Windows" can be typed
				b.WriteByte('\\')
				b.WriteByte(q[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return 0, faultAt(start, "this quote is not closed: add %c at the end", quote)
}
