package promapi

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/prometheus/promql/parser"
)

// Bounds of a query: its length in bytes, how deep it is nested, and how many operators it
// has. The engine goes down a query by recursion, so that a query of 30,000 brackets would
// take as many frames of its stack; and its parser takes minutes for 60,000 signs.
const (
	maxQuery     = 64 << 10
	maxDepth     = 500
	maxOperators = 2000
)

// SyntaxError says where a query is wrong.
type SyntaxError struct {
	// Position is where in the query, in bytes from 0.
	Position int
	Message  string
	text     string // with line and column, as Prometheus says it
}

func (e *SyntaxError) Error() string { return e.text }

// Check reads a query as the API would; its error is a *SyntaxError where the query is
// wrong at a place.
func Check(query string) error {
	_, err := parse(newParser(), query)
	return err
}

// parse reads a query for the API.
func (a *API) parse(query string) (parser.Expr, error) {
	expr, err := parse(a.parser, query)
	if err != nil {
		return nil, badParameter("query", err)
	}
	return expr, nil
}

func parse(p parser.Parser, query string) (parser.Expr, error) {
	switch {
	case len(query) > maxQuery:
		return nil, fmt.Errorf("the query has %d KiB, and at most %d are taken", len(query)>>10, maxQuery>>10)
	case !utf8.ValidString(query):
		return nil, errors.New("the query holds bytes that are no UTF-8 text")
	}
	if at, why := tooMuch(query); why != "" {
		return nil, &SyntaxError{Position: at, Message: why, text: fmt.Sprintf("1:%d: parse error: %s", at+1, why)}
	}
	expr, err := p.ParseExpr(query)
	if err != nil {
		var list parser.ParseErrors
		if errors.As(err, &list) && len(list) > 0 {
			return nil, &SyntaxError{
				Position: min(max(int(list[0].PositionRange.Start), 0), len(query)), Message: list[0].Err.Error(), text: err.Error(),
			}
		}
		return nil, err //nolint:wrapcheck // it says "parse error" by itself
	}
	if deeper(expr, maxDepth) {
		return nil, errors.New(errDepth)
	}
	if _, err := lengthsOf(expr); err != nil {
		return nil, err
	}
	return expr, nil
}

const (
	errDepth     = "the query is nested deeper than 500 levels"
	errOperators = "the query has more than 2000 operators"
)

// tooMuch finds where a query has too many brackets in each other or too many operators,
// before it is parsed. What stands in quotes does not count.
func tooMuch(query string) (at int, why string) {
	depth, operators, quote := 0, 0, byte(0)
	for i := 0; i < len(query); i++ {
		c := query[i]
		switch {
		case quote != 0:
			switch {
			case c == '\\' && quote != '`':
				i++
			case c == quote:
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			depth = max(depth-1, 0)
		case strings.IndexByte("+-*/%^<>=!", c) >= 0, isWordOperator(query, i):
			operators++
		}
		switch {
		case depth > maxDepth:
			return i, errDepth
		case operators > maxOperators:
			return i, errOperators
		}
	}
	return 0, ""
}

// isWordOperator reports whether one of and, or, unless and atan2 begins at a place.
func isWordOperator(query string, at int) bool {
	if !strings.ContainsRune("aou", rune(query[at]|0x20)) || at > 0 && isWord(query[at-1]) {
		return false
	}
	end := at
	for end < len(query) && isWord(query[end]) {
		end++
	}
	switch strings.ToLower(query[at:end]) {
	case "and", "or", "unless", "atan2":
		return true
	}
	return false
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == ':'
}

// deeper reports whether an expression has more than so many levels.
func deeper(node parser.Node, levels int) bool {
	if levels < 0 {
		return true
	}
	for child := range parser.ChildrenIter(node) {
		if deeper(child, levels-1) {
			return true
		}
	}
	return false
}

// formatQuery answers with a query as Prometheus would format it.
func (a *API) formatQuery(q *request) (answer, error) {
	expr, err := a.parse(q.form.Get("query"))
	if err != nil {
		return answer{}, err
	}
	return made(expr.Pretty(0)), nil
}

// parseQuery answers with the tree of a query.
func (a *API) parseQuery(q *request) (answer, error) {
	expr, err := a.parse(q.form.Get("query"))
	if err != nil {
		return answer{}, err
	}
	return made(treeOf(expr)), nil
}
