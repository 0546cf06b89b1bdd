package dashboard_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/amoskys/amoskys/internal/dashboard"
)

// TestStrangersLearnTheVerdictAlone: who asks from elsewhere, be it through a proxy
// on this machine, is told that the dashboard serves, under any name.
func TestStrangersLearnTheVerdictAlone(t *testing.T) {
	s := newSite(t)
	ask := func(path string, change func(*http.Request)) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		resp, err := s.client(t).http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	for name, change := range map[string]func(*http.Request){
		"here":     func(*http.Request) {},
		"kubelet":  func(r *http.Request) { r.Host = "10.0.0.7:5001" },
		"stranger": func(r *http.Request) { r.Header.Set("X-Forwarded-For", "198.51.100.7") },
	} {
		if code, body := ask("/healthz", change); code != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: %d %q", name, code, body)
		}
	}
	_, body := ask("/api/health", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "198.51.100.7") })
	var health dashboard.Health
	if err := json.Unmarshal([]byte(body), &health); err != nil || health.Status != "ok" || health.Version != "" || health.Hub != nil {
		t.Errorf("a stranger is told %s", body)
	}
	_, body = ask("/api/health", func(*http.Request) {})
	if err := json.Unmarshal([]byte(body), &health); err != nil || health.Version == "" || health.Hub == nil {
		t.Errorf("this machine is told %s", body)
	}
}
