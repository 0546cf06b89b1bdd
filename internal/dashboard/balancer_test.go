package dashboard_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/amoskys/amoskys/internal/dashboard"
)

// balancer hands each request to the next of its dashboards, and to another where that
// one takes no connection. It passes on what a caller says of proxies before it, as
// many do, with the caller's own address behind.
type balancer struct {
	backends []string // host:port
	turn     atomic.Uint64
	plain    http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, 1<<20)); err != nil {
			return nil, err
		}
	}
	first := b.turn.Add(1)
	var failed error
	for i := range b.backends {
		to := r.Clone(r.Context())
		to.URL.Host = b.backends[(first+uint64(i))%uint64(len(b.backends))]
		if to.Body = http.NoBody; len(body) > 0 {
			to.Body = io.NopCloser(bytes.NewReader(body))
		}
		response, err := b.plain.RoundTrip(to)
		if _, refused := errors.AsType[*net.OpError](err); err == nil || !refused {
			return response, err
		}
		failed = err
	}
	return nil, failed
}

// balanced is two dashboards over one hub behind a balancer, as one site. Only the
// balancer's address is a trusted proxy; browsers come from another of loopback.
func balanced(t *testing.T, h *fakeHub) (front *site, behind [2]*site) {
	t.Helper()
	b := &balancer{plain: &http.Transport{DisableKeepAlives: true}}
	for i := range behind {
		behind[i] = newSiteOver(t, h, func(o *dashboard.Options) { o.Config.Server.TrustedProxies = []string{"127.0.0.1/32"} })
		b.backends = append(b.backends, strings.TrimPrefix(behind[i].url, "http://"))
	}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Transport: b,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "balancer"
			r.Out.Host = r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			r.SetXForwarded()
		},
	})
	t.Cleanup(server.Close)
	return &site{hub: h, url: server.URL}, behind
}

// browser is a client whose connections come from an address of its own.
func (s *site) browser(t *testing.T) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, url: s.url, http: &http.Client{Jar: jar, Transport: transport}}
}

// TestTwoDashboardsAreOne: behind a balancer without sticky sessions a login at one
// dashboard counts at the other, with its CSRF token, and both end together; what one
// saves the other shows; and when one dies, a tab goes on at the other where it was.
func TestTwoDashboardsAreOne(t *testing.T) {
	h := newHub(t)
	front, behind := balanced(t, h)
	c := front.signedIn(t, "admin")
	for range 4 { // each twice
		var session dashboard.Session
		if code := c.do("GET", "/api/session", nil, &session); code != http.StatusOK || session.CSRFToken != c.csrf {
			t.Fatalf("session: %d, another CSRF token: %v", code, session.CSRFToken != c.csrf)
		}
	}
	for i, name := range []string{"one", "two"} {
		var kept dashboard.SavedQuery
		if code := c.do("POST", "/api/queries", map[string]any{"name": name, "query": "type:=auth.attempt"}, &kept); code != http.StatusOK {
			t.Fatalf("query %d saved: %d", i, code)
		}
	}
	for _, s := range behind {
		if !strings.Contains(s.access.String(), "/api/queries") || !strings.Contains(s.access.String(), "user=admin") {
			t.Errorf("%s served nothing: %s", s.url, s.access.String())
		}
		direct := s.client(t)
		direct.http.Jar = sameJar{c.http.Jar, c.url}
		var list struct {
			Queries []dashboard.SavedQuery `json:"queries"`
		}
		if code := direct.do("GET", "/api/queries", nil, &list); code != http.StatusOK || len(list.Queries) != 2 {
			t.Errorf("%s lists %d queries, %d", s.url, len(list.Queries), code)
		}
	}

	h.bus.publish(samples("nginx", 5)...)
	b := c.tab(t)
	b.say(`{"op":"subscribe","id":"1","topic":"events","query":"process.name:nginx"}`)
	b.answer()
	h.bus.publish(samples("nginx", 2)...)
	seen := b.until("two events", func(m *message) bool { return len(m.Events) == 2 }).Events[1].Offset
	holds := behind[0]
	if strings.Contains(behind[1].access.String(), "/api/live") { // its line comes at the end of the connection
		t.Fatal("a live connection has ended")
	}
	behind[0].stop()
	behind[1].check(t, c)
	if strings.Contains(holds.access.String(), "/api/live") {
		if _, err := b.read(); err == nil {
			t.Error("the tab goes on at a dashboard that has stopped")
		}
	} else { // it was at the other, which has to live on as well
		b.say(`{"op":"ping"}`)
		b.until("pong", func(m *message) bool { return m.Type == "pong" })
	}
	h.bus.publish(samples("nginx", 3)...)
	again := c.tab(t)
	again.say(`{"op":"subscribe","id":"1","topic":"events","query":"process.name:nginx","after":%d}`, seen)
	var offsets []uint64
	again.until("what was missed", func(m *message) bool {
		for _, e := range m.Events {
			offsets = append(offsets, e.Offset)
		}
		return len(offsets) >= 3
	})
	if len(offsets) != 3 || offsets[0] != seen+1 || offsets[2] != seen+3 {
		t.Errorf("after %d came %v", seen, offsets)
	}
	if code := c.do("POST", "/api/logout", nil, nil); code >= 300 {
		t.Fatalf("logout: %d", code)
	}
	if code := c.do("GET", "/api/session", nil, nil); code != http.StatusUnauthorized {
		t.Errorf("after logout: %d", code)
	}
}

// check wants the session of c to count here.
func (s *site) check(t *testing.T, c *client) {
	t.Helper()
	for range 2 {
		if code := c.do("GET", "/api/session", nil, nil); code != http.StatusOK {
			t.Errorf("with one dashboard alone: %d", code)
		}
	}
}

// sameJar has the cookies of one site for all.
type sameJar struct {
	http.CookieJar
	url string
}

// Cookies implements http.CookieJar.
func (j sameJar) Cookies(*url.URL) []*http.Cookie {
	u, err := url.Parse(j.url)
	if err != nil {
		return nil
	}
	return j.CookieJar.Cookies(u)
}

// TestLogoutAtOneEndsAtTheOther: no dashboard remembers a session that has ended.
func TestLogoutAtOneEndsAtTheOther(t *testing.T) {
	h := newHub(t)
	one, other := newSiteOver(t, h), newSiteOver(t, h)
	c := one.signedIn(t, "viewer")
	there := other.client(t)
	there.http.Jar, there.csrf = sameJar{c.http.Jar, c.url}, c.csrf
	if code := there.do("GET", "/api/session", nil, nil); code != http.StatusOK {
		t.Fatalf("at the other: %d", code)
	}
	if code := c.do("POST", "/api/logout", nil, nil); code >= 300 {
		t.Fatalf("logout: %d", code)
	}
	there.http.Jar = sameJar{c.http.Jar, one.url}
	if code := there.do("GET", "/api/session", nil, nil); code != http.StatusUnauthorized {
		t.Errorf("at the other, after logout: %d", code)
	}
}

// TestTriesAreCountedTogether: whoever guesses passwords gets no more tries from two
// dashboards than from one, and none by inventing addresses: at the balancer, which
// passes them on, as little as at a dashboard itself.
func TestTriesAreCountedTogether(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a browser with an address of its own needs all of 127.0.0.0/8 to be local, as Linux has it")
	}
	h := newHub(t)
	front, behind := balanced(t, h)
	try := func(c *client, from string) int {
		response := c.send("POST", "/api/login", map[string]string{"username": "viewer", "password": "guess-guess-guess"},
			func(r *http.Request) { r.Header.Set("X-Forwarded-For", from) })
		response.Body.Close()
		return response.StatusCode
	}
	c := front.browser(t)
	wrong, limited := 0, 0
	for i := range 12 {
		switch try(c, "203.0.113."+string(rune('0'+i%10))) {
		case http.StatusUnauthorized:
			wrong++
		case http.StatusTooManyRequests:
			limited++
		}
	}
	if wrong > 5 || limited < 7 {
		t.Errorf("%d tries were checked and %d limited", wrong, limited)
	}
	if code := try(behind[0].browser(t), "203.0.113.77"); code != http.StatusTooManyRequests {
		t.Errorf("a stranger at a dashboard itself: %d", code)
	}
	for _, s := range behind {
		if log := s.access.String(); strings.Contains(log, "203.0.113.") || !strings.Contains(log, "127.0.0.2") {
			t.Errorf("an invented address counts: %s", log)
		}
	}
	// Who comes from elsewhere is not kept out by it.
	if code := front.client(t).do("POST", "/api/login", map[string]string{"username": "viewer", "password": testPassword}, nil); code != http.StatusOK {
		t.Errorf("the right password from another address: %d", code)
	}
}
