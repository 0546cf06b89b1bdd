// Package mask takes secrets out of command lines before they leave a host.
//
// It knows secrets by the name they are given under (--token X, PGPASSWORD=X,
// "password": "X", X-Api-Key: X), by the program that takes them (mysql -pX,
// curl -u user:X), by where they stand (https://user:X@host) and by their own look
// (AKIA…, ghp_…, amk1_…, JSON web tokens, private keys). Rules.Names and
// Rules.Patterns add to that, and Rules.Keep takes away. docs/agents.md lists all.
//
// The rules are a best effort: a secret that is given under no name, to a program
// that is not known, in a form that is not known, stays. Work is linear in the length
// of the text. A Masker may be used concurrently.
package mask

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Mark stands in place of each secret, whatever its length.
const Mark = "***"

// Bounds on Rules, in entries and bytes.
const (
	MaxRules   = 64
	MaxPattern = 512
)

// Rules are what a user adds to the built-in rules.
type Rules struct {
	// Names of options, variables and settings whose values are secret, such as
	// "license-key". Case and the marks - _ . between words do not count.
	Names []string
	// Patterns are regular expressions (RE2). What their first group matches is a
	// secret, or all that they match where they have no group.
	Patterns []string
	// Keep are names whose values are no secrets, though a built-in rule says so.
	Keep []string
}

// Masker replaces secrets by Mark.
type Masker struct {
	names, keep map[string]bool // in the form of words
	patterns    []*regexp.Regexp
}

// New returns a Masker with the built-in rules and these. The error joins one for
// each rule that cannot be.
func New(r Rules) (*Masker, error) {
	m := &Masker{names: map[string]bool{}, keep: map[string]bool{}}
	var faults []error
	for into, list := range map[*map[string]bool][]string{&m.names: r.Names, &m.keep: r.Keep} {
		for _, n := range list {
			if err := CheckName(n); err != nil {
				faults = append(faults, err)
			}
			(*into)[strings.Join(words(n), " ")] = true
		}
	}
	for _, p := range r.Patterns {
		re, err := Compile(p)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		m.patterns = append(m.patterns, re)
	}
	return m, errors.Join(faults...)
}

// CheckName reports what is wrong with one of Rules.Names or Keep.
func CheckName(n string) error {
	if len(n) > maxName || strings.Trim(n, "-_.") == "" || strings.Trim(strings.ToLower(n), nameLetters) != "" {
		return fmt.Errorf("%.80q is not a name of letters, digits and - _ . with at most %d bytes", n, maxName)
	}
	return nil
}

// Compile reads one of Rules.Patterns.
func Compile(p string) (*regexp.Regexp, error) {
	if p == "" || len(p) > MaxPattern {
		return nil, fmt.Errorf("%.80q must have 1 to %d bytes", p, MaxPattern)
	}
	re, err := regexp.Compile(p)
	if err != nil {
		return nil, fmt.Errorf("%.80q is not a regular expression: %w", p, err)
	}
	if re.MatchString("") {
		return nil, fmt.Errorf("%.80q matches nothing at all too, and so everywhere", p)
	}
	return re, nil
}

// Args returns the arguments of a program, its name first, with the secrets in them
// replaced; args itself where there are none.
func (m *Masker) Args(args []string) []string {
	var out []string
	s := scan{m: m}
	for i, arg := range args {
		masked := m.shapes(s.argument(arg, 0))
		if masked == arg {
			continue
		}
		if out == nil {
			out = append([]string{}, args...)
		}
		out[i] = masked
	}
	if out == nil {
		return args
	}
	return out
}

// Text returns a command line, or any other text, with the secrets in it replaced.
func (m *Masker) Text(text string) string {
	s := scan{m: m}
	return m.shapes(s.text(m.within(text), 0))
}

// shapes masks what is a secret by its look, and what the patterns of the user match.
func (m *Masker) shapes(s string) string {
	s = maskShapes(s)
	for _, re := range m.patterns {
		s = maskMatches(re, s)
	}
	return s
}

func maskMatches(re *regexp.Regexp, s string) string {
	var out strings.Builder
	done := 0
	for _, at := range re.FindAllStringSubmatchIndex(s, -1) {
		from, to := at[0], at[1]
		if len(at) > 2 {
			from, to = at[2], at[3]
		}
		if from < done || from == to {
			continue // the group has no part in this match, or is empty
		}
		out.WriteString(s[done:from])
		out.WriteString(Mark)
		done = to
	}
	if done == 0 {
		return s
	}
	return out.String() + s[done:]
}
