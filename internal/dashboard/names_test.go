package dashboard_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/amoskys/amoskys/internal/dashboard"
)

// TestNamesOfLoopback: a page whose name is made to resolve to loopback counts as
// the same site to a browser, so the name itself is looked at.
func TestNamesOfLoopback(t *testing.T) {
	tests := []struct {
		name    string
		server  func(*dashboard.ServerConfig)
		refused bool // requests for other names
	}{
		{"loopback", func(*dashboard.ServerConfig) {}, true},
		{"localhost", func(c *dashboard.ServerConfig) { c.Host = "localhost" }, true},
		{"behind a proxy", func(c *dashboard.ServerConfig) { c.TrustedProxies = []string{"127.0.0.1/32"} }, false},
		{"on a network", func(c *dashboard.ServerConfig) { c.Host = "0.0.0.0" }, false},
		{"on all networks", func(c *dashboard.ServerConfig) { c.Host = "" }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, func(o *dashboard.Options) {
				tt.server(&o.Config.Server)
				o.Config.Server.AllowedOrigins = []string{"dashboard.example.org", "other.example.org:8443"}
			})
			other := http.StatusOK
			if tt.refused {
				other = http.StatusMisdirectedRequest
			}
			for host, want := range map[string]int{
				"localhost:5001": 200, "127.0.0.1:5001": 200, "[::1]:5001": 200, "dashboard.example.org": 200, "other.example.org:8443": 200,
				"rebound.example.org:5001": other, "rebound.example.org": other,
			} {
				for _, path := range []string{"/login", "/api/health", "/api/live"} {
					request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+host+path, http.NoBody)
					if err != nil {
						t.Fatal(err)
					}
					w := newRecorder()
					s.server.Handler().ServeHTTP(w, request)
					if got := w.Code == http.StatusMisdirectedRequest; got != (want == http.StatusMisdirectedRequest) {
						t.Errorf("%s%s: %d %s", host, path, w.Code, w.Body)
					}
				}
			}
		})
	}
}
