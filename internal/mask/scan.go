package mask

import "strings"

// scan goes through the words of one command.
type scan struct {
	m     *Masker
	began bool
	takes takes // of the last known program
	armed bool  // its options are those of takes
	next  next
	shell bool // the next word is a command: that of sh -c
}

// maxDepth bounds commands within quotes within commands.
const maxDepth = 4

// argument masks one argument of a program: a word, or what is a command itself, such
// as that of sh -c.
func (s *scan) argument(arg string, depth int) string {
	command := s.shell && strings.ContainsAny(arg, " \t\n")
	s.shell = len(arg) > 1 && arg[0] == '-' && arg[1] != '-' && arg[len(arg)-1] == 'c'
	if !command || s.next != nextAny {
		if masked, ok := s.word(arg); ok {
			return masked
		}
	}
	arg = s.m.within(arg)
	if depth < maxDepth && strings.ContainsAny(arg, " \t\n") {
		inner := scan{m: s.m}
		return inner.text(arg, depth+1)
	}
	return arg
}

// text masks the words of a command line as a shell would split it.
func (s *scan) text(text string, depth int) string {
	var out strings.Builder
	for len(text) > 0 {
		gap := len(text) - len(strings.TrimLeft(text, " \t\n"))
		out.WriteString(text[:gap])
		text = text[gap:]
		if text == "" {
			break
		}
		end := wordEnd(text)
		word := text[:end]
		text = text[end:]
		open, inside, shut := unquote(word)
		if open == "" && strings.ContainsAny(word, `"'`) { // --name="a b", {"name":"a b"}
			masked, ok := s.word(word)
			if !ok {
				masked = s.m.within(word)
			}
			out.WriteString(masked)
			s.follow(word)
			continue
		}
		out.WriteString(open)
		out.WriteString(s.argument(inside, depth))
		out.WriteString(shut)
		s.follow(word)
	}
	return out.String()
}

// follow notes where another command begins: behind a word that ends one, or inside of
// one, as in "ls;mysql" and "x=$(mysql".
func (s *scan) follow(word string) {
	if strings.HasSuffix(word, ";") || word == "&&" || word == "||" || word == "|" {
		*s = scan{m: s.m}
		return
	}
	at := strings.LastIndexAny(word, ";|&(`")
	if at < 0 {
		return
	}
	if t, known := program(word[at+1:]); known {
		*s = scan{m: s.m, began: true, takes: t, armed: t.after == ""}
	}
}

// wordEnd is where the first word of text ends: at a blank outside quotes. A quote
// that nothing closes is a letter.
func wordEnd(text string) int {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ' ', '\t', '\n':
			return i
		case '"', '\'':
			if shut := strings.IndexByte(text[i+1:], c); shut >= 0 {
				i += 1 + shut
			}
		case '\\':
			i++
		}
	}
	return len(text)
}

// unquote parts a word from the quotes around it.
func unquote(word string) (open, inside, shut string) {
	n := len(word)
	if n >= 2 && (word[0] == '"' || word[0] == '\'') && strings.IndexByte(word[1:], word[0]) == n-2 {
		return word[:1], word[1 : n-1], word[n-1:]
	}
	return "", word, ""
}

// word masks a word by what stood before it and by the name that it begins with; ok
// is false where neither says anything.
func (s *scan) word(word string) (masked string, ok bool) {
	expected := s.next
	s.next = nextAny
	switch {
	case word == "":
		s.next = expected // an empty argument, or one that was removed
		return word, expected != nextAny
	case expected == nextHeader && isScheme(word):
		s.next = nextSecret
		return word, true
	case expected == nextPair:
		return pairOf(word, s.takes.between), true
	case expected != nextAny && !isOption(word):
		return Mark, true
	}
	first := !s.began
	s.began = true
	if t, known := program(word); known {
		s.takes, s.armed = t, t.after == ""
		return word, true
	}
	if first && !strings.ContainsAny(word, "= \t\n") {
		return word, false // the program's name; an assignment before it is none
	}
	if s.takes.after != "" && word == s.takes.after {
		s.armed = true
	}
	if s.armed {
		if masked, n, ok := s.takes.optionOf(word); ok {
			s.next = n
			return masked, true
		}
		if s.takes.operand && word[0] != '-' && word[0] != '/' && !strings.ContainsRune(word, '=') {
			if masked := pairOf(word, s.takes.between); masked != word {
				return masked, true
			}
		}
	}
	return s.named(word)
}

// named masks a word that begins with the name of a secret: --name=X, name=X, -name
// before X, "Name: X", /name:X.
func (s *scan) named(word string) (string, bool) {
	start := 0
	for start < len(word) && start < 2 && word[start] == '-' {
		start++
	}
	dashed := start > 0
	if start == 0 && word[0] == '/' {
		start = 1
	}
	end := start
	for end < len(word) && isNameByte(word[end]) {
		end++
	}
	name := word[start:end]
	if !s.m.secret(name) {
		if strings.EqualFold(name, "bearer") && end == len(word) && !dashed {
			s.next = nextSecret
		}
		return word, false
	}
	switch {
	case end == len(word):
		if dashed || s.takes.bare && s.armed {
			s.next = nextSecret
		}
		return word, s.next != nextAny
	case word[end] == '=' || word[end] == ':' && word[0] == '/':
		return word[:end+1] + markValue(word[end+1:]), true
	case word[end] == ':' && end+1 == len(word):
		s.next = nextHeader
		return word, true
	case word[end] == ':' && word[end+1] == ' ':
		return word[:end+2] + markHeader(word[end+2:]), true
	case word[end] == ':' && (dashed || isHeader(name)): // no tag of an image, nor a path in another place
		return word[:end+1] + markHeader(word[end+1:]), true
	}
	return word, false
}

// markValue is Mark, unless there is no value or it says that it comes from elsewhere.
func markValue(v string) string {
	if v == "" || v == "-" {
		return v
	}
	return Mark
}

// markHeader masks the value of a header but for the scheme before it.
func markHeader(v string) string {
	rest := strings.TrimLeft(v, " ")
	if scheme, value, ok := strings.Cut(rest, " "); ok && isScheme(scheme) {
		return scheme + " " + markValue(value)
	}
	return markValue(rest)
}

// isHeader reports whether a name is that of a header, and could hardly be that of an
// image or a volume: Authorization, Cookie, X-Api-Key, PRIVATE-TOKEN.
func isHeader(name string) bool {
	w := words(name)
	last := w[len(w)-1]
	return len(w) == 1 && (last == "authorization" || last == "cookie") || len(w) > 1 && name[0] >= 'A' && name[0] <= 'Z' || w[0] == "x"
}

// isScheme: of HTTP authentication (RFC 9110, section 11).
func isScheme(word string) bool {
	switch strings.ToLower(word) {
	case "bearer", "basic", "digest", "token", "negotiate", "apikey":
		return true
	}
	return false
}

// isOption reports whether a word where a secret may stand is the next option, or says
// that the secret comes from standard input.
func isOption(word string) bool {
	if word[0] != '-' {
		return false
	}
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	return len(name) <= 1 || len(name) <= maxName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") == ""
}
