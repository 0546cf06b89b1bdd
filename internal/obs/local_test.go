package obs

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestIsLocalName(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:9090": true, "LocalHost:9090": true, "localhost.": true, "web.localhost:1": true,
		"127.0.0.1": true, "127.0.0.1:9090": true, "127.1.2.3": true, "[::1]": true, "[::1]:9090": true, "::1": true,
		"":            true, // HTTP/1.0, which no browser speaks
		"example.org": false, "example.org:9090": false, "localhost.example.org": false, "notlocalhost": false,
		"127.0.0.1.example.org": false, "192.0.2.1": false, "[2001:db8::1]:9090": false, "0.0.0.0": false, "[::]": false,
		":9090": false, ".localhost": false, "2130706433": false, "127.1": false,
	} {
		if got := IsLocalName(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// TestEndpointOnLoopbackAnswersItsNamesOnly: a page whose name resolves to
// loopback must not read what this process says of itself.
func TestEndpointOnLoopbackAnswersItsNamesOnly(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Endpoint{}.Serve(ctx, l, Discard(), "web-1") }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for host, want := range map[string]int{
		"": 200, "localhost:50001": 200, "127.0.0.1": 200, "[::1]:1": 200, "web-1:50001": 200, "WEB-1": 200,
		"rebound.example.org": 421, "rebound.example.org:50001": 421,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/healthz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host // empty: that of the URL
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Errorf("host %q: %d, want %d", host, resp.StatusCode, want)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestEndpointOnANetworkAnswersAnyName: there, names are the network's business.
func TestEndpointOnANetworkAnswersAnyName(t *testing.T) {
	for addr, want := range map[string]int{"0.0.0.0": 200, "::": 200, "192.0.2.1": 200, "127.0.0.1": 421, "127.3.0.1": 421, "::1": 421} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://rebound.example.org/healthz", http.NoBody)
		Endpoint{}.handlerAt(&net.TCPAddr{IP: net.ParseIP(addr), Port: 1}).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("bound to %s: %d %s", addr, w.Code, w.Body.String())
		}
		if want == 421 && !strings.Contains(w.Body.String(), "localhost") {
			t.Errorf("says %q", w.Body.String())
		}
	}
}
