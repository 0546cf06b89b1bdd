package identity

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func startListener(t *testing.T, o ListenerOptions) (*Listener, *stage, *rejections) {
	t.Helper()
	s, got := newStage(t), newRejections()
	s.serverOpts.OnReject = got.add
	cfg, err := ServerConfig(s.server, s.serverOpts)
	must(t, err)
	ln := NewListener(listen(t), cfg, o)
	echo(t, ln)
	return ln, s, got
}

func dial(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr.String())
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	return c
}

func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	ln, _, got := startListener(t, ListenerOptions{})
	for _, method := range []string{"GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH"} {
		c := dial(t, ln.Addr())
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+ln.Addr().String()+"/health", strings.NewReader(strings.Repeat("x", 20000)))
		must(t, err)
		must(t, req.Write(c))
		res, err := http.ReadResponse(bufio.NewReader(c), req)
		must(t, err)
		body, err := io.ReadAll(res.Body)
		must(t, err)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusBadRequest || method != "HEAD" && !strings.Contains(string(body), "with a client certificate") {
			t.Errorf("%s: %d %q", method, res.StatusCode, body)
		}
		if r := got.next(t); r.Reason != ReasonNotTLS || !strings.Contains(r.Detail, "plain HTTP") || r.Remote == "" {
			t.Errorf("%s: %v", method, &r)
		}
	}
	c := dial(t, ln.Addr()) // a gRPC client without TLS
	_, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	must(t, err)
	answer, err := io.ReadAll(c)
	must(t, err)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("HTTP/2 preface: %q", answer)
	}
	if r := got.next(t); r.Reason != ReasonNotTLS {
		t.Errorf("HTTP/2 preface: %v", &r)
	}
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	ln, s, got := startListener(t, ListenerOptions{})
	for name, tc := range map[string]struct {
		bytes string
		want  Reason
		says  string
	}{
		"binary":            {"\x00\x01\x02\x03\x04\x05\x06\x07", ReasonNotTLS, "not TLS"},
		"ssh":               {"SSH-2.0-OpenSSH_9.2\r\n", ReasonNotTLS, "SSH"},
		"huge record":       {"\x16\x03\x01\xff\xff" + strings.Repeat("a", 100), ReasonProtocolError, ""},
		"not a hello":       {"\x16\x03\x01\x00\x04\x02\x00\x00\x00", ReasonProtocolError, ""},
		"damaged hello":     {"\x16\x03\x01\x00\x08\x01\x00\x00\x04\x03\x03\x00\x00", ReasonProtocolError, ""},
		"alert":             {"\x15\x03\x01\x00\x02\x02\x28", ReasonProtocolError, "alert"},
		"short then closed": {"\x16\x03", ReasonConnectionClosed, "closed"},
		"nothing":           {"", ReasonConnectionClosed, "before a byte"},
	} {
		c := dial(t, ln.Addr())
		_, err := io.WriteString(c, tc.bytes)
		must(t, err)
		must(t, c.(*net.TCPConn).CloseWrite())
		_, _ = io.Copy(io.Discard, c)
		if r := got.next(t); r.Reason != tc.want || !strings.Contains(r.Detail, tc.says) {
			t.Errorf("%s: %v, want %s", name, &r, tc.want)
		}
	}
	if _, err := exchange(t.Context(), ln.Addr().String(), clientFor(t, s, 0)); err != nil {
		t.Errorf("a good client after all that: %v", err)
	}
}

// TestClientMeetsPlainServer covers what a client says of a port without TLS.
func TestClientMeetsPlainServer(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for name, tc := range map[string]struct {
		answer string
		reason Reason
		says   string
	}{
		"http":    {"HTTP/1.1 400 Bad Request\r\n\r\n", ReasonNotTLS, "answered in plain HTTP"},
		"ssh":     {"SSH-2.0-OpenSSH\r\n", ReasonNotTLS, "SSH"},
		"garbage": {"\x00\x00\x00\x00\x00\x00\x00", ReasonNotTLS, "not TLS"},
		"closed":  {"", ReasonConnectionClosed, "closed"},
	} {
		client, server := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = server.Read(make([]byte, 4096))
			_, _ = io.WriteString(server, tc.answer)
			_ = server.Close()
		})
		cfg := clientFor(t, s, 0)
		err := ExplainHandshake(tls.Client(client, cfg).HandshakeContext(t.Context()), s.client, epoch)
		wg.Wait()
		_ = client.Close()
		if ClassifyHandshakeError(err) != tc.reason || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pipes is a listener of in-memory connections, for bubbles with a fake clock.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// drain closes what an accepting server would be given.
func drain(ln net.Listener, accepted func()) func() {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			accepted()
			_ = c.Close()
		}
	})
	return wg.Wait
}

func TestHandshakeTimeout(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg, err := ServerConfig(s.server, s.serverOpts)
	must(t, err)
	synctest.Test(t, func(t *testing.T) {
		got := newRejections()
		in := newPipes()
		ln := NewListener(in, cfg, ListenerOptions{HandshakeTimeout: 5 * time.Second, OnReject: got.add})
		wait := drain(ln, func() { t.Error("a connection was accepted") })
		start := time.Now()
		silent, drip := in.dial(), in.dial()
		// A client that sends one byte a second keeps no longer.
		var wg sync.WaitGroup
		wg.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for _, b := range []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") {
				<-tick.C
				if _, err := drip.Write([]byte{b}); err != nil {
					return
				}
			}
			t.Error("the dripping client was never cut off")
		})
		if n, err := silent.Read(make([]byte, 1)); err == nil {
			t.Errorf("read %d bytes", n)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("cut off after %s", took)
		}
		wg.Wait()
		for range 2 {
			if r := <-got.ch; r.Reason != ReasonHandshakeTimeout || !strings.Contains(r.Detail, "within 5s") {
				t.Errorf("reported %v", &r)
			}
		}
		must(t, ln.Close())
		wait()
		_, _ = silent.Close(), drip.Close()
	})
}

// TestSlowClientsGiveWay fills every slot with silent clients: a good one still
// gets in, at the cost of the oldest.
func TestSlowClientsGiveWay(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg, err := ServerConfig(s.server, s.serverOpts)
	must(t, err)
	client := clientFor(t, s, 0)
	synctest.Test(t, func(t *testing.T) {
		got := newRejections()
		in := newPipes()
		ln := NewListener(in, cfg, ListenerOptions{HandshakeTimeout: time.Minute, MaxPending: 3, OnReject: got.add})
		accepted := make(chan struct{}, 10)
		wait := drain(ln, func() { accepted <- struct{}{} })
		var silent []net.Conn
		for range 3 {
			silent = append(silent, in.dial())
		}
		start := time.Now()
		good := tls.Client(in.dial(), client)
		must(t, good.HandshakeContext(t.Context()))
		<-accepted
		if took := time.Since(start); took > grace {
			t.Errorf("the good client waited %s", took)
		}
		if r := <-got.ch; r.Reason != ReasonOverloaded {
			t.Errorf("reported %v", &r)
		}
		must(t, ln.Close())
		wait()
		for _, c := range append(silent, good.NetConn()) {
			_ = c.Close()
		}
		got.none(t)
	})
}

// flaky fails with a shortage a few times, then for good.
type flaky struct {
	*pipes
	errs []error
}

type shortage struct{ error }

func (shortage) Temporary() bool { return true }
func (shortage) Timeout() bool   { return false }

func (f *flaky) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, err
	}
	return f.pipes.Accept()
}

func TestAcceptErrors(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg, err := ServerConfig(s.server, s.serverOpts)
	must(t, err)
	client := clientFor(t, s, 0)
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the network is gone")
		few := shortage{errors.New("too many open files")}
		in := &flaky{newPipes(), []error{few, few, few}}
		ln := NewListener(in, cfg, ListenerOptions{})
		accepted := make(chan struct{}, 1)
		wait := drain(ln, func() { accepted <- struct{}{} })
		c := tls.Client(in.dial(), client)
		must(t, c.HandshakeContext(t.Context()))
		<-accepted
		must(t, ln.Close())
		wait()
		_ = c.NetConn().Close()

		dead := NewListener(&flaky{newPipes(), []error{broken}}, cfg, ListenerOptions{})
		if _, err := dead.Accept(); !errors.Is(err, broken) {
			t.Errorf("accept says %v", err)
		}
		must(t, dead.Close())
	})
}

// TestManyAtOnce sends more clients than slots, good and silent ones mixed.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	ln, s, _ := startListener(t, ListenerOptions{MaxPending: 8})
	client := clientFor(t, s, 0)
	var wg sync.WaitGroup
	errs := make(chan error, 40)
	for range cap(errs) {
		wg.Go(func() {
			_, err := exchange(context.WithoutCancel(t.Context()), ln.Addr().String(), client)
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Errorf("a good client failed: %v", err)
		}
	}
}

func TestCloseWithHandshakesUnderWay(t *testing.T) {
	t.Parallel()
	ln, _, got := startListener(t, ListenerOptions{HandshakeTimeout: time.Hour})
	c := dial(t, ln.Addr())
	_, err := c.Write([]byte{0x16})
	must(t, err)
	must(t, ln.Close())
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	got.none(t)
}

func TestRepeatsAreQuiet(t *testing.T) {
	t.Parallel()
	now, log, got := newClock(epoch), &lines{}, newRejections()
	rep := newReporter(log.logger(), got.add, now.Now)
	refused := &Rejection{Reason: ReasonExpired, Remote: "192.0.2.1:4711", Subject: "agent"}
	for range 10 {
		rep.report(refused)
	}
	other := &Rejection{Reason: ReasonExpired, Remote: "192.0.2.2:4711", Subject: "agent"}
	rep.report(other)
	now.Add(quietFor)
	rep.report(refused)
	if n := strings.Count(log.String(), "connection refused"); n != 3 || !strings.Contains(log.String(), "repeats=9") {
		t.Errorf("%d lines, want 3 with repeats=9:\n%s", n, log)
	}
	if len(got.ch) != 12 {
		t.Errorf("%d refusals reported, want all 12", len(got.ch))
	}
	for i := range 3 * quietMost {
		rep.log(&Rejection{Reason: ReasonNotTLS, Remote: fmt.Sprintf("10.%d.%d.1:1", i/256, i%256)})
	}
	if n := strings.Count(log.String(), "connection refused"); n > 3+quietMost {
		t.Errorf("%d lines about many hosts", n)
	}
}
