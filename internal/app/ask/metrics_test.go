package ask_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/promqltest"

	"github.com/amoskys/amoskys/internal/app/ask"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/metrics/promapi"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store"
)

// newMetricsSite is a home with a store that has metrics of ten minutes from 1970 on, and
// nothing else.
func newMetricsSite(t *testing.T) (home config.Home, addr string) {
	t.Helper()
	home = config.Home(t.TempDir())
	if err := home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(home.Certs(), identity.LayoutOptions{Host: "web-1", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	db := promqltest.LoadedStorage(t, `
load 15s
  flow_bytes_total{host="b"} 0+200x40
  flow_bytes_total{host="a"} 0+100x40
  odd NaN
`)
	api, err := promapi.New(promapi.Options{Queryable: db})
	if err != nil {
		t.Fatal(err)
	}
	cfg := store.DefaultConfig()
	cfg.Server.Host, cfg.Server.Port, cfg.Metrics.Enabled = "127.0.0.1", 0, false
	server, err := store.New(store.Options{
		Config: cfg, Home: home, Logger: obs.Discard(), Registry: obs.NewRegistry(), Query: pb.UnimplementedQueryServer{},
		Memory: limit.NewBudget(1<<20, 1<<20), Metrics: promapi.NewService(api),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, db.Close()); err != nil {
			t.Error(err)
		}
	})
	return home, strings.Replace(server.Addr().String(), "127.0.0.1", "localhost", 1)
}

// TestMetrics asks a store for metrics over gRPC and mTLS, as amoskys query --metrics does.
func TestMetrics(t *testing.T) {
	home, addr := newMetricsSite(t)
	for name, c := range map[string]struct {
		o            ask.MetricsOptions
		stdout, want string // want: in the error
		usage        bool
	}{
		"a number":     {ask.MetricsOptions{Query: "6*7"}, "42\n", "", false},
		"a moment":     {ask.MetricsOptions{Query: "flow_bytes_total", Until: "1970-01-01T00:10:00Z"}, "METRIC            HOST  VALUE\nflow_bytes_total  a      4000\nflow_bytes_total  b      8000\n", "", false},
		"in its order": {ask.MetricsOptions{Query: "topk(1, flow_bytes_total)", Until: "1970-01-01T00:10:00Z"}, "METRIC            HOST  VALUE\nflow_bytes_total  b      8000\n", "", false},
		"JSON": {
			ask.MetricsOptions{Query: `flow_bytes_total{host="a"}`, Until: "1970-01-01T00:10:00Z", JSON: true},
			`{"metric":{"__name__":"flow_bytes_total","host":"a"},"value":[600,"4000"]}` + "\n", "", false,
		},
		"JSON of a number": {ask.MetricsOptions{Query: "1/0", Until: "1970-01-01T00:10:00Z", JSON: true}, `{"metric":{},"value":[600,"+Inf"]}` + "\n", "", false},
		"JSON of a range": {
			ask.MetricsOptions{Query: `sum(flow_bytes_total)`, Since: "1970-01-01T00:00:00Z", Until: "1970-01-01T00:00:30Z", Range: true, Step: "15s", JSON: true},
			`{"metric":{},"values":[[0,"0"],[15,"300"],[30,"600"]]}` + "\n", "", false,
		},
		"a range": {
			ask.MetricsOptions{Query: `sum by (host) (flow_bytes_total)`, Since: "1970-01-01T00:00:00Z", Until: "1970-01-01T00:10:00Z", Range: true},
			"HOST  VALUES                                    LEAST  MOST  LAST\n" +
				"a     ▁▁▁▂▂▂▂▂▂▃▃▃▃▃▃▄▄▄▄▄▄▅▅▅▅▅▅▆▆▆▆▆▆▇▇▇▇▇██      0  4000  4000\n", "", false,
		},
		"a query that is wrong": {ask.MetricsOptions{Query: "sum(a"}, "", "query: 1:6: parse error: unclosed left parenthesis\n  sum(a\n       ^", true},
		"a step that is none":   {ask.MetricsOptions{Query: "a", Since: "1h", Range: true, Step: "x"}, "", "--step is a duration", true},
		"all of time":           {ask.MetricsOptions{Query: "a", Since: "all", Range: true}, "", "--since says from when on", true},
		"too many points":       {ask.MetricsOptions{Query: "a", Since: "400d", Range: true, Step: "15s"}, "", "make it 52m22s or longer", true},
		"what cannot be answered": {
			ask.MetricsOptions{Query: "flow_bytes_total * on () flow_bytes_total", Until: "1970-01-01T00:10:00Z"},
			"",
			"the store could not answer: found duplicate series", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			e := &cli.Env{Stdout: &out, Stderr: &errs, Home: home, Now: now, Logger: obs.Discard(), Lookup: func(string) (string, bool) { return "", false }}
			c.o.Store = addr
			err := ask.Metrics(t.Context(), e, c.o)
			_, usage := errors.AsType[*cli.UsageError](err)
			switch {
			case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || usage != c.usage):
				t.Errorf("error %v, usage %t", err, usage)
			case name == "a range":
				if first, _, _ := strings.Cut(out.String(), "\nb "); !strings.HasPrefix(first, "HOST  VALUES") || !strings.Contains(first, "▁") || !strings.Contains(first, "█") {
					t.Errorf("%s", out.String())
				}
			case out.String() != c.stdout:
				t.Errorf("%q\nwant\n%q", out.String(), c.stdout)
			}
		})
	}
}
