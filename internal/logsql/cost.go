package logsql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/regexutil"
)

// cost finds queries for which the engine must read every value of a field: its index
// knows words alone.
type cost struct {
	program int
	negated int
	// read says what must be read; the first such filter.
	read         string
	bares, words int
	// sieve are the filters, in the engine's words, that every event found passes and with
	// which the index helps. either says that they need not hold.
	sieve  []string
	either bool
}

// word notes a filter that the index helps with.
func (c *cost) word(depth int) {
	if depth == 0 && c.negated == 0 {
		c.words++
	}
}

// or notes that what stands at the top need not hold.
func (c *cost) or(depth int) {
	if depth == 0 {
		c.either = true
	}
}

func (c *cost) bare(format string, args ...any) {
	c.bares++
	if c.read == "" {
		c.read = fmt.Sprintf(format, args...)
	}
}

// regexp notes an expression: one with a whole word in it is as good as the word.
func (c *cost) regexp(expr string, pos int) {
	if re, err := regexutil.NewRegex(expr); err == nil {
		if slices.ContainsFunc(re.GetLiterals(), hasWholeWord) {
			return
		}
	}
	c.bare("the regular expression or pattern at position %d", pos)
}

// hasWholeWord reports whether a word begins and ends inside s.
func hasWholeWord(s string) bool {
	gap, word := false, false
	for _, r := range s {
		if isWordRune(r) {
			word = gap
			continue
		}
		if word {
			return true
		}
		gap = true
	}
	return false
}

// sift reads a filter that stands at the top and notes it if the index helps with all of it.
func (p *parser) sift(read func() *SyntaxError) *SyntaxError {
	from, bares, words := p.out.engine.Len(), p.cost.bares, p.cost.words
	err := read()
	if err == nil && p.cost.bares == bares && p.cost.words > words {
		p.cost.sieve = append(p.cost.sieve, p.out.engine.String()[from:])
	}
	return err
}

func (p *parser) costly() string {
	if p.cost.read == "" {
		return ""
	}
	return p.cost.read + " has no whole word in it that an index could look for, so every value is read: add a field:value, a word, or a shorter time range"
}

func (p *parser) sieve() string {
	if p.cost.either {
		return ""
	}
	return strings.Join(p.cost.sieve, " ")
}
