package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/dashboard"
)

// seenWithin bounds what takes 3.5 s on a machine at rest (TestPulseIsQuick); this
// one may be busy with other tests.
const seenWithin = 30 * time.Second

// TestHubThatHangs: it keeps its connections and answers nothing. Tabs are told soon,
// calls do not wait, what was known is kept and is not taken for the present, and all
// goes on when it answers again.
func TestHubThatHangs(t *testing.T) {
	s := newSite(t)
	s.hub.node(t, "h1")
	s.hub.bus.publish(samples("nginx", 3)...)
	c := s.signedIn(t, "admin")
	var o dashboard.Overview
	eventually(t, "an overview", func() bool {
		return c.do("GET", "/api/overview", nil, &o) == 200 && o.Status.State == "ok" && o.Agents.Green == 1 && o.Log.NextOffset == 3
	})
	if o.AsOf == nil || o.Nodes != (dashboard.NodeCounts{Total: 1, Connected: 1}) || len(o.Troubles) != 0 {
		t.Errorf("overview as of %v, nodes %+v, troubles %+v", o.AsOf, o.Nodes, o.Troubles)
	}
	b := c.tab(t)
	b.say(`{"op":"subscribe","id":"1","topic":"events","query":""}`)
	b.until("position", func(m *message) bool { return m.Type == "events" })
	goOn := s.hub.hang()
	t.Cleanup(goOn)
	began := time.Now()
	lost := b.until("the loss", func(m *message) bool { return m.Type == "hub" && !m.Connected })
	if took := time.Since(began); took > seenWithin {
		t.Errorf("a tab was told after %s", took)
	}
	if !strings.Contains(lost.Reason, "does not answer") || lost.Since.Before(began.Add(-seenWithin)) || lost.Since.After(time.Now()) {
		t.Errorf("hung at %s: %+v", began, lost)
	}
	began = time.Now()
	var p dashboard.Problem
	if code := c.do("GET", "/api/agents/status", nil, &p); code != 503 || !strings.Contains(p.Detail, "does not answer") {
		t.Errorf("agents: %d %q", code, p.Detail)
	}
	if code := c.do("GET", "/api/events", nil, &p); code != 503 || !strings.Contains(p.Detail, "does not answer") {
		t.Errorf("events: %d %q", code, p.Detail)
	}
	as := *o.AsOf
	code := c.do("GET", "/api/overview", nil, &o)
	if code != 200 || o.Status.State != "unreachable" || !strings.Contains(o.Status.Reasons[0], "does not answer") ||
		o.Log.State != "unknown" || o.Store.State != "unknown" {
		t.Errorf("overview: %d %+v, log %s, store %s", code, o.Status, o.Log.State, o.Store.State)
	}
	if o.AsOf == nil || o.AsOf.Before(as) || o.Log.NextOffset != 3 || o.Agents.Green != 1 {
		t.Errorf("what was known is gone: as of %v, %d events, %+v", o.AsOf, o.Log.NextOffset, o.Agents)
	}
	if took := time.Since(began); took > seenWithin {
		t.Errorf("calls waited for %s", took)
	}
	s.hub.bus.publish(samples("nginx", 2)...)
	goOn()
	b.until("the hub is back", func(m *message) bool { return m.Type == "hub" && m.Connected && m.Reason == "" })
	eventually(t, "agents again", func() bool { return c.do("GET", "/api/agents/status", nil, nil) == 200 })
	eventually(t, "overview again", func() bool { return c.do("GET", "/api/overview", nil, &o) == 200 && o.Status.State == "ok" })
}

// TestCallsUnderWayEndWhenTheHubHangs: they would wait for a minute.
func TestCallsUnderWayEndWhenTheHubHangs(t *testing.T) {
	s := newSite(t, func(o *dashboard.Options) { o.Config.Hub.TimeoutSeconds = 60 })
	c := s.signedIn(t, "admin")
	t.Cleanup(s.hub.hang())
	began := time.Now()
	var p dashboard.Problem
	if code := c.do("GET", "/api/fields", nil, &p); code != 503 || !strings.Contains(p.Detail, "does not answer") {
		t.Errorf("%d %q", code, p.Detail)
	}
	if took := time.Since(began); took > seenWithin {
		t.Errorf("a call waited for %s", took)
	}
}

// TestUnknownIsNotNothing: a dashboard that never reached its hub says that it knows
// nothing, and in people's words why.
func TestUnknownIsNotNothing(t *testing.T) {
	h := newHub(t)
	before := newSiteOver(t, h)
	cookie := before.signedIn(t, "viewer").cookie()
	s := newSiteOver(t, h)
	c := s.client(t)
	var session dashboard.Session
	ask := func(path string, out any) int {
		c.http.Jar.SetCookies(must(url.Parse(s.url)), []*http.Cookie{{Name: "amoskys_session", Value: strings.TrimPrefix(cookie, "amoskys_session=")}})
		return c.do("GET", path, nil, out)
	}
	if code := ask("/api/session", &session); code != 200 {
		t.Fatalf("session: %d", code)
	}
	h.stop()
	var o dashboard.Overview
	eventually(t, "unreachable", func() bool { return ask("/api/overview", &o) == 200 && o.Status.State == "unreachable" })
	if o.AsOf != nil {
		t.Errorf("as of %v", o.AsOf)
	}
	eventually(t, "why", func() bool {
		ask("/api/overview", &o)
		return o.Status.Reasons[0] == "the hub at "+h.addr+" cannot be reached (connection refused). Does it run, and may this machine reach it? "+
			"amoskys status on its machine says; the dashboard tries again by itself"
	})
}
