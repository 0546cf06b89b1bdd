package promapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"
	"github.com/prometheus/prometheus/util/teststorage"

	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// TestPromQL runs Prometheus' own acceptance tests of PromQL through our API: each of
// their questions goes in as an HTTP request, and what they compare is read from the
// JSON of the answer. All scripts of the module apply and none is left out; they are read
// from there, and are not copied.
func TestPromQL(t *testing.T) {
	if testing.Short() {
		t.Skip("23,000 questions take some seconds")
	}
	if memory, err := os.Stat("/dev/shm"); err == nil && memory.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm") // hundreds of databases, each of which syncs to disk
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	over := newOverHTTP(t)
	promqltest.RunBuiltinTestsWithStorage(t, over, func(t testing.TB) storage.Storage {
		// As promqltest.NewBuiltinTestStorage, but that nothing is made for many series.
		return teststorage.New(t, func(o *tsdb.Options) {
			o.EnableSTStorage, o.EnableHistogramSTEncoding, o.FloatChunkEncoding, o.StripeSize = true, true, chunkenc.EncXOR2, 64
		})
	})
	const atLeast = 20_000
	if n := over.asked.Load(); n < atLeast {
		t.Errorf("%d questions were asked, at least %d are known", n, atLeast)
	}
}

// overHTTP is an engine that asks an API.
type overHTTP struct {
	api     http.Handler
	storage *current
	direct  *promql.Engine
	asked   atomic.Int64
}

// current is the storage of the script that runs.
type current struct{ storage.Queryable }

func newOverHTTP(t *testing.T) *overHTTP {
	t.Helper()
	c := &current{}
	return &overHTTP{
		api: mustAPI(t, promapi.Options{Queryable: c, StartTimestamps: true}), storage: c,
		direct: promapi.NewEngine(promapi.Options{Limits: promapi.DefaultLimits(), StartTimestamps: true}),
	}
}

// NewInstantQuery implements promql.QueryEngine.
func (o *overHTTP) NewInstantQuery(_ context.Context, q storage.Queryable, opts promql.QueryOpts, text string, at time.Time) (promql.Query, error) {
	form := url.Values{"query": {text}, "time": {seconds(at)}}
	return &asked{o: o, q: q, path: "query", form: form, direct: func(ctx context.Context) (promql.Query, error) {
		return o.direct.NewInstantQuery(ctx, q, opts, text, at)
	}}, nil
}

// NewRangeQuery implements promql.QueryEngine.
func (o *overHTTP) NewRangeQuery(
	_ context.Context, q storage.Queryable, opts promql.QueryOpts, text string, start, end time.Time, step time.Duration,
) (promql.Query, error) {
	form := url.Values{
		"query": {text}, "start": {seconds(start)}, "end": {seconds(end)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	}
	return &asked{o: o, q: q, path: "query_range", form: form, direct: func(ctx context.Context) (promql.Query, error) {
		return o.direct.NewRangeQuery(ctx, q, opts, text, start, end, step)
	}}, nil
}

func seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// asked is one question.
type asked struct {
	o      *overHTTP
	q      storage.Queryable
	path   string
	form   url.Values
	direct func(context.Context) (promql.Query, error)
}

func (*asked) Close()                          {}
func (*asked) Cancel()                         {}
func (*asked) Statement() parser.Statement     { return nil }
func (*asked) Stats() *stats.Statistics        { return nil }
func (a *asked) String() string                { return a.form.Get("query") }
func (a *asked) fail(err error) *promql.Result { return &promql.Result{Err: err} }

// body is an answer.
type body struct {
	Status, ErrorType, Error string
	Data                     struct {
		ResultType string
		Result     json.RawMessage
	}
	Warnings, Infos []string
}

// Exec asks.
func (a *asked) Exec(ctx context.Context) *promql.Result {
	a.o.asked.Add(1)
	a.o.storage.Queryable = a.q
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "/api/v1/"+a.path, strings.NewReader(a.form.Encode()))
	if err != nil {
		return a.fail(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	a.o.api.ServeHTTP(w, req)
	var b body
	if err := json.NewDecoder(w.Body).Decode(&b); err != nil {
		return a.fail(err)
	}
	if b.Status != "success" {
		return a.fail(errors.New(strings.TrimPrefix(b.Error, `invalid parameter "query": `)))
	}
	value, err := a.read(ctx, &b)
	notes := annotations.Annotations{}
	for _, text := range b.Warnings {
		notes.Add(&remark{text, annotations.PromQLWarning})
	}
	for _, text := range b.Infos {
		notes.Add(&remark{text, annotations.PromQLInfo})
	}
	return &promql.Result{Value: value, Err: err, Warnings: notes}
}

// remark is a warning or an info.
type remark struct {
	text string
	kind error
}

func (r *remark) Error() string { return r.text }
func (r *remark) Unwrap() error { return r.kind }

// point is [time, value].
type point struct {
	T float64
	V json.RawMessage
}

func (p *point) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &[]any{&p.T, &p.V}) }

func (p *point) ms() int64 { return int64(p.T*1000 + 0.5*sign(p.T)) }

func sign(f float64) float64 {
	if f < 0 {
		return -1
	}
	return 1
}

func (p *point) float() (float64, error) {
	var text string
	if err := json.Unmarshal(p.V, &text); err != nil {
		return 0, err
	}
	return strconv.ParseFloat(text, 64)
}

// row is a series of an answer.
type row struct {
	Metric             map[string]string
	Value, Histogram   *point
	Values, Histograms []point
}

// read makes a value of an answer. What JSON leaves out of native histograms is taken
// from the engine itself, once the rest is seen to be the same.
func (a *asked) read(ctx context.Context, b *body) (parser.Value, error) {
	var one point
	var rows []row
	switch b.Data.ResultType {
	case "scalar", "string":
		if err := json.Unmarshal(b.Data.Result, &one); err != nil {
			return nil, err
		}
	default:
		if err := json.Unmarshal(b.Data.Result, &rows); err != nil {
			return nil, err
		}
	}
	switch b.Data.ResultType {
	case "scalar":
		v, err := one.float()
		return promql.Scalar{T: one.ms(), V: v}, err
	case "string":
		s := promql.String{T: one.ms()}
		return s, json.Unmarshal(one.V, &s.V)
	}
	var direct parser.Value
	for _, r := range rows {
		if (r.Histogram != nil || len(r.Histograms) > 0) && direct == nil {
			q, err := a.direct(ctx)
			if err != nil {
				return nil, err
			}
			res := q.Exec(ctx)
			if res.Err != nil {
				return nil, res.Err
			}
			direct = res.Value
		}
	}
	if b.Data.ResultType == "vector" {
		return vectorOf(rows, direct)
	}
	return matrixOf(rows, direct)
}

func vectorOf(rows []row, direct parser.Value) (parser.Value, error) {
	v := promql.Vector{}
	for i, r := range rows {
		s := promql.Sample{Metric: labels.FromMap(r.Metric)}
		if r.Histogram != nil {
			s.T, s.H = r.Histogram.ms(), direct.(promql.Vector)[i].H
			if err := sameHistogram(r.Histogram.V, s.H); err != nil {
				return nil, err
			}
		} else {
			f, err := r.Value.float()
			if err != nil {
				return nil, err
			}
			s.T, s.F = r.Value.ms(), f
		}
		v = append(v, s)
	}
	return v, nil
}

func matrixOf(rows []row, direct parser.Value) (parser.Value, error) {
	m := promql.Matrix{}
	for i, r := range rows {
		s := promql.Series{Metric: labels.FromMap(r.Metric)}
		for _, p := range r.Values {
			f, err := p.float()
			if err != nil {
				return nil, err
			}
			s.Floats = append(s.Floats, promql.FPoint{T: p.ms(), F: f})
		}
		for j, p := range r.Histograms {
			h := direct.(promql.Matrix)[i].Histograms[j].H
			if err := sameHistogram(p.V, h); err != nil {
				return nil, err
			}
			s.Histograms = append(s.Histograms, promql.HPoint{T: p.ms(), H: h})
		}
		m = append(m, s)
	}
	return m, nil
}

// sameHistogram compares what JSON has of a histogram with it.
func sameHistogram(data []byte, h *histogram.FloatHistogram) error {
	var got struct {
		Count, Sum string
		Buckets    [][4]any
	}
	if err := json.Unmarshal(data, &got); err != nil {
		return fmt.Errorf("%s: %w", data, err)
	}
	text := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	number := func(v any) string {
		f, _ := strconv.ParseFloat(fmt.Sprint(v), 64)
		return text(f)
	}
	have, want := []string{number(got.Count), number(got.Sum)}, []string{text(h.Count), text(h.Sum)}
	for _, b := range got.Buckets {
		have = append(have, fmt.Sprint(b[0]), number(b[1]), number(b[2]), number(b[3]))
	}
	for it := h.AllBucketIterator(); it.Next(); {
		b := it.At()
		if b.Count == 0 {
			continue
		}
		rule := map[[2]bool]string{{false, true}: "0", {true, false}: "1", {false, false}: "2", {true, true}: "3"}[[2]bool{b.LowerInclusive, b.UpperInclusive}]
		want = append(want, rule, text(b.Lower), text(b.Upper), text(b.Count))
	}
	if diff := cmp.Diff(want, have); diff != "" {
		return fmt.Errorf("a histogram is not as JSON has it (-want +got):\n%s", diff)
	}
	return nil
}
