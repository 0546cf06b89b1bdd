package mib

import (
	"slices"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/snmp/ber"
)

// scanner gives the words of a module: names, numbers, "::=" and single signs. Texts in
// quotes are one word, `"`, and comments none (RFC 2578, section 3.1; X.208).
type scanner struct {
	text string
	word string // that was read last; empty is the end
}

// next reads the next word and says whether there is one.
func (s *scanner) next() bool {
	for {
		s.text = strings.TrimLeft(s.text, " \t\r\n\f\v\x00")
		if !strings.HasPrefix(s.text, "--") {
			break
		}
		end := strings.IndexByte(s.text, '\n')
		if end < 0 {
			end = len(s.text)
		}
		// A comment ends at the next pair of dashes too; most files have rows of dashes
		// instead, which end at the line in either reading.
		s.text = s.text[end:]
	}
	n := 0
	switch {
	case s.text == "":
		s.word = ""
		return false
	case s.text[0] == '"':
		end := strings.IndexByte(s.text[1:], '"')
		if end < 0 {
			s.text, s.word = "", ""
			return false
		}
		s.text, s.word = s.text[end+2:], `"`
		return true
	case strings.HasPrefix(s.text, "::="):
		n = 3
	default:
		for n < len(s.text) && isWord(s.text[n]) && !strings.HasPrefix(s.text[n:], "--") {
			n++
		}
		n = max(n, 1)
	}
	s.word, s.text = s.text[:n], s.text[n:]
	return true
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// isName says that a word names a value, as objects are: it begins with a small letter.
func isName(word string) bool {
	return word != "" && word[0] >= 'a' && word[0] <= 'z' && len(word) <= maxName
}

// skipTo reads on to a word and says whether it came.
func (s *scanner) skipTo(word string) bool {
	for s.next() {
		if s.word == word {
			return true
		}
	}
	return false
}

// parse reads the modules of a file.
func (p *parser) parse(text string) {
	s := &scanner{text: text}
	var before string
	for s.next() {
		if s.word != "DEFINITIONS" {
			if s.word[0] >= 'A' && s.word[0] <= 'Z' && len(s.word) <= maxName {
				before = s.word
			}
			continue
		}
		if !s.skipTo("BEGIN") {
			return
		}
		m := &module{name: before, imports: map[string]string{}, defined: map[string]definition{}}
		if p.modules[m.name] != nil || before == "" {
			m.name = "" // of two of one name the first counts
		}
		p.module(s, m)
		if m.name != "" {
			p.modules[m.name] = m
			p.order = append(p.order, m)
		}
	}
}

// module reads up to END.
func (p *parser) module(s *scanner, m *module) {
	var before string // the word that a macro follows
	goes := true
	for goes && s.next() {
		switch s.word {
		case "END":
			return
		case "IMPORTS":
			p.imports(s, m)
		case "MACRO":
			goes = s.skipTo("END")
		case "IDENTIFIER": // and not as the type of a column
			if ahead := *s; isName(before) && ahead.next() && ahead.word == "::=" {
				goes = p.definition(s, m, before)
			}
		case "OBJECT-TYPE", "MODULE-IDENTITY", "OBJECT-IDENTITY", "NOTIFICATION-TYPE", "OBJECT-GROUP", "NOTIFICATION-GROUP",
			"MODULE-COMPLIANCE", "AGENT-CAPABILITIES":
			if isName(before) {
				goes = p.definition(s, m, before)
			}
		case "TRAP-TYPE":
			if isName(before) {
				goes = p.trap(s, m, before)
			}
		case "OBJECT": // of OBJECT IDENTIFIER
			continue
		}
		before = s.word
	}
}

// imports reads "a, b FROM M c FROM N;".
func (p *parser) imports(s *scanner, m *module) {
	var symbols []string
	for s.next() && s.word != ";" {
		switch s.word {
		case ",":
		case "FROM":
			if !s.next() || s.word == ";" {
				return
			}
			for _, symbol := range symbols {
				if p.names < maxNames {
					p.names++
					m.imports[symbol] = strings.Clone(s.word)
				}
			}
			symbols = symbols[:0]
		default:
			if isName(s.word) && len(symbols) < maxNames {
				symbols = append(symbols, strings.Clone(s.word))
			}
		}
	}
}

// definition reads on to "::= { parent number … }". It reports false where the module
// ended before.
func (p *parser) definition(s *scanner, m *module, name string) bool {
	for s.next() && s.word != "::=" {
		if s.word == "END" {
			return false
		}
	}
	if !s.next() || s.word != "{" {
		return s.word != "END"
	}
	var d definition
	for s.next() && s.word != "}" {
		n, err := strconv.ParseUint(s.word, 10, 32)
		switch {
		case err == nil && len(d.arcs) < ber.MaxArcs:
			d.arcs = append(d.arcs, uint32(n))
		case err == nil || s.word[0] >= '0' && s.word[0] <= '9': // too many, or too large
			return s.skipTo("}")
		case d.parent == "" && isName(s.word):
			d.parent = strings.Clone(s.word)
		}
		// Names further on, as in "{ iso org(3) dod(6) }", say what their numbers do.
	}
	if d.parent == "" && len(d.arcs) > 1 && d.arcs[0] == 1 { // { 1 3 6 1 … }
		d.parent, d.arcs = "iso", d.arcs[1:]
	}
	p.define(m, name, d)
	return true
}

// trap reads on to "ENTERPRISE name … ::= number" (RFC 1215). It reports false where the
// module ended before.
func (p *parser) trap(s *scanner, m *module, name string) bool {
	d := definition{}
	for s.next() && s.word != "::=" {
		if s.word == "END" {
			return false
		}
		if s.word == "ENTERPRISE" && s.next() {
			if s.word == "{" {
				s.next()
			}
			if isName(s.word) {
				d.parent = strings.Clone(s.word)
			}
		}
	}
	if !s.next() {
		return false
	}
	if n, err := strconv.ParseUint(s.word, 10, 32); err == nil {
		d.arcs = []uint32{0, uint32(n)}
		p.define(m, name, d)
	}
	return true
}

func (p *parser) define(m *module, name string, d definition) {
	if _, have := m.defined[name]; have || d.parent == "" || len(d.arcs) == 0 || p.names >= maxNames {
		return
	}
	p.names++
	name = strings.Clone(name)
	m.defined[name] = definition{d.parent, slices.Clip(d.arcs)}
	m.order = append(m.order, name)
}
