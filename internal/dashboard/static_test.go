package dashboard_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestStaticFiles(t *testing.T) {
	s := newSite(t)
	c := s.client(t)
	for _, tc := range []struct {
		path, gzip string
		code       int
		body       string
		header     map[string]string
	}{
		{"/", "", 302, "", map[string]string{"Location": "/dashboard"}},
		{"/dashboard", "", 200, "app-1a2b.js", map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache"}},
		{"/dashboard/events", "", 200, "app-1a2b.js", nil},
		{"/dashboard/../../etc/passwd", "", 307, "", map[string]string{"Location": "/etc/passwd"}},
		{"/etc/passwd", "", 404, "", nil},
		{"/login", "", 200, "app-1a2b.js", nil},
		{"/logins", "", 404, "", nil},
		{"/assets/app-1a2b.js", "", 200, "plain", map[string]string{"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}},
		{"/assets/app-1a2b.js", "br, gzip;q=0.5", 200, "zipped", map[string]string{"Content-Encoding": "gzip"}},
		{"/assets/app-1a2b.js", "gzip;q=0", 200, "plain", nil},
		{"/assets/none.js", "", 404, "", nil},
		{"/favicon.svg", "gzip", 200, "<svg/>", map[string]string{"Cache-Control": "no-cache"}},
		{"/docs", "", 302, "", map[string]string{"Location": "/docs/quickstart.html"}},
		{"/docs/", "", 302, "", map[string]string{"Location": "/docs/quickstart.html"}},
		{"/docs/quickstart.html", "gzip", 200, "Quick start", map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache"}},
		{"/docs/img/a.png", "", 200, "png", map[string]string{"Content-Type": "image/png"}},
		{"/docs/site.js", "gzip", 200, "zipped", map[string]string{"Content-Encoding": "gzip"}},
		{"/docs/site.js", "", 200, "plain", nil},
		{"/docs/site.js.gz", "", 404, "", nil},
		{"/docs/img", "", 404, "", nil},
		{"/docs/none.html", "", 404, "", nil},
		{"/docs/..%2findex.html", "", 404, "", nil},
		{"/.gitkeep", "", 404, "", nil},
		{"/index.html", "", 404, "", nil},
	} {
		response := c.send("GET", tc.path, nil, func(r *http.Request) {
			if tc.gzip != "" {
				r.Header.Set("Accept-Encoding", tc.gzip)
			}
		})
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != tc.code || !strings.Contains(string(body), tc.body) {
			t.Errorf("%s: %d %s", tc.path, response.StatusCode, body)
		}
		for k, v := range tc.header {
			if got := response.Header.Get(k); got != v {
				t.Errorf("%s: %s is %q, want %q", tc.path, k, got, v)
			}
		}
		if tag := response.Header.Get("ETag"); tag != "" {
			again := c.send("GET", tc.path, nil, func(r *http.Request) {
				r.Header.Set("If-None-Match", tag)
				r.Header.Set("Accept-Encoding", tc.gzip)
			})
			again.Body.Close()
			if again.StatusCode != http.StatusNotModified {
				t.Errorf("%s with its ETag: %d", tc.path, again.StatusCode)
			}
		}
	}
	response := c.send("POST", "/dashboard", nil)
	response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST to a page: %d", response.StatusCode)
	}
}

func TestSecurityHeaders(t *testing.T) {
	s := newSite(t)
	c := s.client(t)
	for _, path := range []string{"/dashboard", "/assets/app-1a2b.js", "/api/session", "/none"} {
		response := c.send("GET", path, nil)
		response.Body.Close()
		policy := response.Header.Get("Content-Security-Policy")
		scripts, _, _ := strings.Cut(policy[strings.Index(policy, "script-src"):], ";")
		sum := sha256.Sum256([]byte("let theme"))
		if strings.Contains(scripts, "unsafe") || !strings.Contains(scripts, base64.StdEncoding.EncodeToString(sum[:])) || strings.Count(scripts, "sha256") != 1 {
			t.Errorf("%s: scripts by %q", path, scripts)
		}
		for _, want := range []string{"frame-ancestors 'none'", "default-src 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy lacks %s", path, want)
			}
		}
		for k, v := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"} {
			if got := response.Header.Get(k); got != v {
				t.Errorf("%s: %s is %q", path, k, got)
			}
		}
		if at, err := time.Parse(time.RFC3339, response.Header.Get("Server-Time")); strings.HasPrefix(path, "/api/") && (err != nil || time.Since(at) > time.Minute) {
			t.Errorf("%s: Server-Time is %q", path, response.Header.Get("Server-Time"))
		}
		if strings.HasPrefix(path, "/api/") && response.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", path)
		}
	}
}
