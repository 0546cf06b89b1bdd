package bpf

import (
	"net/netip"
	"strconv"
	"strings"
)

// tokenKind says what a word of a filter is.
type tokenKind uint8

const (
	tokEnd    tokenKind = iota
	tokSign             // an operator or a bracket; text is it, in one spelling
	tokWord             // a word of the language; word says which
	tokName             // any other word: a name of a port, protocol or host
	tokNumber           // num is its value
	tokIPv4             // two to four numbers with dots
	tokIPv6
	tokMAC
	tokARCnet // $ and a byte
)

// token is one word of a filter, with the place where it begins.
type token struct {
	kind tokenKind
	text string
	pos  int
	num  uint32
	word word
	addr netip.Addr
	mac  [6]byte
}

// lexer cuts a filter into tokens.
type lexer struct {
	filter string
	at     int
}

// signs are the operators, longer ones first, with the spelling that the
// parser knows.
func matchSign(s string) (length int, text string) {
	if len(s) >= 2 {
		switch s[:2] {
		case ">=", "<=", "!=", "<<", ">>":
			return 2, s[:2]
		case "==":
			return 2, "="
		case "&&":
			return 2, "and"
		case "||":
			return 2, "or"
		}
	}
	if strings.IndexByte("+-*/%^&|<>=!()[]:", s[0]) >= 0 {
		return 1, s[:1]
	}
	return 0, ""
}

// next returns the token at the lexer's place and moves behind it. As the
// longest match wins, 80-90 is one name, and 1.2.3.4.5 too.
func (l *lexer) next() (token, error) {
	for l.at < len(l.filter) && strings.IndexByte(" \r\n\t", l.filter[l.at]) >= 0 {
		l.at++
	}
	rest := l.filter[l.at:]
	t := token{kind: tokEnd, pos: l.at}
	if rest == "" {
		return t, nil
	}
	if rest[0] == '\\' {
		return l.escaped(rest)
	}
	best := 0
	take := func(kind tokenKind, n int) {
		if n > best {
			best, t.kind, t.text = n, kind, rest[:n]
		}
	}
	// The order decides between matches of one length.
	take(tokMAC, matchMAC(rest))
	take(tokNumber, matchNumber(rest))
	take(tokIPv4, matchIPv4(rest))
	take(tokIPv6, matchIPv6(rest))
	take(tokARCnet, matchARCnet(rest))
	brokenMAC := matchBrokenMAC(rest)
	name := matchName(rest)
	if name > best {
		take(tokName, name)
		if w, ok := words[t.text]; ok {
			t.kind, t.word, t.num = tokWord, w.word, w.num
			if w.word == wordConst {
				t.kind = tokNumber
			}
		}
	}
	if brokenMAC > best {
		return t, l.fault(t.pos, "%s is no Ethernet address", rest[:brokenMAC])
	}
	if best == 0 {
		length, text := matchSign(rest)
		if length == 0 {
			return t, l.fault(t.pos, "the character %q has no meaning here", firstRune(rest))
		}
		best, t.kind, t.text = length, tokSign, text
		if text == "and" || text == "or" {
			t.kind, t.word = tokWord, words[text].word
		}
	}
	l.at += best
	return t, l.value(&t)
}

// escaped reads a name after a backslash, which is a name even where the
// language has such a word.
func (l *lexer) escaped(rest string) (token, error) {
	end := strings.IndexAny(rest[1:], " !()\n\t")
	if end < 0 {
		end = len(rest) - 1
	}
	t := token{kind: tokName, text: rest[1 : 1+end], pos: l.at}
	if end == 0 {
		return t, l.fault(l.at, "a name has to follow \\")
	}
	l.at += 1 + end
	return t, nil
}

// value computes what a number or address stands for.
func (l *lexer) value(t *token) error {
	switch t.kind {
	case tokNumber:
		if _, ok := words[t.text]; ok {
			return nil
		}
		n, err := parseNumber(t.text)
		if err != "" {
			return l.fault(t.pos, "%s %s", t.text, err)
		}
		t.num = n
	case tokMAC:
		t.mac = parseMAC(t.text)
	case tokIPv6:
		a, err := netip.ParseAddr(t.text)
		if err != nil {
			return l.fault(t.pos, "%s is no IPv6 address", t.text)
		}
		t.addr = netip.AddrFrom16(a.As16())
	default:
	}
	return nil
}

// parseNumber reads decimal, 0x and octal numbers of 32 bits; err says what is
// wrong.
func parseNumber(s string) (n uint32, err string) {
	base, digits := 10, s
	switch {
	case len(s) > 2 && (s[1] == 'x' || s[1] == 'X'):
		base, digits = 16, s[2:]
	case len(s) > 1 && s[0] == '0':
		base = 8
	}
	if base == 8 && strings.ContainsAny(digits, "89") {
		return 0, "begins with 0, which makes it octal, and has a digit above 7"
	}
	v, e := strconv.ParseUint(digits, base, 32)
	if e != nil {
		return 0, "is more than 4294967295"
	}
	return uint32(v), ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func isAlnum(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// span counts the leading bytes of s for which is holds, up to limit.
func span(s string, limit int, is func(byte) bool) int {
	n := 0
	for n < len(s) && n < limit && is(s[n]) {
		n++
	}
	return n
}

func matchNumber(s string) int {
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		if n := span(s[2:], len(s), isHex); n > 0 {
			return 2 + n
		}
	}
	return span(s, len(s), isDigit)
}

// matchIPv4 matches two to four numbers with dots between them.
func matchIPv4(s string) int {
	n := matchNumber(s)
	parts := 1
	for n > 0 && parts < 4 && n < len(s) && s[n] == '.' {
		more := matchNumber(s[n+1:])
		if more == 0 {
			break
		}
		n += 1 + more
		parts++
	}
	if parts < 2 {
		return 0
	}
	return n
}

func matchARCnet(s string) int {
	if s[0] != '$' {
		return 0
	}
	if n := span(s[1:], 2, isHex); n > 0 {
		return 1 + n
	}
	return 0
}

// matchName matches letters and digits, with . - _ between them, and dots at
// the end.
func matchName(s string) int {
	if !isAlnum(s[0]) {
		return 0
	}
	n := span(s, len(s), func(c byte) bool { return isAlnum(c) || c == '-' || c == '_' || c == '.' })
	for n > 1 && (s[n-1] == '-' || s[n-1] == '_') {
		n--
	}
	return n
}

// groups matches count groups of hexadecimal digits, each of least to most of
// them, with separator between.
func groups(s string, count, least, most int, separator byte) int {
	at := 0
	for i := range count {
		if i > 0 {
			if at >= len(s) || s[at] != separator {
				return 0
			}
			at++
		}
		n := span(s[at:], most, isHex)
		if n < least {
			return 0
		}
		at += n
	}
	return at
}

func matchMAC(s string) int {
	best := 0
	for _, separator := range []byte(":-.") {
		best = max(best, groups(s, 6, 1, 2, separator))
	}
	best = max(best, groups(s, 3, 4, 4, '.'))
	if span(s, 12, isHex) == 12 {
		best = max(best, 12)
	}
	return best
}

// parseMAC reads what matchMAC matched.
func parseMAC(s string) (mac [6]byte) {
	digit := func(i int) byte {
		v, _ := strconv.ParseUint(s[i:i+1], 16, 8)
		return byte(v)
	}
	if !strings.ContainsAny(s, ":-.") {
		for i := range mac {
			mac[i] = digit(2*i)<<4 | digit(2*i+1)
		}
		return mac
	}
	parts := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(":-.", r) })
	for i, part := range parts {
		v, _ := strconv.ParseUint(part, 16, 16)
		if len(parts) == 3 {
			mac[2*i], mac[2*i+1] = byte(v>>8), byte(v)
		} else {
			mac[i] = byte(v)
		}
	}
	return mac
}

// matchBrokenMAC matches what looks like an Ethernet address with too few or
// too many bytes: two or more groups that each end in colons.
func matchBrokenMAC(s string) int {
	n, parts := 0, 0
	for n < len(s) {
		digits := span(s[n:], 2, isHex)
		if digits == 0 {
			break
		}
		colons := span(s[n+digits:], len(s), func(c byte) bool { return c == ':' })
		if colons == 0 {
			break
		}
		n += digits + colons
		parts++
	}
	if parts < 2 {
		return 0
	}
	return n
}

// longestIPv6 bounds the text of an IPv6 address, with one of IPv4 at its end.
const longestIPv6 = 46

// matchIPv6 matches the longest beginning of s that is an IPv6 address.
func matchIPv6(s string) int {
	n := span(s, longestIPv6, func(c byte) bool { return isHex(c) || c == ':' || c == '.' })
	if strings.Count(s[:n], ":") < 2 {
		return 0
	}
	for ; n >= 2; n-- {
		if a, err := netip.ParseAddr(s[:n]); err == nil && a.Is6() {
			return n
		}
	}
	return 0
}
