package hub

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
)

// feed is a listener whose connections come from elsewhere.
type feed struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newFeed(addr net.Addr) *feed {
	return &feed{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept returns the next connection, or net.ErrClosed.
func (f *feed) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. It does not close connections.
func (f *feed) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// Addr returns the address that the connections were accepted at.
func (f *feed) Addr() net.Addr { return f.addr }

// give hands a connection over, or closes it when nobody accepts any more.
func (f *feed) give(c net.Conn) {
	select {
	case f.conns <- c:
	case <-f.closed:
		_ = c.Close()
	}
}

// wait pauses and reports false when the feed is closed meanwhile.
func (f *feed) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-f.closed:
		return false
	}
}

// isShortage tells a lack of descriptors or memory, which passes, from the end
// of a listener.
func isShortage(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	//nolint:staticcheck // Temporary is deprecated for general use, but is what Accept errors are told by
	return ok && ne.Temporary()
}

// nextProtos are the hub's protocols in its order of preference: whoever offers
// both is a browser or curl and gets HTTP/1.1; gRPC clients offer h2 alone.
func nextProtos() []string { return []string{"http/1.1", "h2"} }

// splitTLS hands finished connections to gRPC, to HTTPS or to enrolment until in
// is closed. Those that enrol have shown no certificate: they go to enroll alone.
func splitTLS(in net.Listener, grpc, https *feed, enroll func(net.Conn)) error {
	for {
		c, err := in.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		proto := ""
		if secure, ok := c.(*tls.Conn); ok {
			proto = secure.ConnectionState().NegotiatedProtocol
		}
		switch proto {
		case identity.EnrollProto:
			enroll(c)
		case "h2":
			grpc.give(c)
		default:
			https.give(c)
		}
	}
}

// bounded closes connections above a number instead of accepting them.
type bounded struct {
	net.Listener
	most   int64
	refuse func(net.Addr)
	open   atomic.Int64
}

// Accept returns the next connection within the bound.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if b.open.Add(1) <= b.most {
			return &countedConn{Conn: c, open: &b.open}, nil
		}
		b.open.Add(-1)
		b.refuse(c.RemoteAddr())
		_ = c.Close()
	}
}

// countedConn counts itself out when it is closed.
type countedConn struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

// Close closes the connection.
func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// CloseWrite ends sending, where the connection can.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// peekTimeout is what a client of the metrics port has for its first byte.
const peekTimeout = 10 * time.Second

// tlsHandshake is the first byte of every TLS connection (RFC 8446 section 5.1).
const tlsHandshake = 0x16

// splitFirstByte hands TLS connections to one feed and all others to another,
// until in is closed. Each waits for its first byte by itself, and most of them
// at a time. A shortage of descriptors is waited out: whoever opens many
// connections must not end the hub by it.
func splitFirstByte(in net.Listener, secure, plain *feed, most int) error {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	slots := make(chan struct{}, most)
	var pause time.Duration
	for {
		c, err := in.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if pause = min(max(2*pause, 5*time.Millisecond), time.Second); !isShortage(err) || !plain.wait(pause) {
				return err
			}
			continue
		}
		pause = 0
		select {
		case slots <- struct{}{}:
		default:
			_ = c.Close()
			continue
		}
		waiting.Go(func() {
			defer func() { <-slots }()
			peekAndGive(c, secure, plain)
		})
	}
}

func peekAndGive(c net.Conn, secure, plain *feed) {
	done := make(chan struct{})
	defer close(done)
	go func() { // a stopping hub does not wait for silent clients
		select {
		case <-plain.closed:
			_ = c.SetReadDeadline(time.Now())
		case <-done:
		}
	}()
	_ = c.SetReadDeadline(time.Now().Add(peekTimeout))
	p := &peekedConn{Conn: c, r: bufio.NewReaderSize(c, 4096)}
	first, err := p.r.Peek(1)
	if err != nil {
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	if first[0] == tlsHandshake {
		secure.give(p)
		return
	}
	plain.give(p)
}

// peekedConn reads first what was peeked at.
type peekedConn struct {
	net.Conn
	r *bufio.Reader
}

// Read reads from the buffer, then from the connection.
func (p *peekedConn) Read(b []byte) (int, error) { return p.r.Read(b) }
