package promapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// TestHostileQueries: whatever is asked gets an answer soon, in bounded memory.
func TestHostileQueries(t *testing.T) {
	api := newAPI(t, func(o *promapi.Options) {
		o.Limits = promapi.Limits{Timeout: 5 * time.Second, Samples: 1000, Series: 8, AnswerBytes: 20_000}
	})
	deep := func(open, inside, end string, n int) string {
		return strings.Repeat(open, n) + inside + strings.Repeat(end, n)
	}
	for name, c := range map[string]struct {
		query string
		code  int
		want  string
	}{
		"brackets":              {deep("(", "1", ")", 15_000), 400, `1:501: parse error: the query is nested deeper than 500 levels`},
		"brackets left open":    {strings.Repeat("(", 30_000), 400, `nested deeper`},
		"signs":                 {deep("-", "vector(1)", "", 60_000), 400, `more than 2000 operators`},
		"a sum of much":         {deep("1+", "1", "", 15_000), 400, `more than 2000 operators`},
		"a choice of much":      {deep("a or ", "a", "", 10_000), 400, `more than 2000 operators`},
		"operators in a text":   {`{a="` + deep("-", "", "", 3000) + `"}`, 200, `"result":[]`},
		"deep and few":          {deep("1+", "1", "", 700), 400, `nested deeper`},
		"too long":              {deep(" ", "1", " ", 40_000), 400, `at most 64 are taken`},
		"no text":               {"\xff", 400, `no UTF-8 text`},
		"subqueries of a ms":    {`max_over_time(vector(1)[100y:1ms])`, 422, `the subqueries have 3.15e+12 steps together`},
		"subqueries reckoned":   {`max_over_time(vector(1)[100y-1y:1ms])`, 422, `the subqueries have`},
		"subqueries in those":   {`max_over_time(max_over_time(flow_bytes_total[10m:1s])[10m:1s])`, 422, `too many samples`},
		"too many series":       {`{__name__=~".+"} or {__name__=~".+"} or {__name__=~".+"}`, 422, `"errorType":"cost_limit"`},
		"a long answer":         {`"` + deep("a", "", "", 30_000) + `"`, 422, `"errorType":"execution","error":"the answer would have`},
		"a long label":          {`label_replace(vector(1), "x", "` + deep("a", "", "", 30_000) + `", "", "")`, 400, `label_replace may make labels of more than 8 KiB`},
		"labels that double":    {deep("label_replace(", `odd`, `, "which", "$1${1}", "which", "(.*)")`, 40), 400, `label_replace may make labels`},
		"labels that are twice": {deep("label_join(", `odd`, `, "which", "", "which", "which")`, 40), 400, `label_join may make labels`},
		"many long labels":      {longLabels(12, 3000), 400, `or of 32 together`},
		"longer labels":         {deep("label_replace(", `flow_bytes_total{host="a"}`, `, "host", "$1-$1", "host", "(.*)")`, 4), 200, `"host":"a-a-a-a-a-a-a-a-a-`},
		"an expression of much": {`{__name__=~"` + deep("(.*)*", "", "", 900) + `b"}`, 200, `"result":[]`},
		"a huge repetition":     {`{__name__=~"(a{1000}){1000}"}`, 400, `invalid repeat count`},
		"an overflow":           {`flow_bytes_total offset 290y @ 9e12`, 200, `"result":[]`},
		"a time that is none":   {`flow_bytes_total @ NaN`, 400, `bad_data`},
	} {
		t.Run(name, func(t *testing.T) {
			if code, got := post(t, api, "query", "query", c.query); code != c.code || !strings.Contains(got, c.want) {
				t.Errorf("%d %.300s, want %d with %s", code, got, c.code, c.want)
			}
			post(t, api, "query_range", "query", c.query, "start", "-9e15", "end", "9e15", "step", "100000000y")
			post(t, api, "query_range", "query", c.query, "start", "9e15", "end", "9e15", "step", "1ms")
			post(t, api, "parse_query", "query", c.query)
			post(t, api, "format_query", "query", c.query)
			post(t, api, "query_exemplars", "query", c.query)
		})
	}
	many := make([]string, 0, 200)
	for range 100 {
		many = append(many, "match[]", "odd")
	}
	if code, got := post(t, api, "series", many...); code != 400 || !strings.Contains(got, "at most 64") {
		t.Errorf("a hundred selectors: %d %s", code, got)
	}
	if code, got := post(t, api, "query", "query", strings.Repeat("a", 110<<10)); code != 400 {
		t.Errorf("a long body: %d %s", code, got)
	}
	if code, got := ask(t, api, "query", "query", strings.Repeat("a", 110<<10)); code != 400 {
		t.Errorf("a long address: %d %s", code, got)
	}
}

// longLabels makes so many labels of so many bytes.
func longLabels(n, bytes int) string {
	text := "vector(1)"
	for i := range n {
		text = fmt.Sprintf("label_replace(%s, \"l%d\", \"%s\", \"\", \"\")", text, i, strings.Repeat("a", bytes))
	}
	return text
}

// TestLongLabels: of a question that makes long labels fewer series may be touched.
func TestLongLabels(t *testing.T) {
	var load strings.Builder
	load.WriteString("load 1m\n")
	for i := range 100 {
		fmt.Fprintf(&load, "  many{n=\"%d\"} 1\n", i)
	}
	db := promqltest.LoadedStorage(t, load.String())
	defer func() { _ = db.Close() }()
	api := mustAPI(t, promapi.Options{Queryable: db, Limits: promapi.Limits{Series: 90}})
	long := `label_replace(many, "x", "` + strings.Repeat("a", 8000) + `", "", "")`
	if code, got := ask(t, api, "query", "query", long, "time", "0"); code != 422 || !strings.Contains(got, "touches more than 90 series") {
		t.Errorf("%d %.200s", code, got)
	}
}

// TestMemoryOfQuestions: one for which the engine makes room without counting it ends, and
// those that come then are answered.
func TestMemoryOfQuestions(t *testing.T) {
	api := newAPI(t, func(o *promapi.Options) { o.Limits.Memory = 64 << 20 })
	for range 2 { // what pools have of other tests goes with the second
		runtime.GC()
	}
	code, got := post(t, api, "query_range", "query", `count_values("v", vector(time()))`, "start", "0", "end", "10999", "step", "1")
	if code != 422 || !strings.Contains(got, `"errorType":"cost_limit"`) || !strings.Contains(got, "too much memory together, more than 64 MiB") {
		t.Errorf("%d %.200s", code, got)
	}
	runtime.GC()
	if code, got := ask(t, api, "query", "query", "vector(1)"); code != 200 {
		t.Errorf("%d %s", code, got)
	}
}

// TestMemoryOfAnswers: what is not read yet is bounded.
func TestMemoryOfAnswers(t *testing.T) {
	memory := limit.NewBudget(1000, 1000)
	api := newAPI(t, func(o *promapi.Options) { o.Memory = memory })
	if code, got := ask(t, api, "query", "query", "vector(1)"); code != 200 || memory.Taken() != 0 {
		t.Errorf("%d %s, %d bytes taken", code, got, memory.Taken())
	}
	if err := memory.Take("another", 990); err != nil {
		t.Fatal(err)
	}
	if code, got := ask(t, api, "query", "query", "vector(1)"); code != 429 || !strings.Contains(got, `"errorType":"too_many_requests"`) || memory.Taken() != 990 {
		t.Errorf("%d %s, %d bytes taken", code, got, memory.Taken())
	}
}

// slow is a database that answers when somebody gives up.
type slow struct{ asked chan string }

// Querier implements storage.Queryable.
func (s slow) Querier(int64, int64) (storage.Querier, error) {
	return slowQuerier{storage.NoopQuerier(), s}, nil
}

type slowQuerier struct {
	storage.Querier

	slow
}

func (q slowQuerier) Select(ctx context.Context, _ bool, _ *storage.SelectHints, m ...*labels.Matcher) storage.SeriesSet {
	q.asked <- m[0].Value
	<-ctx.Done()
	return storage.ErrSeriesSet(ctx.Err())
}

func (q slowQuerier) LabelNames(ctx context.Context, _ *storage.LabelHints, _ ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	q.asked <- "names"
	<-ctx.Done()
	return nil, nil, ctx.Err()
}

// TestTimeAndLeaving: a question ends after its time or when its client leaves, and says
// which.
func TestTimeAndLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := slow{make(chan string, 10)}
		api := mustAPI(t, promapi.Options{Queryable: db, Limits: promapi.Limits{Timeout: time.Hour}})
		for _, path := range []string{"query", "labels", "series"} {
			began := time.Now()
			code, got := ask(t, api, path, "query", "a", "match[]", "a", "timeout", "3s")
			if code != 503 || !strings.Contains(got, `"errorType":"timeout"`) || time.Since(began) != 3*time.Second {
				t.Errorf("%s: %d %s after %s", path, code, got, time.Since(began))
			}
			ctx, cancel := context.WithCancel(t.Context())
			r := httptest.NewRequestWithContext(ctx, "GET", "/api/v1/"+path+"?query=a&match[]=a", nil)
			time.AfterFunc(time.Second, cancel)
			if code, got := send(t, api, r); code != 499 || !strings.Contains(got, `"errorType":"canceled"`) {
				t.Errorf("%s: %d %s", path, code, got)
			}
		}
	})
}

type callerKey struct{}

// TestTurns: so many run at once, fewer of one caller; others wait in their order, and
// who comes when too many wait is refused.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := slow{make(chan string, 100)}
		api := mustAPI(t, promapi.Options{
			Queryable: db, Limits: promapi.Limits{Timeout: time.Hour, Running: 3, RunningOfOne: 2, Waiting: 4, WaitingOfOne: 3},
			Caller: func(ctx context.Context) string { return ctx.Value(callerKey{}).(string) },
		})
		var all sync.WaitGroup
		leave := map[string]context.CancelFunc{}
		codes := sync.Map{}
		begin := func(caller, query string) {
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), callerKey{}, caller))
			leave[query] = cancel
			all.Go(func() {
				code, _ := send(t, api, httptest.NewRequestWithContext(ctx, "GET", "/api/v1/query?query="+query, nil))
				codes.Store(query, code)
			})
			synctest.Wait()
		}
		running := func(want ...string) {
			t.Helper()
			synctest.Wait()
			for _, w := range want {
				select {
				case got := <-db.asked:
					if got != w {
						t.Errorf("%s runs, want %s", got, w)
					}
				default:
					t.Errorf("nothing runs, want %s", w)
				}
			}
			if len(db.asked) > 0 {
				t.Errorf("%s runs too", <-db.asked)
			}
		}
		begin("ada", "a1")
		begin("ada", "a2")
		begin("ada", "a3")
		running("a1", "a2")
		begin("bob", "b1")
		running("b1")
		begin("bob", "b2")
		begin("ada", "a4")
		begin("ada", "a5")
		begin("ada", "a6") // a fourth of hers that would wait
		begin("eve", "e1") // a fifth of all
		for _, q := range []string{"a6", "e1"} {
			if code, _ := codes.Load(q); code != 429 {
				t.Errorf("%s: %v", q, code)
			}
		}
		running()
		leave["b1"]()
		running("b2")
		leave["a4"]() // while it waits
		leave["a1"]()
		running("a3")
		leave["a2"]()
		running("a5")
		for _, end := range leave {
			end()
		}
		all.Wait()
		if code, got := ask(t, withCaller{api}, "status/buildinfo"); code != 200 {
			t.Errorf("%d %s", code, got)
		}
	})
}

// opening is a database that is not open yet, or never will be.
type opening struct{ err error }

// Querier implements storage.Queryable.
func (o opening) Querier(int64, int64) (storage.Querier, error) { return nil, o.err }

// TestDatabaseAway: a database that is being opened is no fault of the question.
func TestDatabaseAway(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		want string
	}{{tsdb.ErrNotReady, 503, `"errorType":"unavailable"`}, {errors.New("disk on fire"), 422, `"errorType":"execution"`}} {
		api := mustAPI(t, promapi.Options{Queryable: opening{c.err}})
		if code, got := ask(t, api, "query", "query", "a"); code != c.code || !strings.Contains(got, c.want) {
			t.Errorf("%d %s", code, got)
		}
	}
	api := mustAPI(t, promapi.Options{Queryable: opening{tsdb.ErrNotReady}})
	for _, path := range []string{"labels", "label/a/values", "series", "targets"} {
		if code, got := ask(t, api, path, "match[]", "a"); code != 503 {
			t.Errorf("%s: %d %s", path, code, got)
		}
	}
}
