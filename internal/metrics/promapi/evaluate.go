package promapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// Evaluator answers instant queries as the API does, within the same bounds, for who has a
// query that nobody asked by HTTP: rules.
type Evaluator struct {
	engine promql.QueryEngine
	from   storage.Queryable
	heap   *heap
}

// NewEvaluator returns an Evaluator over a database. Zeros of l are those of DefaultLimits;
// it looks at Timeout, Samples, Series, Memory and Lookback alone.
func NewEvaluator(from storage.Queryable, l Limits, logger *slog.Logger) *Evaluator {
	l = l.filled()
	return &Evaluator{engine: engineOf(Options{Limits: l, Logger: logger}, NewBoundedParser()), from: counted{from, l.Series}, heap: newHeap(l.Memory)}
}

// errNoVector is what a rule may not be.
var errNoVector = errors.New("the result is neither a vector nor a scalar")

// Evaluate answers a query at one moment. A scalar becomes a vector of one sample without
// labels.
func (e *Evaluator) Evaluate(ctx context.Context, text string, at time.Time) (promql.Vector, error) {
	query, err := e.engine.NewInstantQuery(ctx, e.from, nil, text, at)
	if err != nil {
		return nil, fmt.Errorf("prepare a query: %w", err)
	}
	defer query.Close()
	if err := boundedSubqueries(query.Statement()); err != nil {
		return nil, err
	}
	ctx, end := e.heap.guard(ctx)
	defer end()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, e.heap.fault(ctx, result.Err)
	}
	switch v := result.Value.(type) {
	case promql.Vector:
		kept := make(promql.Vector, len(v)) // closing takes the memory back
		copy(kept, v)
		return kept, nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V, Metric: labels.EmptyLabels()}}, nil
	default:
		return nil, errNoVector
	}
}

// Parse reads a query as the API would, within its bounds; its error is a *SyntaxError
// where the query is wrong at a place.
func Parse(query string) (parser.Expr, error) { return parse(newParser(), query) }

// ParseSelector reads a selector of series, such as process_cpu_percent{host="a"}.
func ParseSelector(text string) ([]*labels.Matcher, error) {
	if len(text) > maxQuery {
		return nil, errors.New("it is too long")
	}
	return newParser().ParseMetricSelector(text) //nolint:wrapcheck // it says all
}

// BoundedParser is the parser of the API for who takes a parser.
type BoundedParser struct{ parser.Parser }

// NewBoundedParser returns a BoundedParser.
func NewBoundedParser() BoundedParser { return BoundedParser{newParser()} }

// ParseExpr implements parser.Parser.
func (b BoundedParser) ParseExpr(query string) (parser.Expr, error) { return parse(b.Parser, query) }
