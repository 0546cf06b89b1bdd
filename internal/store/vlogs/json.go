package vlogs

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// errRow says that a line is no row.
var errRow = errors.New("a row is no JSON object of texts")

// parseRow appends the fields of line, {"name":"value",...}, to row. They share line's
// memory where nothing in them is escaped.
func parseRow(line string, row []Field) ([]Field, error) {
	if line == "" || line[0] != '{' {
		return row, errRow
	}
	rest := line[1:]
	if rest == "}" {
		return row, nil
	}
	for {
		name, after, ok := takeText(rest)
		if !ok || after == "" || after[0] != ':' {
			return row, errRow
		}
		value, after, ok := takeText(after[1:])
		if !ok || after == "" {
			return row, errRow
		}
		row = append(row, Field{Name: name, Value: value})
		switch {
		case after[0] == ',':
			rest = after[1:]
		case after == "}":
			return row, nil
		default:
			return row, errRow
		}
	}
}

// takeText takes a text in quotes off the front of s.
func takeText(s string) (text, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", "", false
	}
	s = s[1:]
	end := strings.IndexByte(s, '"')
	if end < 0 {
		return "", "", false
	}
	if strings.IndexByte(s[:end], '\\') < 0 {
		return s[:end], s[end+1:], true
	}
	return takeEscaped(s)
}

// takeEscaped is takeText behind the first quote, with what JSON escapes.
func takeEscaped(s string) (text, rest string, ok bool) {
	b := make([]byte, 0, len(s)/2)
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"':
			return string(b), s[i+1:], true
		case c != '\\':
			b = append(b, c)
			i++
			continue
		}
		if i+1 == len(s) {
			return "", "", false
		}
		i += 2
		switch c := s[i-1]; c {
		case '"', '\\', '/':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, ok := takeRune(s[i:])
			if !ok {
				return "", "", false
			}
			i += 4
			if utf16.IsSurrogate(r) {
				if low, ok := takeLow(s[i:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
					r, i = utf16.DecodeRune(r, low), i+6
				} else {
					r = utf8.RuneError
				}
			}
			b = utf8.AppendRune(b, r)
		default:
			return "", "", false
		}
	}
	return "", "", false
}

// takeRune reads four hexadecimal digits.
func takeRune(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 16)
	return rune(n), err == nil
}

// takeLow reads the second half of a pair.
func takeLow(s string) (rune, bool) {
	if !strings.HasPrefix(s, `\u`) {
		return 0, false
	}
	return takeRune(s[2:])
}
