// Package dial is the one way to the hub: who dials it, agents, nodes, dashboards
// and commands alike, does so from here, and so obeys the same rules.
//
// HTTPS_PROXY and NO_PROXY of the environment count for all, as does hub.proxy of
// a configuration, which wins. A proxy is asked to CONNECT; mutual TLS then passes
// through it from end to end, and it sees bytes that it cannot read. This machine
// is never dialled through a proxy, and its name localhost is never looked up.
package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/url"

	"golang.org/x/net/http/httpproxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/obs"
)

// Func opens a connection to host:port.
type Func func(ctx context.Context, addr string) (net.Conn, error)

// Dialer dials the hub, through a proxy where one is set. It may be used by many
// goroutines.
type Dialer struct {
	setting string // what names the proxy, for people: hub.proxy or HTTPS_PROXY
	// proxyFor returns the proxy for a URL, nil for none.
	proxyFor func(*url.URL) (*url.URL, error)
	roots    *x509.CertPool // who may certify an https:// proxy; nil for the system's
}

// New returns a dialer for the setting hub.proxy; empty means that the environment
// decides. home is where a "file:" reference starts.
func New(p Proxy, home config.Home) (*Dialer, error) {
	if p == "" {
		return &Dialer{setting: "HTTPS_PROXY", proxyFor: fromEnvironment()}, nil
	}
	u, err := p.parse(home)
	if err != nil {
		return nil, fmt.Errorf("hub.proxy %w", err)
	}
	return &Dialer{setting: "hub.proxy", proxyFor: func(*url.URL) (*url.URL, error) { return u, nil }}, nil
}

// fromEnvironment obeys HTTPS_PROXY and NO_PROXY. httpproxy takes a proxy that it
// cannot read for none; here it is an error, except where NO_PROXY goes around it.
func fromEnvironment() func(*url.URL) (*url.URL, error) {
	cfg := httpproxy.FromEnvironment()
	_, asURL := url.Parse(cfg.HTTPSProxy)
	_, asHost := url.Parse("http://" + cfg.HTTPSProxy)
	if asURL == nil || asHost == nil {
		return cfg.ProxyFunc()
	}
	cfg.HTTPSProxy = "http://unreadable"
	proxyFor := cfg.ProxyFunc()
	return func(target *url.URL) (*url.URL, error) {
		if u, err := proxyFor(target); u == nil || err != nil {
			return u, err
		}
		return nil, errProxyURL
	}
}

// ForCommand returns a dialer for a command that no configuration file speaks for:
// lookup gives the environment, where AMOSKYS_HUB_PROXY is hub.proxy.
func ForCommand(lookup func(string) (string, bool), home config.Home) (*Dialer, error) {
	if lookup == nil {
		return New("", home)
	}
	variable := config.Variable("hub.proxy")
	text, _ := lookup(variable)
	d, err := New(Proxy(text), home)
	if err != nil {
		return nil, fmt.Errorf("$%s: %w", variable, err)
	}
	return d, nil
}

// Dial opens a connection to host:port. It is a [Func].
func (d *Dialer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	proxy, err := d.proxy(addr)
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return Direct(ctx, "tcp", addr)
	}
	return d.through(ctx, proxy, addr)
}

// proxy is the proxy for host:port, nil for none.
func (d *Dialer) proxy(addr string) (*url.URL, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address of the hub: %w", err)
	}
	if obs.IsLoopback(host) {
		return nil, nil //nolint:nilnil // no proxy is an answer
	}
	u, err := d.proxyFor(&url.URL{Scheme: "https", Host: addr})
	if err != nil {
		return nil, &ProxyError{Setting: d.setting, Addr: addr, Err: errProxyURL} // the cause quotes a password
	}
	return u, nil
}

// Via is the proxy for host:port without its credentials, empty for none.
func (d *Dialer) Via(addr string) string {
	u, err := d.proxy(addr)
	if err != nil || u == nil {
		return ""
	}
	return redact(u)
}

// Describe is host:port with the proxy on the way there, for messages.
func (d *Dialer) Describe(addr string) string {
	if via := d.Via(addr); via != "" {
		return addr + " through the proxy " + via
	}
	return addr
}

// Announce says in the log which proxy leads to host:port, if one does.
func (d *Dialer) Announce(logger *slog.Logger, addr string) {
	if via := d.Via(addr); via != "" {
		logger.Info("the hub is dialled through a proxy", obs.KeyAddr, addr, obs.KeyProxy, via, obs.KeyKey, d.setting)
	}
}

// Direct opens a connection without a proxy. Names of loopback are not looked up.
// It fits [net/http.Transport]'s DialContext.
func Direct(ctx context.Context, network, addr string) (net.Conn, error) {
	var first error
	for _, a := range obs.Addresses(addr) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, a)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// NewClient prepares a gRPC connection to host:port that is opened by dial; nil
// means without a proxy. Names are resolved at each connection, by dial or by the
// proxy, and never tell gRPC how to behave.
func NewClient(addr string, dial Func, creds credentials.TransportCredentials, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	if dial == nil {
		dial = func(ctx context.Context, addr string) (net.Conn, error) { return Direct(ctx, "tcp", addr) }
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds), grpc.WithContextDialer(dial), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("prepare connection to the hub: %w", err)
	}
	return conn, nil
}

// tlsTo wraps a connection to an https:// proxy.
func (d *Dialer) tlsTo(ctx context.Context, conn net.Conn, host string) (net.Conn, error) {
	secure := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: d.roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	return secure, secure.HandshakeContext(ctx)
}
