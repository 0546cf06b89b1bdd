// Package promapi is version 1 of Prometheus' HTTP API over a storage.Queryable and the
// engine of PromQL, as far as Grafana's data source, promtool and client libraries ask
// for it: paths, parameters, shapes of answers and errors are those of
// https://prometheus.io/docs/prometheus/latest/querying/api/. What only a server that
// scrapes has (service discovery, administration, remote write) answers 404.
//
// Whoever may ask may ask anything, so everything about a question is bounded: its text,
// its time, the samples it may hold, the series it may touch, the bytes of its answer,
// and how many are answered at once, of one caller and of all (Limits).
package promapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/amoskys/amoskys/internal/limit"
)

// Limits bound what questions cost. A zero is the value of DefaultLimits.
type Limits struct {
	// Timeout is how long one question may take, the wait for its turn included. A
	// question's own timeout parameter makes it shorter, never longer.
	Timeout time.Duration
	// Samples is how many samples, 16 bytes each, one question may hold at a time.
	Samples int
	// Series is how many series one question may touch, those that it touches twice
	// counted twice.
	Series uint64
	// Memory is by how many bytes the heap of the process may grow while questions run.
	Memory uint64
	// AnswerBytes bounds the answer to one question.
	AnswerBytes int64
	// Running is how many questions are answered at once, of all callers and of one.
	Running, RunningOfOne int
	// Waiting is how many may wait for their turn, of all callers and of one.
	Waiting, WaitingOfOne int
	// Lookback is for how long a sample counts when there is no newer one.
	Lookback time.Duration
}

// DefaultLimits are those of a store on a small machine: questions together hold at most
// 200 MB of samples.
func DefaultLimits() Limits {
	return Limits{
		Timeout: 40 * time.Second, Samples: 3_000_000, Series: 300_000, Memory: 1 << 30, AnswerBytes: 32 << 20,
		Running: 4, RunningOfOne: 3, Waiting: 256, WaitingOfOne: 64, Lookback: 5 * time.Minute,
	}
}

// filled is l with defaults for what is zero.
func (l Limits) filled() Limits {
	d := DefaultLimits()
	return Limits{
		Timeout: cmp.Or(l.Timeout, d.Timeout), Samples: cmp.Or(l.Samples, d.Samples), Series: cmp.Or(l.Series, d.Series), Memory: cmp.Or(l.Memory, d.Memory),
		AnswerBytes: cmp.Or(l.AnswerBytes, d.AnswerBytes), Running: cmp.Or(l.Running, d.Running), RunningOfOne: cmp.Or(l.RunningOfOne, d.RunningOfOne),
		Waiting: cmp.Or(l.Waiting, d.Waiting), WaitingOfOne: cmp.Or(l.WaitingOfOne, d.WaitingOfOne), Lookback: cmp.Or(l.Lookback, d.Lookback),
	}
}

// Family describes a metric.
type Family struct {
	Name, Help, Unit string
	// Type is a word of OpenMetrics: counter, gauge, histogram, summary, unknown.
	Type string
}

// Options are what an API answers from. Queryable is required.
type Options struct {
	// Queryable holds the samples. IsAway tells of its errors whether it cannot be asked
	// now and may be soon; nil: tsdb.ErrNotReady is such an error.
	Queryable storage.Queryable
	IsAway    func(error) bool
	// StartTimestamps says that the database keeps since when counters count, which rate and
	// its kin then look at for each sample. Ours does not.
	StartTimestamps bool
	// Exemplars are those of samples; nil: there are none.
	Exemplars storage.ExemplarQueryable
	// Families describe metrics; nil: none is described.
	Families func() []Family
	// Rules are the groups of rules, in order; nil: there are none.
	Rules func() []RuleGroup
	// Stats counts the series in memory by name and labels, at most a number of each;
	// nil: nobody knows.
	Stats func(most int) (*tsdb.Stats, error)
	// Warnings are what answers lack that are of the time between from and to, such as a
	// block that is set aside; both are zero for an answer that is of no time. nil: nothing.
	Warnings func(from, to time.Time) []string
	// Settings are what status/flags tells beside our limits, Config what status/config
	// does, as YAML.
	Settings map[string]string
	Config   string
	// Caller names who asks, for the bounds that are of one caller; nil: all are one.
	Caller func(context.Context) string
	// Memory bounds what answers hold that are not taken yet, by caller; nil: nothing does.
	Memory *limit.Budget
	// Limits bound questions.
	Limits Limits
	// Version is that of this program.
	Version string
	// Engine takes the place of our own engine, for tests.
	Engine promql.QueryEngine
	// Registerer gets our metrics; nil: nobody.
	Registerer prometheus.Registerer
	Logger     *slog.Logger
	Now        func() time.Time
}

// API answers. Make it with New. It may be used by many at once.
type API struct {
	o      Options
	engine promql.QueryEngine
	parser parser.Parser
	turns  *turns
	heap   *heap
	routes map[string]route
	began  time.Time
	asked  *prometheus.CounterVec
}

// Prefix is what the paths of the API begin with.
const Prefix = "/api/v1/"

// New returns an API. It takes no resources that would have to be given back. Its error is
// that of the Registerer.
func New(o Options) (*API, error) {
	o.Limits = o.Limits.filled()
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.IsAway == nil {
		o.IsAway = func(err error) bool { return errors.Is(err, tsdb.ErrNotReady) }
	}
	if o.Caller == nil {
		o.Caller = func(context.Context) string { return "" }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &API{o: o, engine: o.Engine, parser: newParser(), turns: newTurns(o.Limits), heap: newHeap(o.Limits.Memory), began: o.Now()}
	if a.engine == nil {
		a.engine = newEngine(o)
	}
	a.routes = a.table()
	a.asked = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "amoskys_promql_questions_total", Help: "Questions about metrics, by what came of them: success, or the kind of the error.",
	}, []string{"result"})
	if o.Registerer == nil {
		return a, nil
	}
	err := errors.Join(
		o.Registerer.Register(a.asked),
		o.Registerer.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "amoskys_promql_questions", Help: "Questions about metrics that are being answered or wait for it.",
		}, a.turns.count)))
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return a, nil
}

// newParser returns the parser of questions: all of PromQL, experiments included, since
// whoever has a dashboard that uses them expects them here.
func newParser() parser.Parser {
	return parser.NewParser(parser.Options{EnableExperimentalFunctions: true, EnableBinopFillModifiers: true, EnableUnquotedUTF8Names: true})
}

// newEngine returns the engine that questions are answered by.
func newEngine(o Options) *promql.Engine { return engineOf(o, newParser()) }

func engineOf(o Options, p parser.Parser) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		Logger: o.Logger, MaxSamples: o.Limits.Samples, Timeout: o.Limits.Timeout, LookbackDelta: o.Limits.Lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return subqueryStep.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true, EnablePerStepStats: true, EnableDelayedNameRemoval: true,
		UseStartTimestamps: o.StartTimestamps, Parser: p,
	})
}

// route is one path.
type route struct {
	answer func(*request) (answer, error)
	// turn says that a question waits for its turn: it asks the database.
	turn bool
}

// table are all paths below Prefix, without "label/NAME/values".
func (a *API) table() map[string]route {
	return map[string]route{
		"query":              {a.query, true},
		"query_range":        {a.queryRange, true},
		"query_exemplars":    {a.queryExemplars, true},
		"series":             {a.series, true},
		"labels":             {a.labelNames, true},
		"metadata":           {a.metadata, false},
		"targets/metadata":   {a.targetMetadata, false},
		"rules":              {a.rules, false},
		"alerts":             {a.alerts, false},
		"alertmanagers":      {a.alertmanagers, false},
		"targets":            {a.targets, true},
		"format_query":       {a.formatQuery, false},
		"parse_query":        {a.parseQuery, false},
		"status/buildinfo":   {a.buildInfo, false},
		"status/runtimeinfo": {a.runtimeInfo, false},
		"status/config":      {a.config, false},
		"status/flags":       {a.flags, false},
		"status/tsdb":        {a.tsdbStatus, true},
	}
}

// find returns the route of a path, and the label that it names.
func (a *API) find(path string) (r route, label string, ok bool) {
	path, ok = strings.CutPrefix(path, Prefix)
	if !ok {
		return route{}, "", false
	}
	if rest, found := strings.CutPrefix(path, "label/"); found {
		if label, found = strings.CutSuffix(rest, "/values"); found {
			return route{a.labelValues, true}, label, true
		}
	}
	r, ok = a.routes[path]
	return r, "", ok
}

// maxForm bounds the parameters of a question, those in its address and its body each,
// in bytes.
const maxForm = 100 << 10

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, label, ok := a.find(r.URL.Path)
	switch {
	case !ok:
		a.refuse(w, faultf(kindNotFound, "there is no %s of Prometheus' HTTP API v1 here", shortened(r.URL.Path)))
		return
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST")
		a.refuse(w, faultf(kindMethod, "ask by GET or POST"))
		return
	}
	if len(r.URL.RawQuery) > maxForm {
		a.refuse(w, faultf(kindBadData, "the parameters are longer than %d KiB", maxForm>>10))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		a.refuse(w, faultf(kindBadData, "read the parameters: %w", err))
		return
	}
	q := &request{form: r.Form, label: label, now: a.o.Now()}
	ctx, cancel, err := q.bounded(r.Context(), a.o.Limits.Timeout)
	if err != nil {
		a.refuse(w, err)
		return
	}
	defer cancel()
	q.ctx = ctx
	made, err := a.answer(q, found)
	if made.close != nil {
		defer made.close()
	}
	if err != nil {
		a.refuse(w, err)
		return
	}
	if a.o.Memory != nil {
		caller := a.o.Caller(ctx)
		if err := a.o.Memory.Take(caller, made.bytes); err != nil {
			a.refuse(w, faultf(kindTooMany, "the answer of %d KiB has no room beside those that are not read yet (%w): read them and ask again", made.bytes>>10, err))
			return
		}
		defer a.o.Memory.Release(caller, made.bytes)
	}
	if a.o.Warnings != nil {
		made.warnings = append(made.warnings, a.o.Warnings(made.from, made.to)...)
	}
	a.asked.WithLabelValues("success").Inc()
	w.Header().Set("Content-Type", "application/json")
	if err := made.write(w); err != nil {
		// The beginning has gone out with 200: what is cut off must not pass for whole.
		if !errors.Is(err, context.Canceled) {
			a.o.Logger.Debug("an answer was not taken to its end", "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// answer has a question answered once its turn has come. The turn ends before the answer
// is written: who reads slowly holds an answer, and nobody up.
func (a *API) answer(q *request, found route) (answer, error) {
	if found.turn {
		end, err := a.turns.wait(q.ctx, a.o.Caller(q.ctx))
		if err != nil {
			return answer{}, err
		}
		defer end()
	}
	made, err := found.answer(q)
	if err != nil {
		return made, err
	}
	return made, a.fits(made)
}

// shortened is a path for an error.
func shortened(path string) string { return path[:min(len(path), 100)] }
