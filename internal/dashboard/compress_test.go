package dashboard_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/amoskys/amoskys/internal/dashboard"
)

// TestAnswersAreCompressed: an answer of some size is compressed for who takes
// that; one that carries a token is not, nor is a small one.
func TestAnswersAreCompressed(t *testing.T) {
	s := newSite(t)
	s.hub.bus.publish(samples("nginx", 200)...)
	c := s.signedIn(t, "viewer")
	for _, tc := range []struct {
		path, accept, want string
	}{
		{"/api/events?limit=200", "gzip, br", "gzip"},
		{"/api/events?limit=200", "gzip;q=0", ""},
		{"/api/events?limit=200", "", ""},
		{"/api/openapi.json", "gzip", "gzip"},
		{"/api/events?limit=1&query=process.pid:12345", "gzip", ""}, // small
		{"/api/session", "gzip", ""},
	} {
		response := c.send("GET", tc.path, nil, func(r *http.Request) {
			if tc.accept != "" {
				r.Header.Set("Accept-Encoding", tc.accept)
			}
		})
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", tc.path, response.StatusCode, err)
		}
		if got := response.Header.Get("Content-Encoding"); got != tc.want {
			t.Errorf("%s for %q: encoded as %q, want %q", tc.path, tc.accept, got, tc.want)
		}
		if tc.path == "/api/events?limit=200" && response.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: Vary is %q", tc.path, response.Header.Get("Vary"))
		}
		t.Logf("%s for %q: %d bytes", tc.path, tc.accept, len(body))
	}
	response := c.send("GET", "/api/events?limit=200", nil, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
	defer response.Body.Close()
	plain, err := gzip.NewReader(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var found dashboard.EventsAnswer
	if err := json.NewDecoder(plain).Decode(&found); err != nil || len(found.Events) != 200 {
		t.Errorf("%d events, %v", len(found.Events), err)
	}
}
