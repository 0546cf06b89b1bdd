package dissect

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on texts in Facts, bytes.
const (
	maxName = 255
	maxText = 512
)

// text makes bytes of a packet into text for Facts: valid UTF-8 of at most limit
// bytes, without control and format characters or space at its ends.
func text(b []byte, limit int) string {
	if plain(b[:min(len(b), limit)]) {
		return strings.TrimSpace(string(b[:min(len(b), limit)]))
	}
	return cleanText(string(b[:min(len(b), 4*limit)]), limit)
}

// plain says whether all of b are printable ASCII characters.
func plain(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c >= 0x7f {
			return false
		}
	}
	return true
}

func cleanText(s string, limit int) string {
	var out strings.Builder
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			if r == 0 {
				continue
			}
			r = '?'
			if out.Len() == 0 {
				continue
			}
		}
		if out.Len()+utf8.RuneLen(r) > limit {
			break
		}
		out.WriteRune(r)
	}
	return strings.TrimSpace(strings.TrimRight(out.String(), "?"))
}

// hostName is text of a name of a host: lower case, without a dot at its end.
func hostName(b []byte) string {
	return strings.TrimSuffix(strings.ToLower(text(b, maxName)), ".")
}

// printable says whether all of b are printable ASCII characters, or line ends.
func printable(b []byte) bool {
	for _, c := range b {
		if (c < 0x20 || c > 0x7e) && c != '\r' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// starts compares the beginning of b with a word: yes when it is there, more while
// b is shorter and agrees, else no.
func starts(b []byte, word string) answer {
	n := min(len(b), len(word))
	if string(b[:n]) != word[:n] {
		return no
	}
	if n < len(word) {
		return more
	}
	return yes
}

// startsFold is starts, with word in upper case and b in either.
func startsFold(b []byte, word string) answer {
	n := min(len(b), len(word))
	for i := range n {
		c := b[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != word[i] {
			return no
		}
	}
	if n < len(word) {
		return more
	}
	return yes
}

// anyOf is the best answer that starts gives for the words.
func anyOf(b []byte, words ...string) answer {
	best := no
	for _, w := range words {
		switch starts(b, w) {
		case yes:
			return yes
		case more:
			best = more
		default:
		}
	}
	return best
}

// anyFold is the best answer that startsFold gives for the words.
func anyFold(b []byte, words ...string) answer {
	best := no
	for _, w := range words {
		switch startsFold(b, w) {
		case yes:
			return yes
		case more:
			best = more
		default:
		}
	}
	return best
}

// line returns the first line of b without its end, and whether the end is there.
func line(b []byte) ([]byte, bool) {
	for i, c := range b {
		if c == '\n' {
			if i > 0 && b[i-1] == '\r' {
				return b[:i-1], true
			}
			return b[:i], true
		}
	}
	if n := len(b); n > 0 && b[n-1] == '\r' { // Its other half is still to come.
		return b[:n-1], false
	}
	return b, false
}

// lines calls f with each whole line of b until it returns false, and returns how
// many bytes they had.
func lines(b []byte, f func(l []byte) bool) int {
	n := 0
	for {
		l, whole := line(b[n:])
		if !whole {
			return n
		}
		n += len(l) + 1
		if b[n-1] != '\n' { // It ended in \r\n.
			n++
		}
		if !f(l) {
			return n
		}
	}
}

// word returns the first word of a line and what follows it.
func word(l []byte) (head, tail []byte) {
	for i, c := range l {
		if c == ' ' || c == '\t' {
			for i < len(l) && (l[i] == ' ' || l[i] == '\t') {
				i++
			}
			return l[:min(len(l), indexSpace(l))], l[i:]
		}
	}
	return l, nil
}

func indexSpace(l []byte) int {
	for i, c := range l {
		if c == ' ' || c == '\t' {
			return i
		}
	}
	return len(l)
}
