package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// epoch is the moment tests with a fixed clock happen at.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func atEpoch() time.Time { return epoch }

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock(t time.Time) *clock { return &clock{t: t} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// authority is a CA with a folder of its own.
type authority struct {
	*CA
	dir string
}

func newAuthority(t *testing.T, domain string, now func() time.Time) authority {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "certs")
	must(t, os.Mkdir(dir, 0o700))
	ca, pair, err := CreateCA(CAOptions{Domain: domain, Now: now})
	must(t, err)
	must(t, writeFile(dir, "ca.crt", pair.CertPEM, certMode))
	must(t, writeFile(dir, "ca.key", pair.KeyPEM, keyMode))
	return authority{ca, dir}
}

// leaf issues a certificate into the folder and returns its files.
func (a authority) leaf(t *testing.T, name string, o IssueOptions) Files {
	t.Helper()
	if o.NotBefore.IsZero() {
		o.NotBefore = epoch.Add(-time.Hour)
	}
	pair, err := a.Issue(o)
	must(t, err)
	must(t, writeFile(a.dir, name+".key", pair.KeyPEM, keyMode))
	must(t, writeFile(a.dir, name+".crt", pair.CertPEM, certMode))
	return FilesFor(a.dir, name)
}

func hubID() ID   { return ID{DefaultDomain, RoleHub, "hub1"} }
func agentID() ID { return ID{DefaultDomain, RoleAgent, "web1"} }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines is a log that tests read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// rejections collects what OnReject is told.
type rejections struct{ ch chan Rejection }

func newRejections() *rejections { return &rejections{make(chan Rejection, 100)} }

func (r *rejections) add(x Rejection) { r.ch <- x }

func (r *rejections) next(t *testing.T) Rejection {
	t.Helper()
	select {
	case x := <-r.ch:
		return x
	case <-time.After(10 * time.Second):
		t.Fatal("no rejection was reported")
		return Rejection{}
	}
}

func (r *rejections) none(t *testing.T) {
	t.Helper()
	select {
	case x := <-r.ch:
		t.Errorf("unexpected rejection: %v", &x)
	default:
	}
}

// echo serves connections of a listener until it closes: it writes one byte for
// each it reads.
func echo(t *testing.T, ln net.Listener) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	return ln
}

// exchange dials, sends a byte and reads it back. In TLS 1.3 only the reading
// shows that the server accepted the client.
func exchange(ctx context.Context, addr string, cfg *tls.Config) (tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	c := tls.Client(conn, cfg)
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if err := c.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		return tls.ConnectionState{}, err
	}
	return c.ConnectionState(), nil
}
