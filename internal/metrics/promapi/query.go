package promapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"
)

// MaxPoints is how many points a series of an answer has at most, as in Prometheus:
// enough for a week of minutes.
const MaxPoints = 11_000

// maxLookback bounds the lookback_delta parameter.
const maxLookback = 30 * 24 * time.Hour

// query answers an instant query.
func (a *API) query(q *request) (answer, error) {
	at, err := q.time("time", q.now)
	if err != nil {
		return answer{}, err
	}
	return a.run(q, func(ctx context.Context, from storage.Queryable, text string, opts promql.QueryOpts) (promql.Query, error) {
		return a.engine.NewInstantQuery(ctx, from, opts, text, at)
	})
}

// queryRange answers a range query.
func (a *API) queryRange(q *request) (answer, error) {
	start, end, step, err := q.steps()
	if err != nil {
		return answer{}, err
	}
	return a.run(q, func(ctx context.Context, from storage.Queryable, text string, opts promql.QueryOpts) (promql.Query, error) {
		return a.engine.NewRangeQuery(ctx, from, opts, text, start, end, step)
	})
}

// steps reads the range of a range query.
func (q *request) steps() (start, end time.Time, step time.Duration, err error) {
	for name, into := range map[string]*time.Time{"start": &start, "end": &end} {
		if *into, err = parseTime(q.form.Get(name)); err != nil {
			return start, end, 0, badParameter(name, err)
		}
	}
	if step, err = parseDuration(q.form.Get("step")); err != nil {
		return start, end, 0, badParameter("step", err)
	}
	switch {
	case end.Before(start):
		return start, end, 0, badParameter("end", errors.New("end timestamp must not be before start time"))
	case step <= 0:
		return start, end, 0, badParameter("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	case step < time.Millisecond:
		return start, end, 0, badParameter("step", errors.New("a step is a millisecond or more"))
	// In milliseconds without sign, as a range may be longer than a Duration holds.
	case uint64(timestamp.FromTime(end)-timestamp.FromTime(start))/uint64(step.Milliseconds()) > MaxPoints:
		return start, end, 0, faultf(kindBadData, "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")
	}
	return start, end, step, nil
}

// options reads what a question asks of the engine.
func (q *request) options() (promql.QueryOpts, error) {
	var lookback time.Duration
	if text := q.form.Get("lookback_delta"); text != "" {
		var err error
		if lookback, err = parseDuration(text); err != nil {
			return nil, faultf(kindBadData, "error parsing lookback delta duration: %w", err)
		}
		if lookback < 0 || lookback > maxLookback {
			return nil, badParameter("lookback_delta", fmt.Errorf("it is between 0 and %s", maxLookback))
		}
	}
	return promql.NewPrometheusQueryOpts(q.form.Get("stats") == "all", lookback, nil), nil
}

// run has the engine answer.
func (a *API) run(
	q *request, build func(context.Context, storage.Queryable, string, promql.QueryOpts) (promql.Query, error),
) (made answer, err error) {
	limit, err := q.limit()
	if err != nil {
		return answer{}, err
	}
	opts, err := q.options()
	if err != nil {
		return answer{}, err
	}
	text := q.form.Get("query")
	expr, err := a.parse(text)
	if err != nil {
		return answer{}, err
	}
	query, err := build(q.ctx, counted{a.o.Queryable, a.mostSeries(expr)}, text, opts)
	if err != nil {
		if q.ctx.Err() != nil {
			return answer{}, a.faultOf(err, "preparing it")
		}
		return answer{}, badParameter("query", err)
	}
	if err := boundedSubqueries(query.Statement()); err != nil {
		query.Close()
		return answer{}, err
	}
	ctx, end := a.heap.guard(q.ctx)
	defer end()
	result := query.Exec(ctx)
	made.close = query.Close
	if result.Err != nil {
		return made, a.faultOf(a.heap.fault(ctx, result.Err), "answering it")
	}
	made.from, made.to = timeOf(query.Statement())
	value, cut := firstOf(result.Value, limit)
	var spent *stats.BuiltinStats
	if q.form.Get("stats") != "" {
		b := stats.NewQueryStats(query.Stats()).Builtin()
		spent = &b
	}
	made.bytes = sizeOf(value)
	made.emit = func(e *encoder) {
		e.raw(`{"resultType":"` + string(value.Type()) + `","result":`)
		e.result(value)
		if spent != nil {
			e.raw(`,"stats":`)
			e.data(spent)
		}
		e.raw("}")
	}
	made.annotate(a.remarks(result.Warnings), text)
	if cut {
		made.warnings = append(made.warnings, truncated)
	}
	if s := q.form.Get("stats"); s != "" && s != "true" && s != "all" {
		made.warnings = append(made.warnings, `parameter "stats" is "true" or "all"`)
	}
	return made, nil
}

// remarks are those of the engine without the guess that a metric is no counter by its name,
// where it is known to grow all the same: names that only grow need not end in _total here.
func (a *API) remarks(notes annotations.Annotations) annotations.Annotations {
	if a.o.Families == nil {
		return notes
	}
	for text, note := range notes {
		if !errors.Is(note, annotations.PossibleNonCounterInfo) {
			continue
		}
		if slices.ContainsFunc(a.o.Families(), func(f Family) bool {
			return (f.Type == "unknown" || f.Type == "counter") && strings.Contains(note.Error(), strconv.Quote(f.Name))
		}) {
			delete(notes, text)
		}
	}
	return notes
}

// timeOf is from when to when a query looks at samples; zero where it looks at none.
func timeOf(s parser.Statement) (from, to time.Time) {
	stmt, ok := s.(*parser.EvalStmt)
	if !ok {
		return from, to
	}
	first, last := promql.FindMinMaxTime(stmt)
	if first == 0 && last == 0 {
		return from, to
	}
	return time.UnixMilli(first), time.UnixMilli(last)
}

// Bounds of subqueries: how many steps those of one query have together, and the step of
// one that names none. The engine makes room for each step before it looks at its own
// bound on samples: [100y:1ms] would ask for terabytes, which ends the process.
const (
	maxSubquerySteps = 500_000
	subqueryStep     = time.Minute
)

// boundedSubqueries refuses a query whose subqueries have too many steps. The durations of
// its statement are those that the engine goes by, reckoned ones too.
func boundedSubqueries(s parser.Statement) error {
	stmt, ok := s.(*parser.EvalStmt)
	if !ok {
		return nil
	}
	span := float64(timestamp.FromTime(stmt.End) - timestamp.FromTime(stmt.Start))
	if n := subquerySteps(stmt.Expr, span); n > maxSubquerySteps {
		return faultf(kindExecution, "the subqueries have %.3g steps together, and %d are the most: shorten their ranges or lengthen their steps", n, maxSubquerySteps)
	}
	return nil
}

// subquerySteps is how many steps the subqueries below a node have, over a span in
// milliseconds and their own ranges beside it.
func subquerySteps(node parser.Node, span float64) float64 {
	total := 0.0
	if n, ok := node.(*parser.SubqueryExpr); ok {
		step := n.Step
		if step <= 0 {
			step = subqueryStep
		}
		span += float64(n.Range.Milliseconds())
		total = span / max(float64(step.Milliseconds()), 1)
	}
	for child := range parser.ChildrenIter(node) {
		total += subquerySteps(child, span)
	}
	return total
}

// firstOf is the value with at most limit series; 0 is all.
func firstOf(v parser.Value, limit int) (parser.Value, bool) {
	switch list := v.(type) {
	case promql.Matrix:
		if limit > 0 && len(list) > limit {
			return list[:limit], true
		}
	case promql.Vector:
		if limit > 0 && len(list) > limit {
			return list[:limit], true
		}
	}
	return v, false
}

// queryExemplars answers with exemplars of the series that a query selects.
func (a *API) queryExemplars(q *request) (answer, error) {
	start, end, err := q.span()
	if err != nil {
		return answer{}, err
	}
	expr, err := a.parse(q.form.Get("query"))
	if err != nil {
		return answer{}, err
	}
	var found []exemplar.QueryResult
	if selectors := parser.ExtractSelectors(expr); len(selectors) > 0 && a.o.Exemplars != nil {
		querier, err := a.o.Exemplars.ExemplarQuerier(q.ctx)
		if err != nil {
			return answer{}, a.faultOf(err, "looking for exemplars")
		}
		if found, err = querier.Select(start, end, selectors...); err != nil {
			return answer{}, a.faultOf(err, "looking for exemplars")
		}
	}
	made := answer{emit: func(e *encoder) { e.exemplars(found) }}
	for i := range found {
		made.bytes += labelBytes(found[i].SeriesLabels)
		for j := range found[i].Exemplars {
			made.bytes += labelBytes(found[i].Exemplars[j].Labels) + 40
		}
	}
	return made, nil
}

// exemplars writes series with their exemplars.
func (e *encoder) exemplars(found []exemplar.QueryResult) {
	e.raw("[")
	for i := range found {
		if i > 0 {
			e.raw(",")
		}
		e.raw(`{"seriesLabels":`)
		e.labels(found[i].SeriesLabels)
		e.raw(`,"exemplars":[`)
		for j, x := range found[i].Exemplars {
			if j > 0 {
				e.raw(",")
			}
			e.raw(`{"labels":`)
			e.labels(x.Labels)
			e.raw(`,"value":`)
			e.value(x.Value)
			e.raw(`,"timestamp":`)
			e.time(x.Ts)
			e.raw("}")
			if !e.spill() {
				return
			}
		}
		e.raw("]}")
	}
	e.raw("]")
}
