package dashboard_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/dashboard"
)

// login signs in as a browser that a proxy speaks for, with headers in pairs.
func login(t *testing.T, s *site, remote string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://dashboard/api/login",
		strings.NewReader(`{"username":"admin","password":"`+testPassword+`"}`))
	r.RemoteAddr = remote
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := newRecorder()
	s.server.Handler().ServeHTTP(w, r)
	return w.Result()
}

// TestSecureBehindProxies: the browser speaks TLS with the proxy, so its cookie must
// never go over anything else. Whoever is no proxy of ours cannot say so.
func TestSecureBehindProxies(t *testing.T) {
	s := newSite(t, func(o *dashboard.Options) { o.Config.Server.TrustedProxies = []string{"10.0.0.0/8"} })
	const proto, from = "X-Forwarded-Proto", "X-Forwarded-For"
	for name, tc := range map[string]struct {
		remote  string
		headers []string
		secure  bool
	}{
		"TLS at the proxy":                   {"10.1.1.1:9", []string{proto, "https", from, "203.0.113.7"}, true},
		"in capitals":                        {"10.1.1.1:9", []string{proto, "HTTPS"}, true},
		"plain at the proxy":                 {"10.1.1.1:9", []string{proto, "http", from, "203.0.113.7"}, false},
		"the proxy does not say":             {"10.1.1.1:9", []string{from, "203.0.113.7"}, false},
		"a stranger says so":                 {"192.0.2.1:9", []string{proto, "https", from, "10.1.1.1"}, false},
		"a stranger behind the proxy":        {"10.1.1.1:9", []string{proto, "https, http", from, "10.9.9.9, 203.0.113.7"}, false},
		"a stranger, in headers of his own":  {"10.1.1.1:9", []string{proto, "https", proto, "http", from, "10.9.9.9", from, "203.0.113.7"}, false},
		"two proxies, TLS at the first":      {"10.1.1.1:9", []string{proto, "https, http", from, "203.0.113.7, 10.2.2.2"}, true},
		"two proxies, plain at the first":    {"10.1.1.1:9", []string{proto, "http, https", from, "203.0.113.7, 10.2.2.2"}, false},
		"words that are none":                {"10.1.1.1:9", []string{proto, "https\x00, ,,", from, "::,,"}, false},
		"more addresses than can be":         {"10.1.1.1:9", []string{proto, "https", from, strings.Repeat("10.1.1.1,", 3_000) + "10.1.1.1"}, true},
		"Forwarded, which nobody vouches of": {"10.1.1.1:9", []string{"Forwarded", "for=192.0.2.7;proto=https"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			response := login(t, s, tc.remote, tc.headers...)
			defer response.Body.Close()
			cookies := response.Cookies()
			if response.StatusCode != http.StatusOK || len(cookies) != 1 {
				t.Fatalf("login: %d, %v", response.StatusCode, cookies)
			}
			want := "amoskys_session"
			if tc.secure {
				want = "__Host-amoskys_session"
			}
			if c := cookies[0]; c.Secure != tc.secure || c.Name != want || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
				t.Errorf("cookie %+v", c)
			}
			if strict := response.Header.Get("Strict-Transport-Security") != ""; strict != tc.secure {
				t.Errorf("HSTS %v", strict)
			}
		})
	}
}

// TestSessionBehindProxies: the cookie of TLS is good where the proxy forgets to say
// https, as in a location of its own for WebSockets, and one of plain HTTP is not
// taken over TLS.
func TestSessionBehindProxies(t *testing.T) {
	s := newSite(t, func(o *dashboard.Options) { o.Config.Server.TrustedProxies = []string{"10.0.0.0/8"} })
	secure := login(t, s, "10.1.1.1:9", "X-Forwarded-Proto", "https")
	plain := login(t, s, "10.1.1.1:9")
	defer secure.Body.Close()
	defer plain.Body.Close()
	for name, tc := range map[string]struct {
		cookie *http.Cookie
		proto  string
		want   int
	}{
		"secure over TLS":         {secure.Cookies()[0], "https", 200},
		"secure, nothing is said": {secure.Cookies()[0], "", 200},
		"plain over plain":        {plain.Cookies()[0], "http", 200},
		"plain over TLS":          {plain.Cookies()[0], "https", 401},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://dashboard/api/session", nil)
		r.RemoteAddr = "10.1.1.1:9"
		r.AddCookie(tc.cookie)
		if tc.proto != "" {
			r.Header.Set("X-Forwarded-Proto", tc.proto)
		}
		w := newRecorder()
		s.server.Handler().ServeHTTP(w, r)
		if w.Code != tc.want {
			t.Errorf("%s: %d, want %d", name, w.Code, tc.want)
		}
	}
}

// TestAllowedOriginsCountForAll: behind a proxy that does not pass Host on, who may
// open the live stream may also sign in.
func TestAllowedOriginsCountForAll(t *testing.T) {
	s := newSite(t, func(o *dashboard.Options) {
		o.Config.Server.AllowedOrigins = []string{"soc.example.org", "SOC.lan:8080"}
	})
	c := s.signedIn(t, "admin")
	for origin, allowed := range map[string]bool{
		"https://soc.example.org":      true,
		"http://soc.lan:8080":          true,
		"http://soc.lan":               false,
		"https://soc.example.org:8443": false,
		"https://evil.example":         false,
		"https://soc.example.org.evil": false,
		"null":                         false,
	} {
		posted := c.send(http.MethodPost, "/api/login", map[string]string{"username": "admin", "password": testPassword},
			func(r *http.Request) { r.Header.Set("Origin", origin) })
		posted.Body.Close()
		ws, live := c.dial(origin)
		if ws != nil {
			ws.CloseNow()
		}
		wantPost, wantLive := 403, 403
		if allowed {
			wantPost, wantLive = 200, 101
		}
		if posted.StatusCode != wantPost || live != wantLive {
			t.Errorf("%s: login %d, live %d; allowed %v", origin, posted.StatusCode, live, allowed)
		}
	}
}

// FuzzForwarded: whatever proxies and strangers write, a stranger's word never counts
// and an address comes out.
func FuzzForwarded(f *testing.F) {
	for _, seed := range [][2]string{
		{"203.0.113.7", "https"}, {"10.1.1.1, 10.2.2.2", "https, http"}, {",,", ",,"}, {"[::1]:80, 1.2.3.4:9", "HTTPS"}, {"::ffff:10.0.0.1%eth0", "\x00"},
	} {
		f.Add(seed[0], seed[1])
	}
	s := newSite(f, func(o *dashboard.Options) {
		o.Config.Server.TrustedProxies, o.AccessLog = []string{"10.0.0.0/8"}, nil
	})
	handler := s.server.Handler()
	f.Fuzz(func(t *testing.T, from, proto string) {
		for _, remote := range []string{"10.1.1.1:9", "192.0.2.1:9"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://dashboard/healthz", nil)
			r.URL.Path = "/favicon.svg"
			r.RemoteAddr = remote
			r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"] = []string{from}, []string{proto}
			w := newRecorder()
			handler.ServeHTTP(w, r)
			if strict := w.Header().Get("Strict-Transport-Security") != ""; strict && remote == "192.0.2.1:9" {
				t.Errorf("a stranger with %q, %q is taken at his word", from, proto)
			}
		}
	})
}
