package dialtest

import (
	"context"
	"errors"
	"net"
	"testing"
)

// NoProxy clears what the environment of this run says of proxies.
func NoProxy(tb testing.TB) {
	tb.Helper()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "AMOSKYS_HUB_PROXY"} {
		tb.Setenv(name, "")
	}
}

// NoDNS fails the test when a resolver is asked. Tests that use it are not parallel.
func NoDNS(tb testing.TB) {
	tb.Helper()
	old := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		tb.Error("a name was looked up")
		return nil, errors.New("no resolver")
	}}
	tb.Cleanup(func() { net.DefaultResolver = old })
}
