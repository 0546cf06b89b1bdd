package promapi

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/prometheus/prometheus/promql/parser"
)

// Bounds of a query: its length in bytes, and how deep it is nested. The engine goes down
// a query by recursion, so that a query of 30,000 brackets would take as many frames of
// its stack.
const (
	maxQuery = 64 << 10
	maxDepth = 500
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
	if at := tooDeep(query); at >= 0 {
		return nil, &SyntaxError{Position: at, Message: errDepth, text: fmt.Sprintf("1:%d: parse error: %s", at+1, errDepth)}
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
	return expr, nil
}

const errDepth = "the query is nested deeper than 500 levels"

// tooDeep returns where brackets are nested too deep, -1 where they are not. Brackets in
// strings count as well: nobody has that many.
func tooDeep(query string) int {
	depth := 0
	for i := range len(query) {
		switch query[i] {
		case '(', '[', '{':
			if depth++; depth > maxDepth {
				return i
			}
		case ')', ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return -1
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
