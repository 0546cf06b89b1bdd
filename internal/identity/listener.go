package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
)

// ListenerOptions bounds what connections that are not yet known may use. Zero
// fields take the defaults.
type ListenerOptions struct {
	// HandshakeTimeout is what a client has from connecting to a finished
	// handshake; 10 seconds.
	HandshakeTimeout time.Duration
	// MaxPending bounds handshakes under way and finished connections that no
	// Accept has taken; 1024. When full, the slowest of the network that has most
	// gives way. A quarter is for networks from which a certificate came in the last
	// day.
	MaxPending int
	// MaxWaiting bounds connections that wait for a handshake because their own
	// network has most of them; 4096. When full, new ones are closed.
	MaxWaiting int
	// Shortage hears of each lack of descriptors or memory, which is waited out.
	Shortage func(error)
	// Logger and OnReject hear of refusals instead of the ServerOptions' ones.
	// Without either, those of the configuration are used.
	Logger   *slog.Logger
	OnReject func(Rejection)
}

// Listener hands out connections whose handshake is finished, as *tls.Conn. One
// slow or hostile client holds up no other, nor does one network.
type Listener struct {
	inner  *limit.Listener
	cfg    *tls.Config
	o      ListenerOptions
	report *reporter // nil when nobody wants to hear

	slots *limit.Slots
	known *limit.Known        // networks from which a certificate came
	line  chan *handshakeConn // those that wait for a slot

	ready  chan *tls.Conn
	freed  chan struct{}   // one token: a slot may be free
	ctx    context.Context //nolint:containedctx // the listener's life, ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu  sync.Mutex
	err error // why accepting ended

	done chan struct{} // closed when accepting has ended
}

// grace is the age at which a silent connection gives way to newer ones of its own
// network, and lineEvery how often whoever waits looks whether one has come to it.
// A client that has sent its first message gives way to its own network only when
// its time is over: when a whole fleet behind one address is back at once, this side
// is what is slow, and to begin anew with other clients would finish none.
const (
	grace     = 2 * time.Second
	lineEvery = 100 * time.Millisecond
)

// How many networks are known, and for how long after a certificate came.
const (
	knownNetworks = 16 << 10
	knownFor      = 24 * time.Hour
)

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
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = 4096
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Listener{
		inner: limit.NewListener(inner, limit.ListenerOptions{Shortage: o.Shortage}),
		cfg:   noticing(cfg), o: o, ctx: ctx, cancel: cancel,
		slots: limit.NewSlots(limit.SlotOptions{
			Slots: o.MaxPending, Share: o.MaxPending / 16, Reserved: o.MaxPending / 4, Grace: grace, WorkGrace: o.HandshakeTimeout,
		}),
		known: limit.NewKnown(knownNetworks, knownFor), line: make(chan *handshakeConn, o.MaxWaiting),
		ready: make(chan *tls.Conn), freed: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if o.Logger != nil || o.OnReject != nil {
		logger := o.Logger
		if logger == nil {
			logger = obs.Discard()
		}
		l.report = newReporter(logger, o.OnReject, time.Now)
	} else {
		l.report = reporterOf(cfg)
	}
	l.wg.Go(l.accept)
	l.wg.Go(l.admitLine)
	return l
}

// noticing returns a configuration that notices a client's first message.
func noticing(cfg *tls.Config) *tls.Config {
	out := cfg.Clone()
	out.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hc, ok := hello.Conn.(*handshakeConn); ok && hc.spoke != nil {
			hc.spoke()
		}
		if cfg.GetConfigForClient == nil {
			return nil, nil //nolint:nilnil // which tells crypto/tls to go on with this one
		}
		return cfg.GetConfigForClient(hello)
	}
	return out
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
	for {
		conn, err := l.inner.Accept()
		if err != nil {
			l.end(err)
			return
		}
		hc := &handshakeConn{Conn: conn, since: time.Now(), network: limit.NetworkOf(conn.RemoteAddr())}
		if l.start(hc) {
			continue
		}
		select {
		case l.line <- hc:
		default:
			l.refuse(hc, errNoSlot, true)
			_ = hc.Close()
		}
	}
}

var errNoSlot = errors.New("too many handshakes are under way")

func (l *Listener) end(err error) {
	if l.ctx.Err() != nil {
		err = net.ErrClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// admitLine serves those that wait, in order, until the listener is closed. Only
// networks that have most get here: all others find a slot at once.
func (l *Listener) admitLine() {
	for {
		select {
		case hc := <-l.line:
			for !l.start(hc) {
				if !l.waitForSlot() {
					_ = hc.Close()
					return
				}
			}
		case <-l.ctx.Done():
			l.closeLine()
			return
		}
	}
}

func (l *Listener) closeLine() {
	for {
		select {
		case hc := <-l.line:
			_ = hc.Close()
		case <-l.done:
			if len(l.line) == 0 {
				return
			}
		}
	}
}

// waitForSlot pauses and reports false when the listener is closed meanwhile.
func (l *Listener) waitForSlot() bool {
	t := time.NewTimer(lineEvery)
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

// start begins the handshake of a connection, if there is a slot for it.
func (l *Listener) start(hc *handshakeConn) bool {
	slot, err := l.slots.Take(limit.Claim{
		Key: hc.network, Known: l.known.Has(hc.network, time.Now()), GiveWay: func() { _ = hc.Close() },
	})
	if err != nil {
		return false
	}
	slot.Rest() // until its first message is there
	hc.spoke = slot.Work
	l.wg.Go(func() { l.serve(hc, slot) })
	return true
}

func (l *Listener) release(slot *limit.Slot) {
	slot.Release()
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// serve finishes one handshake and hands the connection over.
func (l *Listener) serve(hc *handshakeConn, slot *limit.Slot) {
	defer l.release(slot)
	_ = hc.SetDeadline(hc.since.Add(l.o.HandshakeTimeout))
	conn := tls.Server(hc, l.cfg)
	err := conn.HandshakeContext(l.ctx)
	evicted := !slot.Keep()
	if err == nil {
		err = hc.SetDeadline(time.Time{})
	}
	if err == nil && evicted {
		err = net.ErrClosed
	}
	if err != nil {
		l.refuse(hc, err, evicted)
		_ = hc.Close()
		return
	}
	if len(conn.ConnectionState().PeerCertificates) > 0 {
		l.known.Note(hc.network, time.Now())
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
		r.Reason, r.Detail = ReasonOverloaded, "gave way to other connections: "+strconv.Itoa(l.o.MaxPending)+
			" handshakes were under way, most of them of its network, and this one was the slowest"
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
// handshake goroutine's.
type handshakeConn struct {
	net.Conn
	network string
	since   time.Time
	got     int64 // bytes received during the handshake
	spoke   func()

	// Set by the server's configuration when the client's first message came.
	server     *server
	material   *material
	serverName string
}

// Read counts what arrives.
func (c *handshakeConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.got += int64(n)
	return n, err
}

// NetConn returns the connection underneath, as tls.Conn's method of that name does.
func (c *handshakeConn) NetConn() net.Conn { return c.Conn }
