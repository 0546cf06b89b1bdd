package promapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/promqltest"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// samples are two agents with a counter and a gauge for ten minutes, and what is hard to
// write in JSON.
const samples = `
load 15s
  flow_bytes_total{agent="flow",host="a"} 0+100x40
  flow_bytes_total{agent="flow",host="b"} 0+200x40
  process_cpu_percent{agent="proc",host="a",process="sh \"x\"<é>"} 1.5x40
  amoskys_agent_up{agent="flow",host="a"} 1x40
  amoskys_agent_up{agent="flow",host="b"} 1x4
  odd{which="nan"} NaN
  odd{which="inf"} Inf
  odd{which="minus"} -Inf
  odd{which="tiny"} 1e-9
  rpc{host="a"} {{schema:1 sum:5 count:4 buckets:[1 2 1]}}x40
`

// families describe some of them.
func families() []promapi.Family {
	return []promapi.Family{
		{Name: "flow_bytes_total", Help: "Bytes of flows.", Unit: "bytes", Type: "counter"},
		{Name: "process_cpu_percent", Help: "CPU of a process.", Type: "gauge"},
	}
}

// newAPI returns an API over samples, which lie at 1970 as Prometheus' own tests do.
func newAPI(t testing.TB, more func(*promapi.Options)) *promapi.API {
	t.Helper()
	db := promqltest.LoadedStorage(t, samples)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	o := promapi.Options{
		Queryable: db, Exemplars: db, Families: families, Version: "test",
		Settings: map[string]string{"storage.tsdb.retention.time": "400d"}, Config: "tsdb: {}\n",
		Now: func() time.Time { return time.Unix(600, 0) },
	}
	if more != nil {
		more(&o)
	}
	return mustAPI(t, o)
}

func mustAPI(t testing.TB, o promapi.Options) *promapi.API {
	t.Helper()
	api, err := promapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// ask asks by GET.
func ask(t testing.TB, h http.Handler, path string, params ...string) (int, string) {
	t.Helper()
	return send(t, h, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/"+path+"?"+form(params).Encode(), nil))
}

// post asks by POST.
func post(t testing.TB, h http.Handler, path string, params ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/"+path, strings.NewReader(form(params).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return send(t, h, r)
}

func form(params []string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		v.Add(params[i], params[i+1])
	}
	return v
}

func send(t testing.TB, h http.Handler, r *http.Request) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) {
		t.Errorf("%s %s: no JSON: %q", r.Method, r.URL, text)
	}
	return w.Code, strings.TrimSpace(string(text))
}

// withCaller is an API that is asked by somebody.
type withCaller struct{ http.Handler }

func (w withCaller) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.Handler.ServeHTTP(out, r.WithContext(context.WithValue(r.Context(), callerKey{}, "x")))
}
