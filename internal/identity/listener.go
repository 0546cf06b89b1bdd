package identity

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"
)

// ListenerOptions bounds what connections that are not yet known may use. Zero
// fields take the defaults.
type ListenerOptions struct {
	// HandshakeTimeout is what a client has from connecting to a finished
	// handshake; 10 seconds.
	HandshakeTimeout time.Duration
	// MaxPending bounds handshakes under way and finished connections that no
	// Accept has taken; 1024. When full, new connections wait in the system's
	// queue, and one that has been at its handshake for two seconds gives way.
	MaxPending int
	// Logger and OnReject hear of refusals instead of the ServerOptions' ones.
	// Without either, those of the configuration are used.
	Logger   *slog.Logger
	OnReject func(Rejection)
}

// Listener hands out connections whose handshake is finished, as *tls.Conn. One
// slow or hostile client holds up no other.
type Listener struct {
	inner  net.Listener
	cfg    *tls.Config
	o      ListenerOptions
	report *reporter // nil when nobody wants to hear

	ready  chan *tls.Conn
	freed  chan struct{}   // one token: a slot may be free
	ctx    context.Context //nolint:containedctx // the listener's life, ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	active  int        // goroutines with a connection, at most MaxPending
	pending *list.List // *handshakeConn, oldest first: those that may give way
	err     error      // why accepting ended

	done chan struct{} // closed when accepting has ended
}

// grace is the age at which a handshake gives way to newer ones.
const grace = 2 * time.Second

// lingerFor and lingerMost bound how long and how much is read after the answer to
// a plain HTTP request: closing at once would reset the connection and with it
// the answer.
const (
	lingerFor  = 500 * time.Millisecond
	lingerMost = 64 << 10
)

// NewListener starts accepting from inner, which it owns from then on. cfg is best
// one of [ServerConfig]; others work, with less exact reasons.
func NewListener(inner net.Listener, cfg *tls.Config, o ListenerOptions) *Listener {
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = 10 * time.Second
	}
	if o.MaxPending <= 0 {
		o.MaxPending = 1024
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Listener{
		inner: inner, cfg: cfg, o: o, ctx: ctx, cancel: cancel,
		ready: make(chan *tls.Conn), freed: make(chan struct{}, 1), done: make(chan struct{}), pending: list.New(),
	}
	if o.Logger != nil || o.OnReject != nil {
		logger := o.Logger
		if logger == nil {
			logger = slog.New(slog.DiscardHandler)
		}
		l.report = newReporter(logger, o.OnReject, time.Now)
	} else {
		l.report = reporterOf(cfg)
	}
	l.wg.Go(l.accept)
	return l
}

// reporterOf returns the reporter of a [ServerConfig], also through clones of the
// configuration, or nil for other configurations.
func reporterOf(cfg *tls.Config) *reporter {
	if cfg.GetConfigForClient == nil {
		return nil
	}
	a, b := net.Pipe() // never used: a stranger's callback may ask for its addresses
	defer func() { _, _ = a.Close(), b.Close() }()
	probe := &handshakeConn{Conn: a}
	if _, err := cfg.GetConfigForClient(&tls.ClientHelloInfo{Conn: probe}); err != nil || probe.server == nil {
		return nil
	}
	return probe.server.report
}

// Accept returns the next finished connection, a *tls.Conn.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		l.mu.Lock()
		defer l.mu.Unlock()
		return nil, l.err
	}
}

// Addr returns the inner listener's address.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Close stops accepting, drops unfinished handshakes and waits for them.
// Connections handed out stay open.
func (l *Listener) Close() error {
	err := l.inner.Close()
	l.cancel()
	l.wg.Wait()
	return err
}

func (l *Listener) accept() {
	defer close(l.done)
	var pause time.Duration
	for {
		conn, err := l.inner.Accept()
		if err != nil {
			if l.ctx.Err() != nil || !transient(err) {
				l.end(err)
				return
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			if !l.wait(pause) {
				l.end(net.ErrClosed)
				return
			}
			continue
		}
		pause = 0
		hc := &handshakeConn{Conn: conn, since: time.Now()}
		if !l.admit(hc) {
			_ = conn.Close()
			l.end(net.ErrClosed)
			return
		}
		l.wg.Go(func() { l.serve(hc) })
	}
}

// transient tells a shortage (of descriptors, memory) from the listener's end.
func transient(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	var ne net.Error
	//nolint:staticcheck // Temporary is deprecated for general use, but is what Accept errors are told by
	return errors.As(err, &ne) && ne.Temporary()
}

func (l *Listener) end(err error) {
	if l.ctx.Err() != nil {
		err = net.ErrClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// wait pauses and reports false when the listener is closed meanwhile.
func (l *Listener) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.freed:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// admit waits for a slot, making the oldest handshake give way when it has had its
// time. It reports false when the listener is closed.
func (l *Listener) admit(hc *handshakeConn) bool {
	for {
		l.mu.Lock()
		if l.active < l.o.MaxPending {
			l.active++
			hc.place = l.pending.PushBack(hc)
			l.mu.Unlock()
			return true
		}
		pause := grace
		if front := l.pending.Front(); front != nil {
			oldest, _ := front.Value.(*handshakeConn)
			if pause = grace - time.Since(oldest.since); pause <= 0 {
				l.pending.Remove(front)
				oldest.place, oldest.evicted = nil, true
				_ = oldest.Close()
				pause = grace
			}
		}
		l.mu.Unlock()
		if !l.wait(pause) {
			return false
		}
	}
}

// settled takes hc off the list of those that may give way.
func (l *Listener) settled(hc *handshakeConn) (evicted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if hc.place != nil {
		l.pending.Remove(hc.place)
		hc.place = nil
	}
	return hc.evicted
}

func (l *Listener) release() {
	l.mu.Lock()
	l.active--
	l.mu.Unlock()
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// serve finishes one handshake and hands the connection over.
func (l *Listener) serve(hc *handshakeConn) {
	defer l.release()
	_ = hc.SetDeadline(hc.since.Add(l.o.HandshakeTimeout))
	conn := tls.Server(hc, l.cfg)
	err := conn.HandshakeContext(l.ctx)
	evicted := l.settled(hc)
	if err == nil {
		err = hc.SetDeadline(time.Time{})
	}
	if err != nil {
		l.refuse(hc, err, evicted)
		_ = hc.Close()
		return
	}
	select {
	case l.ready <- conn:
	case <-l.ctx.Done():
		_ = hc.Close()
	}
}

// refuse reports a failed handshake once and answers those who spoke plain HTTP.
func (l *Listener) refuse(hc *handshakeConn, err error, evicted bool) {
	if l.ctx.Err() != nil {
		return // we are closing: that is no refusal
	}
	r := rejectionOf(err)
	switch {
	case evicted:
		r.Reason, r.Detail = ReasonOverloaded, "gave way to newer connections: "+
			strconv.Itoa(l.o.MaxPending)+" handshakes were under way and this one was the slowest"
	case r.Reason == ReasonHandshakeTimeout:
		r.Detail = "no finished handshake within " + l.o.HandshakeTimeout.String() + ", " +
			strconv.FormatInt(hc.got, 10) + " bytes received"
	case r.Reason == ReasonConnectionClosed && hc.got == 0:
		r.Detail = "the connection was closed before a byte arrived"
	case r.ByPeer:
		hc.diagnose(r)
	}
	if r.Remote == "" && hc.RemoteAddr() != nil {
		r.Remote = hc.RemoteAddr().String()
	}
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	if l.report != nil {
		l.report.report(r)
	}
	var header tls.RecordHeaderError
	if errors.As(err, &header) && header.Conn != nil && looksLikeHTTP(header.RecordHeader) {
		answerHTTP(hc)
	}
}

// answerHTTP tells a plain HTTP client what this port speaks.
func answerHTTP(conn net.Conn) {
	const body = "This port speaks HTTPS and gRPC with a client certificate (mutual TLS); plain HTTP arrived.\n" +
		"Try: curl --cacert certs/ca.crt --cert certs/client.crt --key certs/client.key https://HOST:PORT/health\n"
	answer := "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n" + body
	_ = conn.SetDeadline(time.Now().Add(lingerFor))
	if _, err := io.WriteString(conn, answer); err != nil {
		return
	}
	if hc, ok := conn.(*handshakeConn); ok {
		if half, ok := hc.Conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	_, _ = io.CopyN(io.Discard, conn, lingerMost)
}

// handshakeConn is a connection that a Listener watches. The fields are the
// handshake goroutine's, but for place and evicted, which Listener.mu guards.
type handshakeConn struct {
	net.Conn
	since time.Time
	got   int64 // bytes received during the handshake

	// Set by the server's configuration when the client's first message came.
	server     *server
	material   *material
	serverName string

	place   *list.Element
	evicted bool
}

// Read counts what arrives.
func (c *handshakeConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.got += int64(n)
	return n, err
}

// NetConn returns the connection underneath, as tls.Conn's method of that name does.
func (c *handshakeConn) NetConn() net.Conn { return c.Conn }
