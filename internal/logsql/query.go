package logsql

import (
	"strings"
	"unicode/utf8"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"
)

// Bounds on a query, so that no text can cost much to parse.
const (
	// MaxLength is in bytes.
	MaxLength = 16 << 10
	maxDepth  = 64
	maxTerms  = 512
	maxPipes  = 64
	// maxRewritten bounds what the engine is given: a word that may stand in any field
	// becomes a term for each group of fields.
	maxRewritten = 512 << 10
)

// Query is a query that the engine can parse.
type Query struct {
	text     string
	engine   string
	live     string
	pipes    bool
	subquery bool
	costly   string
	sieve    string
	types    []typeTerm
}

// Parse reads a query. An empty one matches all. The error is a *SyntaxError.
func Parse(text string) (*Query, error) {
	if len(text) > MaxLength {
		return nil, faultAt(MaxLength, "the query is longer than %d bytes", MaxLength)
	}
	if !utf8.ValidString(text) {
		return nil, faultAt(invalidAt(text), "the query is not UTF-8")
	}
	p := newParser(text)
	if err := p.query(); err != nil {
		return nil, err
	}
	q := &Query{
		text: text, engine: p.out.engine.String(), live: p.out.live.String(),
		pipes: p.piped, subquery: p.subquery, costly: p.costly(), sieve: p.sieve(), types: p.typeTerms(),
	}
	if _, err := logstorage.ParseQuery(q.engine); err != nil {
		return nil, p.engineFault(err)
	}
	return q, nil
}

// String returns the query as it was given.
func (q *Query) String() string { return q.text }

// Engine is the query in the engine's words: its fields are those of package row.
func (q *Query) Engine() string { return q.engine }

// Pipes reports whether the answer is rows of its own making, such as counts, and not
// events.
func (q *Query) Pipes() bool { return q.pipes }

// All reports whether the query matches every event and changes none.
func (q *Query) All() bool { return q.engine == matchAll }

// Costly says why the query may take long over many events: the engine must read every
// value of a field. Empty for one that an index helps with.
func (q *Query) Costly() string { return q.costly }

// Sieve is a filter, in the engine's words, with which the index helps and which every
// event passes that the query finds: a Costly query reads values of no others. Empty
// where there is none.
func (q *Query) Sieve() string { return q.sieve }

// invalidAt is where the first byte that is not UTF-8 stands.
func invalidAt(q string) int {
	for i, r := range q {
		if r == utf8.RuneError && !strings.HasPrefix(q[i:], "\uFFFD") {
			return i
		}
	}
	return len(q)
}

// And returns the query that has only what also matches a filter. Of a text that Parse
// does not take it makes another.
func And(query, filter string) string {
	l := lexer{text: query}
	end, pipes := len(query), ""
	for pos, depth := 0, 0; ; {
		t, err := l.scan(pos, inValue)
		if err != nil || t.kind == tokEnd {
			break
		}
		if depth == 0 && (t.is("|") || t.is(";")) {
			end = t.pos
			if t.is("|") {
				pipes = " " + query[end:]
			}
			break
		}
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		}
		pos = t.end
	}
	head := strings.TrimSpace(query[:end])
	if (lexer{text: head}).skip(0) == len(head) || head == matchAll {
		return filter + pipes
	}
	if strings.Contains(head, "#") {
		head += "\n" // ends a comment
	}
	return "(" + head + ") " + filter + pipes
}
