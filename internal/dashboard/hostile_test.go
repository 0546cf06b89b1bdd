package dashboard_test

import "testing"

// TestParametersThatAreNoText: they are the client's fault, not the hub's.
func TestParametersThatAreNoText(t *testing.T) {
	s := newSite(t)
	c := s.signedIn(t, "viewer")
	for _, path := range []string{
		"/api/agents/status?host=%ff", "/api/agents/%ff/logs", "/api/agents/a/logs?host=%ff", "/api/metrics?prefix=%ff",
		"/api/series?names=%ff", "/api/events?facets=%ff", "/api/events?query=%ff", "/api/agents/status?host=%ff&x=%zz",
		"/api/events?since=2h&until=3h&histogram=60", "/api/events?since=0001-01-01T00:00:00Z&until=9999-12-31T00:00:00Z&histogram=60",
	} {
		if code := c.do("GET", path, nil, nil); code >= 500 {
			t.Errorf("%s: %d", path, code)
		}
	}
}
