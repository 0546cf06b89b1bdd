package dashboard_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// people are the columns of the table in docs/security.md.
func people() []string { return []string{"no account", "viewer", "analyst", "admin"} }

// rightsOnThePage reads the table of docs/security.md: who may make which call,
// which is a call of the API, live:TOPIC, or the path of a page.
func rightsOnThePage(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "| at the dashboard | by these calls | "+strings.Join(people(), " | ")+" |\n| --- ")
	table, _, ok2 := strings.Cut(table, "\n\n")
	if !ok || !ok2 {
		t.Fatal("docs/security.md has no table of what people may do at the dashboard")
	}
	may := map[string][]string{}
	for _, row := range strings.Split(table, "\n")[1:] {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		if len(cells) != 2+len(people()) {
			t.Fatalf("row %q", row)
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			if _, twice := may[m[1]]; twice {
				t.Errorf("%s stands in two rows", m[1])
			}
			may[m[1]] = []string{}
			for i, who := range people() {
				if cells[2+i] == "yes" {
					may[m[1]] = append(may[m[1]], who)
				} else if cells[2+i] != "no" {
					t.Errorf("%s: %q is neither yes nor no", m[1], cells[2+i])
				}
			}
		}
	}
	return may
}

// TestRolesAtTheDashboard tries every call of the API, every live topic and every
// page as everybody: what the table of docs/security.md forbids is refused, and
// nothing else. What is not in the table fails, so that nothing new is forgotten.
func TestRolesAtTheDashboard(t *testing.T) {
	may := rightsOnThePage(t)
	s := newSite(t)
	as := map[string]*client{"no account": s.client(t)}
	for _, who := range people()[1:] {
		as[who] = s.signedIn(t, who)
	}
	tried := map[string]bool{}
	judge := func(call, who string, got int) {
		t.Helper()
		tried[call] = true
		allowed, known := may[call]
		if !known {
			t.Errorf("%s is served and not in the table of docs/security.md: add it to the row of those who may", call)
			return
		}
		refusal := http.StatusForbidden
		if who == "no account" {
			refusal = http.StatusUnauthorized
		}
		// A login without a password is refused, but not for who asks.
		if refused := got == refusal && call != "login"; refused == slices.Contains(allowed, who) {
			t.Errorf("%s as %s: %d", call, who, got)
		}
	}
	for call, route := range callsOf(t, s) {
		for _, who := range people() {
			if call == "logout" || call == "login" {
				continue // last, as they end what the others need
			}
			judge(call, who, as[who].do(route.method, route.path, nil, nil))
		}
	}
	for _, topic := range topicsOf(t, s) {
		judge("live:"+topic, "no account", as["no account"].do("GET", "/api/live", nil, nil))
		for _, who := range people()[1:] {
			b := as[who].tab(t)
			b.say(`{"op":"subscribe","id":"x","topic":"%s","names":["queue_depth"]}`, topic)
			got := http.StatusOK
			b.say(`{"op":"ping"}`)
			b.until("the answer to a ping", func(m *message) bool {
				if m.Type == "error" {
					got = http.StatusForbidden
				}
				return m.Type == "pong"
			})
			judge("live:"+topic, who, got)
		}
	}
	for _, path := range append(pagesOf(t), "/docs") {
		for _, who := range people() {
			judge(path, who, as[who].do("GET", path, nil, nil))
		}
	}
	for _, who := range people() {
		judge("/prometheus/api/v1/", who, as[who].do("GET", "/prometheus/api/v1/labels", nil, nil))
		judge("/prometheus/api/v1/", who, as[who].do("POST", "/prometheus/api/v1/query", nil, nil))
	}
	for _, who := range people() {
		judge("login", who, as[who].do("POST", "/api/login", nil, nil))
		judge("logout", who, as[who].do("POST", "/api/logout", nil, nil))
	}
	for call := range may {
		if !tried[call] {
			t.Errorf("the table of docs/security.md has %s, which is not served", call)
		}
	}
}

type request struct{ method, path string }

// callsOf are the calls that the API's description has.
func callsOf(t *testing.T, s *site) map[string]request {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		}
	}
	s.client(t).do("GET", "/api/openapi.json", nil, &doc)
	calls := map[string]request{}
	for path, methods := range doc.Paths {
		at := strings.ReplaceAll(regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, "nobody"), "events/nobody", "events/0")
		for method, op := range methods {
			if op.OperationID != "live" {
				calls[op.OperationID] = request{strings.ToUpper(method), at}
			}
		}
	}
	return calls
}

// topicsOf are the topics that the live stream names when asked for another.
func topicsOf(t *testing.T, s *site) []string {
	t.Helper()
	b := s.signedIn(t, "viewer").tab(t)
	b.say(`{"op":"subscribe","id":"x","topic":"nonsense"}`)
	names, ok := strings.CutPrefix(b.answer().Detail, `"topic" is one of `)
	if !ok {
		t.Fatal("the live stream does not name its topics")
	}
	return strings.Split(names, ", ")
}

// pagesOf are the paths in the page's own list, and the one to sign in.
func pagesOf(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "web", "src", "routes.ts"))
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"/login"}
	for _, m := range regexp.MustCompile(`path: '([^']+)'`).FindAllStringSubmatch(string(text), -1) {
		paths = append(paths, m[1])
	}
	return paths
}
