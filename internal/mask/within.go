package mask

import "strings"

// within masks what is named a secret inside a word, such as a connection string, a
// query or an object, and the secret in a URL.
func (m *Masker) within(s string) string {
	if !strings.ContainsAny(s, "=:") {
		return s
	}
	var out strings.Builder
	done := 0 // what was written of s
	var at lastAt
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '=' && c != ':' || i < done {
			continue
		}
		if strings.HasPrefix(s[i:], "://") {
			if from, to := userInfo(s, i+len("://"), &at); to > from {
				out.WriteString(s[done:from])
				out.WriteString(Mark)
				done, i = to, to-1
			}
			continue
		}
		from, to, ok := m.valueAt(s, i, done)
		if ok && to > from {
			out.WriteString(s[done:from])
			out.WriteString(Mark)
			done, i = to, to-1
		}
	}
	if done == 0 {
		return s
	}
	return out.String() + s[done:]
}

// valueAt is where the value behind the '=' or ':' at i lies, if the name before it is
// that of a secret.
func (m *Masker) valueAt(s string, i, low int) (from, to int, ok bool) {
	end, quoted := i, false
	for end > low && (s[end-1] == ' ' || s[end-1] == '"' || s[end-1] == '\'' || s[end-1] == '\\') {
		end--
		quoted = quoted || s[end] != ' '
	}
	start := end
	for start > low && end-start <= maxName && isNameByte(s[start-1]) {
		start--
	}
	name := strings.TrimLeft(s[start:end], "-")
	signed := name == "sig" && start > 0 && (s[start-1] == '&' || s[start-1] == '?') // of a query
	if !signed && !m.secret(name) {
		return 0, 0, false
	}
	from = i + 1
	for from < len(s) && (s[from] == ' ' || s[from] == '[' || s[from] == '>' && s[i] == '=') { // a list, "name" => "X"
		from++
	}
	if from < len(s) && s[from] == '{' {
		return 0, 0, false // an object, whose names speak for themselves
	}
	if s[i] == ':' && !quoted && from == i+1 {
		return 0, 0, false // such as the tag of an image, or a port
	}
	open := from
	for from < len(s) && s[from] == '\\' {
		from++
	}
	if from < len(s) && (s[from] == '"' || s[from] == '\'') {
		shut := s[open : from+1] // as it was opened, backslashes included
		from++
		return from, from + closing(s[from:], shut), true
	}
	from = open
	if s[i] == ':' && !quoted { // a header
		if scheme, _, cut := strings.Cut(s[from:], " "); cut && isScheme(scheme) {
			from += len(scheme) + 1
		}
		return from, from + upTo(s[from:], "\"'\r\n"), true
	}
	return from, from + upTo(s[from:], " \t\r\n&;,\"'})]"), true
}

// closing is where the quote shut stands in s, not behind a backslash of its own, or
// the end of s.
func closing(s, shut string) int {
	for at := 0; ; {
		n := strings.Index(s[at:], shut)
		if n < 0 {
			return len(s)
		}
		at += n
		if at == 0 || s[at-1] != '\\' {
			return at
		}
		at += len(shut)
	}
}

// upTo is where the first of these characters stands in s, or its end.
func upTo(s, chars string) int {
	if n := strings.IndexAny(s, chars); n >= 0 {
		return n
	}
	return len(s)
}

// userInfo is where the password lies in a URL whose authority begins at start, empty
// where there is none (RFC 3986, section 3.2.1). Passwords that hold a slash, which
// they may not, are found too.
func userInfo(s string, start int, last *lastAt) (from, to int) {
	authority := s[start : start+upTo(s[start:], notInURL+"/?#")]
	colon := strings.IndexByte(authority, ':')
	if colon < 0 {
		return 0, 0
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		if strings.Trim(authority[colon+1:], "0123456789") == "" || strings.HasPrefix(authority, "[") {
			return 0, 0 // a port
		}
		at = last.from(s, start) - start
	}
	if colon > at {
		return 0, 0
	}
	return start + colon + 1, start + at
}

// notInURL ends a URL in a text.
const notInURL = " \t\r\n\"'<>"

// lastAt finds the last '@' of the word around a place. It looks through each word
// once, however many URLs begin in it.
type lastAt struct{ end, at int }

// from is where it stands, or -1; places ascend.
func (l *lastAt) from(s string, start int) int {
	if start >= l.end {
		l.end = start + upTo(s[start:], notInURL)
		l.at = strings.LastIndexByte(s[:l.end], '@')
	}
	if l.at < start {
		return -1
	}
	return l.at
}
