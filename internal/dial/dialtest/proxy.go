// Package dialtest has a CONNECT proxy for tests: a real one, over TCP, that can
// also refuse, hang and misbehave as proxies do.
package dialtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Options say how a proxy behaves. The zero value connects to what it is asked for.
type Options struct {
	// Route is where a tunnel to an address leads instead, so that a hub on loopback
	// can stand for one elsewhere.
	Route map[string]string
	// Credentials are the user:password that it wants; empty for none.
	Credentials string
	// Answer is sent instead of connecting, such as "HTTP/1.1 403 Forbidden\r\n\r\n".
	Answer string
	// Hang takes connections and answers nothing.
	Hang bool
	// Early is sent in one write with the grant of a tunnel.
	Early string
	// TLS makes it an https:// proxy.
	TLS *tls.Config
}

// Proxy is a running proxy.
type Proxy struct {
	Addr string // host:port

	o        Options
	mu       sync.Mutex // guards targets
	targets  []string
	sessions sync.WaitGroup
}

// Start runs a proxy until the test ends.
func Start(tb testing.TB, o Options) *Proxy {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), o: o}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	p.sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.sessions.Go(func() { p.serve(ctx, conn) })
		}
	})
	tb.Cleanup(func() {
		cancel()
		_ = l.Close() // nothing of it is needed any more
		p.sessions.Wait()
	})
	return p
}

// URL is the proxy's, with the credentials that it wants.
func (p *Proxy) URL() string {
	scheme, at := "http://", ""
	if p.o.TLS != nil {
		scheme = "https://"
	}
	if p.o.Credentials != "" {
		at = p.o.Credentials + "@"
	}
	return scheme + at + p.Addr
}

// Targets are the addresses that it was asked to connect to.
func (p *Proxy) Targets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.targets)
}

// serve answers one connection, which ends with ctx.
func (p *Proxy) serve(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }() // both sides have what they need
	if p.o.TLS != nil {
		conn = tls.Server(conn, p.o.TLS)
	}
	r := bufio.NewReader(conn)
	request, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.targets = append(p.targets, request.Method+" "+request.RequestURI)
	p.mu.Unlock()
	switch {
	case p.o.Hang:
		<-ctx.Done()
		return
	case p.o.Answer != "":
		_, _ = io.WriteString(conn, p.o.Answer)
		return
	case !p.admits(request):
		_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n")
		return
	}
	target := request.RequestURI
	if to, ok := p.o.Route[target]; ok {
		target = to
	}
	up, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer context.AfterFunc(ctx, func() { _ = up.Close() })()
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 Connection established\r\n\r\n%s", p.o.Early)
	join(conn, r, up)
}

// admits reports whether a request carries the credentials that p wants.
func (p *Proxy) admits(r *http.Request) bool {
	if p.o.Credentials == "" {
		return true
	}
	given, _ := strings.CutPrefix(r.Header.Get("Proxy-Authorization"), "Basic ")
	text, err := base64.StdEncoding.DecodeString(given)
	return err == nil && string(text) == p.o.Credentials
}

// join copies both ways until one side ends.
func join(client net.Conn, fromClient io.Reader, server net.Conn) {
	var copies sync.WaitGroup
	copies.Go(func() {
		_, _ = io.Copy(server, fromClient)
		_ = server.Close() // ends the other copy
	})
	copies.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	copies.Wait()
}
