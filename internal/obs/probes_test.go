package obs

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestIsFromHere(t *testing.T) {
	for _, tt := range []struct {
		from, at, header string
		want             bool
	}{
		{from: "127.0.0.1:5", at: "127.0.0.1:80", want: true},
		{from: "[::1]:5", at: "[::1]:80", want: true},
		{from: "[::ffff:127.0.0.1]:5", at: "127.0.0.1:80", want: true},
		{from: "192.0.2.7:5", at: "192.0.2.7:80", want: true}, // the address of this machine, from itself
		{from: "[fe80::1%eth0]:5", at: "[fe80::1%eth0]:80", want: true},
		{from: "192.0.2.8:5", at: "192.0.2.7:80"},
		{from: "[2001:db8::1]:5", at: "[::1]:80"},
		{from: "127.0.0.1:5", at: "127.0.0.1:80", header: "X-Forwarded-For"},
		{from: "127.0.0.1:5", at: "127.0.0.1:80", header: "Forwarded"},
		{from: "nonsense", at: "127.0.0.1:80"},
		{from: "", at: "127.0.0.1:80"},
	} {
		at, err := net.ResolveTCPAddr("tcp", strings.Replace(tt.at, "%eth0", "", 1))
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, at), http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = tt.from
		if tt.header != "" {
			r.Header.Set(tt.header, "198.51.100.7")
		}
		if got := IsFromHere(r); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// TestStrangersLearnLittleOfAnEndpoint that is open to other machines.
func TestStrangersLearnLittleOfAnEndpoint(t *testing.T) {
	const secret = "disk of customer 7 is full"
	ok := true
	e := Endpoint{
		Health:   func(context.Context) Health { return Health{OK: ok, State: "degraded", Reasons: []string{secret}} },
		Status:   func(context.Context) any { return map[string]string{"detail": secret} },
		Gatherer: NewRegistry(),
	}
	ask := func(from, path string) (int, string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://web-1"+path, http.NoBody)
		r.RemoteAddr = from
		e.handlerAt(&net.TCPAddr{IP: net.IPv4zero, Port: 1}).ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, ok = range []bool{true, false} {
		code, body := ask("198.51.100.7:5", "/healthz")
		if want := map[bool]string{true: "ok\n", false: "not ready\n"}[ok]; body != want || (code == http.StatusOK) != ok {
			t.Errorf("a stranger: %d %q", code, body)
		}
		if code, body := ask("127.0.0.1:5", "/healthz"); (code == http.StatusOK) != ok || !strings.Contains(body, secret) {
			t.Errorf("here: %d %q", code, body)
		}
	}
	if code, body := ask("198.51.100.7:5", "/status"); code != http.StatusForbidden || strings.Contains(body, secret) {
		t.Errorf("the status for a stranger: %d %q", code, body)
	}
	if code, body := ask("127.0.0.1:5", "/status"); code != http.StatusOK || !strings.Contains(body, secret) {
		t.Errorf("the status here: %d %q", code, body)
	}
	for _, e.Scraped = range []bool{false, true} {
		if code, body := ask("198.51.100.7:5", "/metrics"); (code == http.StatusOK) != e.Scraped || strings.Contains(body, "go_goroutines") != e.Scraped {
			t.Errorf("metrics for a stranger, scraped %t: %d %q", e.Scraped, code, body)
		}
		if code, body := ask("127.0.0.1:5", "/metrics"); code != http.StatusOK || !strings.Contains(body, "go_goroutines") {
			t.Errorf("metrics here: %d %q", code, body)
		}
	}
}
