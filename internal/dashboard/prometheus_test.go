package dashboard_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/promqltest"

	"github.com/amoskys/amoskys/internal/dashboard"
	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// withNumbers gives the store metrics: a counter of two hosts for ten minutes from 1970 on.
func withNumbers(t *testing.T, h *fakeHub) {
	t.Helper()
	db := promqltest.LoadedStorage(t, `
load 15s
  flow_bytes_total{agent="flow",host="a"} 0+100x40
  flow_bytes_total{agent="flow",host="b"} 0+200x40
  amoskys_agent_up{agent="flow",host="a"} 1x40
`)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	api, err := promapi.New(promapi.Options{
		Queryable: db, Exemplars: db, Version: "1.2.3", Now: func() time.Time { return time.Unix(600, 0) },
		Families: func() []promapi.Family {
			return []promapi.Family{{Name: "flow_bytes_total", Help: "Bytes.", Type: "counter"}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.numbers.Store(api)
}

// TestGrafana makes every call that Grafana's Prometheus data source makes, as it makes
// them: with the name and the password of a viewer, by GET and by POST.
func TestGrafana(t *testing.T) {
	s := newSite(t)
	withNumbers(t, s.hub)
	const span = "&start=0&end=600"
	for _, call := range []struct{ path, form, want string }{
		{"query", "query=1%2B1&time=600.000", `{"resultType":"scalar","result":[600,"2"]}`}, // Save & test
		{"status/buildinfo", "", `"version":"3.`},
		{"status/flags", "", `"query.timeout"`},
		{"status/config", "", `"yaml"`},
		{"query", "query=flow_bytes_total&time=600", `"value":[600,"4000"]`},
		{"query_range", "query=sum(rate(flow_bytes_total%5B1m%5D))&step=15s&start=300.000&end=600.000", `[300,"20"]`},
		{"query_range", "query=flow_bytes_total&step=15&stats=all" + span, `"totalQueryableSamples"`},
		{"query_exemplars", "query=flow_bytes_total" + span, `"data":[]`},
		{"labels", "limit=40000" + span, `["__name__","agent","host"]`},
		{"labels", "match%5B%5D=flow_bytes_total" + span, `["__name__","agent","host"]`},
		{"label/__name__/values", "limit=40000" + span, `["amoskys_agent_up","flow_bytes_total"]`},
		{"label/host/values", "match%5B%5D=flow_bytes_total%7Bhost!%3D%22a%22%7D" + span, `["b"]`},
		{"series", "match%5B%5D=flow_bytes_total&limit=40000" + span, `{"__name__":"flow_bytes_total","agent":"flow","host":"a"}`},
		{"metadata", "limit=40000", `"flow_bytes_total":[{"type":"counter","help":"Bytes.","unit":""}]`},
		{"rules", "", `{"groups":[]}`},
		{"rules", "type=alert", `{"groups":[]}`},
		{"alerts", "", `{"alerts":[]}`},
		{"targets", "state=active", `"labels":{"agent":"flow","host":"a","job":"amoskys"}`},
		{"format_query", "query=sum(a)", `"data":"sum(a)"`},
		{"parse_query", "query=a", `"type":"vectorSelector"`},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			address, body := s.url+"/prometheus/api/v1/"+call.path, ""
			if method == http.MethodGet {
				address += "?" + call.form
			} else {
				body = call.form
			}
			code, text := s.asGrafana(t, method, address, body, "viewer", testPassword)
			if code != http.StatusOK || !strings.Contains(text, call.want) {
				t.Errorf("%s %s %s: %d %.400s, want %s", method, call.path, call.form, code, text, call.want)
			}
		}
	}
}

// asGrafana sends what Grafana would.
func (s *site) asGrafana(t *testing.T, method, address, body, user, password string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if r.SetBasicAuth(user, password); method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	c := s.client(t).http
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) || answer.Header.Get("Content-Type") != "application/json" || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %s: %v %q", method, address, answer.Header, text)
	}
	return answer.StatusCode, string(text)
}

// TestPrometheusRefusals: whoever is refused is told why, in the shape that clients of
// Prometheus read.
func TestPrometheusRefusals(t *testing.T) {
	s := newSite(t)
	withNumbers(t, s.hub)
	viewer := s.signedIn(t, "viewer")
	for name, c := range map[string]struct {
		method, path, user, password string
		code                         int
		want                         string
	}{
		"nobody":                  {"GET", "labels", "", "", 401, `"errorType":"unauthorized"`},
		"a wrong password":        {"POST", "labels", "viewer", "no", 401, `"error":"wrong name or password"`},
		"a name that is too long": {"GET", "labels", strings.Repeat("a", 65), "no", 401, `"error":"wrong name or password"`},
		"a wrong query":           {"GET", "query?query=sum(", "viewer", testPassword, 400, `"errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"`},
		"what is not there":       {"GET", "admin/tsdb/snapshot", "viewer", testPassword, 404, `"errorType":"not_found"`},
		"another method":          {"DELETE", "labels", "viewer", testPassword, 405, `"errorType":"bad_data"`},
	} {
		if code, text := s.asGrafana(t, c.method, s.url+"/prometheus/api/v1/"+c.path, "", c.user, c.password); code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
	var answer struct{ Status, ErrorType, Error string }
	post := func(change func(*http.Request)) int {
		response := viewer.send("POST", "/prometheus/api/v1/query?query=1", nil, change)
		defer response.Body.Close()
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode
	}
	if code := post(func(r *http.Request) { r.Header.Del("X-CSRF-Token") }); code != http.StatusForbidden || answer.ErrorType != "forbidden" {
		t.Errorf("a cookie without a token against forged requests: %d %+v", code, answer)
	}
	if code := post(func(*http.Request) {}); code != http.StatusOK {
		t.Errorf("a cookie with its token: %d %+v", code, answer)
	}
	s.hub.stop()
	if code, text := s.asGrafana(t, "GET", s.url+"/prometheus/api/v1/labels", "", "viewer", testPassword); code != http.StatusServiceUnavailable {
		t.Errorf("without a store: %d %s", code, text)
	}
}

// TestPasswordIsCheckedOnce: forty panels at once cost one look at the password, and a
// session that has ended is opened anew.
func TestPasswordIsCheckedOnce(t *testing.T) {
	s := newSite(t)
	withNumbers(t, s.hub)
	logins := func() int {
		sessions, err := s.hub.db.AuditTrail(t.Context(), 1<<62, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(sessions)
	}
	c := s.client(t).http
	before := logins()
	var panels sync.WaitGroup
	for range 40 {
		panels.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/prometheus/api/v1/status/buildinfo", http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			r.SetBasicAuth("viewer", testPassword)
			answer, err := c.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
				t.Error(answer.Status, err)
			}
		})
	}
	panels.Wait()
	if n := logins() - before; n != 1 {
		t.Errorf("forty requests made %d records of logins", n)
	}
	viewer, err := s.hub.db.User(t.Context(), "viewer")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.hub.db.SetPassword(t.Context(), "viewer", viewer.PasswordHash, nil); n != 1 || err != nil { // which ends it
		t.Fatalf("%d sessions, %v", n, err)
	}
	before = logins()
	for range 2 {
		if code, text := s.asGrafana(t, "GET", s.url+"/prometheus/api/v1/status/buildinfo", "", "viewer", testPassword); code != http.StatusOK {
			t.Errorf("after the session has ended: %d %s", code, text)
		}
	}
	if n := logins() - before; n != 1 {
		t.Errorf("two requests after the session had ended made %d records of logins", n)
	}
}

// TestLatestReadings: /api/metrics has the hub's own and the readings of agents, those from
// the store, and from the hub while the store has none; and it says which.
func TestLatestReadings(t *testing.T) {
	s := newSite(t)
	c := s.signedIn(t, "viewer")
	ask := func(prefix string) (a dashboard.MetricsAnswer, shown []string) {
		t.Helper()
		if code := c.do("GET", "/api/metrics?prefix="+url.QueryEscape(prefix), nil, &a); code != http.StatusOK {
			t.Fatal(code)
		}
		for _, m := range a.Metrics {
			shown = append(shown, fmt.Sprintf("%s%v %v %s", m.Name, m.Labels, *m.Value, m.Type))
		}
		return a, shown
	}
	a, shown := ask("flow_")
	if a.Source != "hub" || a.Reason == "" || fmt.Sprint(shown) != "[flow_bytes_totalmap[agent:flow host:a] 7 counter]" {
		t.Errorf("without a store: %+v", a)
	}
	withNumbers(t, s.hub)
	a, shown = ask("flow_")
	want := "[flow_bytes_totalmap[agent:flow host:a] 4000 counter flow_bytes_totalmap[agent:flow host:b] 8000 counter]"
	if a.Source != "store" || a.Reason != "" || fmt.Sprint(shown) != want {
		t.Errorf("with a store: %+v", a)
	}
	if a, shown = ask("eventbus_"); a.Source != "store" || len(shown) != 1 || a.Metrics[0].Labels["agent"] != "" {
		t.Errorf("the hub's own: %+v", a)
	}
	if a, shown = ask(""); len(shown) < 4 || !slices.IsSortedFunc(a.Metrics, func(x, y dashboard.Metric) int { return strings.Compare(x.Name, y.Name) }) {
		t.Errorf("all: %v", shown)
	}
	for _, odd := range []string{`a"}b`, "a\\", "(", "ö"} {
		if a, shown = ask(odd); a.Source != "store" || len(shown) > 0 {
			t.Errorf("%q: %+v", odd, a)
		}
	}
}

// TestPromtool has the real promtool ask.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool (Debian's package prometheus) is not installed")
	}
	s := newSite(t)
	withNumbers(t, s.hub)
	address := url.URL{Scheme: "http", User: url.UserPassword("viewer", testPassword), Host: strings.TrimPrefix(s.url, "http://"), Path: "/prometheus"}
	at := address.String() // Debian's has no --http.config.file yet
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"instant", "--time=600", at, "sum(flow_bytes_total)"}, "{} => 12000 @[600]"},
		{[]string{"range", "--start=0", "--end=30", "--step=15s", at, "sum(flow_bytes_total)"}, "600 @[30]"},
		{[]string{"series", "--match=flow_bytes_total", "--start=0", "--end=600", at}, `host="b"`},
		{[]string{"labels", "--start=0", "--end=600", at, "host"}, "a\nb"},
	} {
		out, err := exec.CommandContext(t.Context(), promtool, append([]string{"query"}, c.args...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("promtool query %s: %v\n%s", c.args, err, out)
		}
	}
}
