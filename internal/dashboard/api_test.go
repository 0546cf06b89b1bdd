package dashboard_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dashboard"
)

var update = flag.Bool("update", false, "write docs/openapi.json")

func TestOpenAPIIsFresh(t *testing.T) {
	got, err := dashboard.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "docs", "openapi.json")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/openapi.json is stale; run go test ./internal/dashboard -run OpenAPI -update\n%s", diff)
	}
	s := newSite(t)
	var served map[string]any
	if code := s.client(t).do("GET", "/api/openapi.json", nil, &served); code != 200 || served["openapi"] != "3.1.0" {
		t.Errorf("served: %d, %v", code, served["openapi"])
	}
}

func TestConfigTemplateIsTheDefault(t *testing.T) {
	var got dashboard.Config
	if err := config.Decode("dashboard_config.yaml", dashboard.ConfigTemplate(), &got, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dashboard.DefaultConfig(), got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigFaults(t *testing.T) {
	bad := dashboard.DefaultConfig()
	bad.Server.Port = 70000
	bad.Server.TrustedProxies = []string{"10.0.0.1"}
	bad.Server.AllowedOrigins = []string{"https://x"}
	bad.TLS.Enabled = true
	bad.Hub.Port = 0
	bad.Grafana.URL = "ftp://grafana"
	bad.Logging.Level = "LOUD"
	check := config.NewCheck()
	bad.Validate(check)
	var keys []string
	for _, f := range check.Faults() {
		keys = append(keys, f.Key)
	}
	want := []string{"server.port", "server.trusted_proxies[0]", "server.allowed_origins[0]", "tls.cert_file", "tls.key_file", "hub.port", "grafana.url", "logging.level"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Error(diff)
	}
}

func TestLoginSessionLogout(t *testing.T) {
	s := newSite(t)
	c := s.client(t)
	if code := c.do("GET", "/api/session", nil, nil); code != 401 {
		t.Errorf("session before login: %d", code)
	}
	if code := c.do("POST", "/api/login", map[string]string{"username": "admin", "password": "wrong"}, nil); code != 401 {
		t.Errorf("wrong password: %d", code)
	}
	response := c.send("POST", "/api/login", map[string]string{"username": "admin", "password": testPassword})
	response.Body.Close()
	cookie := response.Cookies()[0]
	if cookie.Name != "amoskys_session" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure || cookie.Path != "/" || cookie.MaxAge <= 0 {
		t.Errorf("cookie %+v", cookie)
	}
	var session dashboard.Session
	if code := c.do("GET", "/api/session", nil, &session); code != 200 {
		t.Fatalf("session: %d", code)
	}
	if session.User != (dashboard.User{Name: "admin", Role: "admin"}) || session.CSRFToken == "" || session.Version != "1.2.3" || !session.ExpiresAt.After(time.Now()) {
		t.Errorf("session %+v", session)
	}
	if code := c.do("POST", "/api/logout", nil, nil); code != 403 {
		t.Errorf("logout without CSRF token: %d", code)
	}
	c.csrf = session.CSRFToken
	response = c.send("POST", "/api/logout", nil)
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent || response.Cookies()[0].MaxAge >= 0 {
		t.Errorf("logout: %d, %v", response.StatusCode, response.Cookies())
	}
	c.http.Jar.SetCookies(must(url.Parse(s.url)), []*http.Cookie{cookie})
	if code := c.do("GET", "/api/session", nil, nil); code != 401 {
		t.Errorf("session after logout: %d", code)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestLoginIsLimited(t *testing.T) {
	s := newSite(t)
	c := s.client(t)
	for range 5 {
		if code := c.do("POST", "/api/login", map[string]string{"username": "admin", "password": "wrong"}, nil); code != 401 {
			t.Fatalf("early try: %d", code)
		}
	}
	response := c.send("POST", "/api/login", map[string]string{"username": "admin", "password": testPassword})
	response.Body.Close()
	if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") == "" || response.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("sixth try: %d %v", response.StatusCode, response.Header)
	}
	if code := c.do("POST", "/api/login", map[string]string{"username": "viewer", "password": testPassword}, nil); code != 200 {
		t.Errorf("another name: %d", code)
	}
}

func TestPasswordChange(t *testing.T) {
	s := newSite(t)
	c, other := s.signedIn(t, "viewer"), s.signedIn(t, "viewer")
	var p dashboard.Problem
	if code := c.do("POST", "/api/password", map[string]string{"old_password": testPassword, "new_password": "short"}, &p); code != 400 || !strings.Contains(p.Detail, "12 characters") {
		t.Errorf("short password: %d %q", code, p.Detail)
	}
	if code := c.do("POST", "/api/password", map[string]string{"old_password": "wrong", "new_password": "another long password"}, nil); code != 403 {
		t.Errorf("wrong old password: %d", code)
	}
	if code := c.do("POST", "/api/password", map[string]string{"old_password": testPassword, "new_password": "another long password"}, nil); code != 204 {
		t.Errorf("change: %d", code)
	}
	if code := c.do("GET", "/api/session", nil, nil); code != 200 {
		t.Errorf("own session afterwards: %d", code)
	}
	if code := other.do("GET", "/api/session", nil, nil); code != 401 {
		t.Errorf("other session afterwards: %d", code)
	}
}

func TestCSRFAndCrossOrigin(t *testing.T) {
	s := newSite(t)
	s.hub.node(t, "h1")
	c := s.signedIn(t, "admin")
	right := c.csrf
	for name, tc := range map[string]struct {
		csrf   string
		change func(*http.Request)
		want   int
	}{
		"right":      {right, func(*http.Request) {}, 200},
		"none":       {"", func(*http.Request) {}, 403},
		"wrong":      {"." + right[1:], func(*http.Request) {}, 403}, // no token has a dot
		"cross site": {right, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"origin":     {right, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		"own origin": {right, func(r *http.Request) { r.Header.Set("Origin", s.url) }, 200},
	} {
		c.csrf = tc.csrf
		if name == "right" {
			eventually(t, "the agent is known", func() bool { return c.do("GET", "/api/agents/proc_agent/logs?lines=1", nil, nil) == 200 })
		}
		response := c.send("POST", "/api/agents/proc_agent/start", nil, tc.change)
		response.Body.Close()
		if response.StatusCode != tc.want {
			t.Errorf("%s: %d, want %d", name, response.StatusCode, tc.want)
		}
	}
}

func TestAgents(t *testing.T) {
	s := newSite(t)
	disconnect := s.hub.node(t, "h1")
	s.hub.node(t, "h2")
	c := s.signedIn(t, "admin")
	var status dashboard.AgentsStatus
	eventually(t, "two agents", func() bool {
		return c.do("GET", "/api/agents/status", nil, &status) == 200 && len(status.Agents) == 2
	})
	if a := status.Agents[0]; a.Host != "h1" || a.State != "running" || a.Health != "green" || a.PID != 42 || !a.NodeConnected {
		t.Errorf("agent %+v", a)
	}
	connected := func(host string) dashboard.Node {
		return dashboard.Node{ID: "node-" + host, Host: host, Connected: true, Version: "1", State: "connected", Health: "green", Agents: 1}
	}
	if diff := cmp.Diff([]dashboard.Node{connected("h1"), connected("h2")}, status.Nodes); diff != "" {
		t.Error(diff)
	}
	var p dashboard.Problem
	if code := c.do("POST", "/api/agents/proc_agent/stop", nil, &p); code != 409 || !strings.Contains(p.Detail, "h1, h2") {
		t.Errorf("ambiguous: %d %q", code, p.Detail)
	}
	var answer dashboard.AgentAnswer
	if code := c.do("POST", "/api/agents/proc_agent/stop?host=h1", nil, &answer); code != 200 || answer.Agent.State != "stopped" || answer.Agent.Health != "red" {
		t.Errorf("stop: %d %+v", code, answer.Agent)
	}
	if code := c.do("POST", "/api/agents/proc_agent/restart?host=h1", nil, &p); code != 502 || !strings.Contains(p.Detail, "configuration has a fault") {
		t.Errorf("refused by the node: %d %q", code, p.Detail)
	}
	var logs dashboard.AgentLogs
	if code := c.do("GET", "/api/agents/proc_agent/logs?host=h2&lines=7", nil, &logs); code != 200 || len(logs.Lines) != 7 {
		t.Errorf("logs: %d, %d lines", code, len(logs.Lines))
	}
	if code := c.do("POST", "/api/agents/none/start", nil, nil); code != 404 {
		t.Errorf("unknown: %d", code)
	}
	disconnect()
	eventually(t, "the agent is unknown", func() bool {
		c.do("GET", "/api/agents/status?host=h1", nil, &status)
		return status.Agents[0].State == "unknown"
	})
	if code := c.do("POST", "/api/agents/proc_agent/start?host=h1", nil, &p); code != 503 || !strings.Contains(p.Detail, "not connected") {
		t.Errorf("node gone: %d %q", code, p.Detail)
	}
	trail, err := s.hub.db.AuditTrail(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if n := status.Nodes[0]; n.Connected || n.State != "reconnecting" || n.Health != "unknown" || n.LastSeenAt == nil || n.Detail == "" {
		t.Errorf("node gone: %+v", n)
	}
	if a := trail[0]; a.Actor != "admin" || a.Operation != "agent.start" || a.Target != "h1/proc_agent" || a.Success {
		t.Errorf("audited %+v", a)
	}
	var gone dashboard.Forgotten
	if code := c.do("POST", "/api/hosts/h1/forget", nil, &gone); code != 200 || gone.Agents != 1 {
		t.Errorf("forget: %d %+v", code, gone)
	}
	if code := c.do("POST", "/api/hosts/h2/forget", nil, &p); code != 409 || !strings.Contains(p.Detail, "is connected: stop its node first") {
		t.Errorf("forget one that is connected: %d %q", code, p.Detail)
	}
	if code := c.do("POST", "/api/hosts/h1/forget", nil, nil); code != 404 {
		t.Errorf("forget again: %d", code)
	}
	if c.do("GET", "/api/agents/status", nil, &status); len(status.Agents) != 1 || len(status.Nodes) != 1 {
		t.Errorf("left: %+v", status)
	}
}

func TestEvents(t *testing.T) {
	s := newSite(t)
	s.hub.bus.publish(append(samples("nginx", 30), samples("postgres", 20)...)...)
	c := s.signedIn(t, "viewer")
	var found dashboard.EventsAnswer
	q := "/api/events?query=nginx&since=15m&limit=20&histogram=30&facets=type,host,process.name"
	if code := c.do("GET", q, nil, &found); code != 200 {
		t.Fatalf("search: %d", code)
	}
	if found.Total != 30 || len(found.Events) != 20 || found.NextBefore == nil || *found.NextBefore != 10 || found.Histogram == nil || len(found.Facets) != 3 {
		t.Errorf("total %d, %d events, next %v", found.Total, len(found.Events), found.NextBefore)
	}
	e := found.Events[0]
	if e.Offset != 29 || e.Type != "process.sample" || e.Host != "h1" || e.Severity != "informational" || e.Message == "" || e.Fields["process.name"] != "nginx" {
		t.Errorf("event %+v", e)
	}
	if code := c.do("GET", q+"&before=10", nil, &found); code != 200 || len(found.Events) != 10 || found.NextBefore != nil {
		t.Errorf("last page: %d, %d events, next %v", code, len(found.Events), found.NextBefore)
	}
	var one dashboard.EventAnswer
	if code := c.do("GET", "/api/events/5?neighbours=3", nil, &one); code != 200 {
		t.Fatalf("event: %d", code)
	}
	if one.Event.Offset != 5 || len(one.Before) != 3 || len(one.After) != 3 || one.Raw["type"] != "process.sample" || len(one.Related) != 1 {
		t.Errorf("event %d, %d before, %d after, %d related, raw %v", one.Event.Offset, len(one.Before), len(one.After), len(one.Related), one.Raw)
	}
	var p dashboard.Problem
	if code := c.do("GET", "/api/events?query="+url.QueryEscape("«ö» process.nme:x"), nil, &p); code != 400 || p.QueryPosition == nil || *p.QueryPosition != 4 {
		t.Errorf("bad query: %d %+v", code, p)
	}
	for _, bad := range []string{"since=yesterday", "until=-5m", "facets=no.such"} {
		if code := c.do("GET", "/api/events?"+bad, nil, nil); code != 400 {
			t.Errorf("%s: %d", bad, code)
		}
	}
	for _, bad := range []string{"limit=0", "limit=x", "histogram=501", "before=-1"} {
		if code := c.do("GET", "/api/events?"+bad, nil, nil); code != 422 {
			t.Errorf("%s: %d", bad, code)
		}
	}
	if code := c.do("GET", "/api/events/99999", nil, nil); code != 404 {
		t.Errorf("unknown offset: %d", code)
	}
	var fields dashboard.FieldsAnswer
	if code := c.do("GET", "/api/fields", nil, &fields); code != 200 || len(fields.Fields) < 50 {
		t.Errorf("fields: %d, %d", code, len(fields.Fields))
	}
}

// TestEventThatTheStoreLeftOut: a reading that live pages show is read from the log, and
// nothing else is.
func TestEventThatTheStoreLeftOut(t *testing.T) {
	s := newSite(t)
	events := samples("nginx", 4)
	events[1].MetricsOnly = true
	s.hub.bus.publish(events...)
	c := s.signedIn(t, "viewer")
	for offset, fromLog := range []bool{false, true, false} {
		var one dashboard.EventAnswer
		code := c.do("GET", fmt.Sprintf("/api/events/%d", offset), nil, &one)
		if code != 200 || one.Event.Offset != uint64(offset) || one.FromLog != fromLog || one.Event.Fields["process.name"] != "nginx" {
			t.Errorf("event %d: %d, %+v", offset, code, one)
		}
	}
}

func TestOverviewSeriesMetrics(t *testing.T) {
	s := newSite(t)
	s.hub.node(t, "h1")
	s.hub.bus.publish(samples("nginx", 30)...)
	c := s.signedIn(t, "viewer")
	var o dashboard.Overview
	eventually(t, "the agent is counted", func() bool { return c.do("GET", "/api/overview", nil, &o) == 200 && o.Agents.Green == 1 })
	if o.Status.State != "ok" || o.Log.NextOffset != 30 || o.Store.Events != 30 || len(o.Recent) != 20 {
		t.Errorf("overview %+v", o.OverviewStatus)
	}
	if p := o.Top.Processes; len(p) != 10 || p[0].PID != 30 || p[0].Name != "nginx" {
		t.Errorf("top processes %+v", p)
	}
	if diff := cmp.Diff([]dashboard.TypeCount{{Type: "process.sample", Count: 30}}, o.Top.Types); diff != "" {
		t.Error(diff)
	}
	var series dashboard.SeriesAnswer
	eventually(t, "the second is over", func() bool {
		return c.do("GET", "/api/series?names=events_per_second,queue_depth&since=1m&step=1s", nil, &series) == 200 && len(series.Series) == 2
	})
	if one := series.Series[0]; series.StepSeconds != 1 || one.Name != "events_per_second" || one.Labels["type"] != "process.sample" || one.Unit != "1/s" {
		t.Errorf("series %+v", one)
	}
	if code := c.do("GET", "/api/series?names=x&step=soon", nil, nil); code != 400 {
		t.Errorf("bad step: %d", code)
	}
	if code := c.do("GET", "/api/series?names=x&since=24h&step=1ms", nil, nil); code != 400 {
		t.Errorf("too many points: %d", code)
	}
	var metrics dashboard.MetricsAnswer
	if code := c.do("GET", "/api/metrics?prefix=eventbus_", nil, &metrics); code != 200 || len(metrics.Metrics) != 1 || *metrics.Metrics[0].Value != 3 {
		t.Errorf("metrics: %d %+v", code, metrics)
	}
}

func TestHubUnreachable(t *testing.T) {
	h := newHub(t)
	s := newSiteOver(t, h)
	c := s.signedIn(t, "admin")
	var health dashboard.Health
	eventually(t, "connected", func() bool { return c.do("GET", "/api/health", nil, &health) == 200 && health.Hub.Connected })
	h.stop()
	eventually(t, "disconnected", func() bool { return c.do("GET", "/api/health", nil, &health) == 200 && !health.Hub.Connected })
	var o dashboard.Overview
	if code := c.do("GET", "/api/overview", nil, &o); code != 200 || o.Status.State != "unreachable" || o.Status.Since == nil || len(o.Status.Reasons) != 1 {
		t.Errorf("overview: %d %+v", code, o.Status)
	}
	if code := c.do("GET", "/api/session", nil, nil); code != 200 {
		t.Errorf("session: %d", code)
	}
	response := c.send("GET", "/api/agents/status", nil)
	response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("agents: %d", response.StatusCode)
	}
	if code := c.do("POST", "/api/agents/x/stop", nil, nil); code != 503 {
		t.Errorf("stop: %d", code)
	}
	stranger := s.client(t)
	stranger.http.Jar.SetCookies(must(url.Parse(s.url)), []*http.Cookie{{Name: "amoskys_session", Value: strings.Repeat("A", 43)}})
	if code := stranger.do("GET", "/api/overview", nil, nil); code != 503 {
		t.Errorf("a session that was never confirmed: %d", code)
	}
	h.start()
	eventually(t, "agents again", func() bool { return c.do("GET", "/api/agents/status", nil, nil) == 200 })
	eventually(t, "overview again", func() bool { return c.do("GET", "/api/overview", nil, &o) == 200 && o.Status.State == "ok" })
}

func TestAccessLogHoldsNoSecrets(t *testing.T) {
	s := newSite(t)
	c := s.signedIn(t, "admin")
	c.do("GET", "/api/events?query=hunter2", nil, nil)
	c.do("GET", "/dashboard", nil, nil)
	var line string
	eventually(t, "logged", func() bool { line = s.access.String(); return strings.Count(line, "\n") == 3 })
	for _, want := range []string{"path=/api/events", "user=admin", "status=200", "peer=127.0.0.1", "method=POST"} {
		if !strings.Contains(line, want) {
			t.Errorf("log lacks %q:\n%s", want, line)
		}
	}
	for _, secret := range []string{testPassword, c.csrf, "hunter2"} {
		if strings.Contains(line, secret) {
			t.Errorf("log holds %q:\n%s", secret, line)
		}
	}
}

func TestFaultsDoNotRepeatSecrets(t *testing.T) {
	c := newSite(t).client(t)
	for name, body := range map[string]any{
		"unknown key": map[string]string{"user": "admin", "password": testPassword},
		"too long":    map[string]string{"username": "admin", "password": strings.Repeat(testPassword, 100)},
		"wrong type":  map[string]any{"username": "admin", "password": []string{testPassword}},
		"list":        []string{testPassword},
	} {
		response := c.send("POST", "/api/login", body)
		answer, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(answer), "location") {
			t.Errorf("%s: %d %s, %v", name, response.StatusCode, answer, err)
		}
		if strings.Contains(string(answer), testPassword) {
			t.Errorf("%s: the password is in the answer %s", name, answer)
		}
	}
}

func TestRequestsAreBounded(t *testing.T) {
	s := newSite(t)
	c := s.client(t)
	for name, body := range map[string]any{
		"large":    map[string]string{"username": "admin", "password": strings.Repeat("x", 100_000)},
		"too long": map[string]string{"username": "admin", "password": strings.Repeat("x", 300)},
		"missing":  map[string]string{"username": "admin"},
		"unknown":  map[string]string{"username": "admin", "password": "x", "role": "admin"},
		"list":     []int{1},
	} {
		if code := c.do("POST", "/api/login", body, nil); code < 400 || code > 422 {
			t.Errorf("%s: %d", name, code)
		}
	}
	response := c.send("GET", "/dashboard", nil, func(r *http.Request) { r.Header.Set("X-Large", strings.Repeat("x", 100_000)) })
	response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("large header: %d", response.StatusCode)
	}
	if code := c.do("GET", "/api/none", nil, nil); code != 404 {
		t.Errorf("unknown call: %d", code)
	}
}

func BenchmarkAPI(b *testing.B) {
	s := newSite(b)
	for range 6 { // The store of these tests looks at every event.
		s.hub.bus.publish(samples("nginx", 1000)...)
	}
	c := s.signedIn(b, "viewer")
	for _, path := range []string{"/api/session", "/api/overview", "/api/agents/status", "/api/events?query=nginx&histogram=60&facets=type,host,severity", "/api/events/5000"} {
		b.Run(fmt.Sprintf("path=%s", path), func(b *testing.B) {
			times := []time.Duration{}
			for b.Loop() {
				began := time.Now()
				if code := c.do("GET", path, nil, nil); code != 200 {
					b.Fatalf("%d", code)
				}
				times = append(times, time.Since(began))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
