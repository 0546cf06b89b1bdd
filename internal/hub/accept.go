package hub

import (
	"bufio"
	"net"
	"sync"
	"time"
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

// nextProtos are the hub's protocols in its order of preference: whoever offers
// both is a browser or curl and gets HTTP/1.1; gRPC clients offer h2 alone.
func nextProtos() []string { return []string{"http/1.1", "h2"} }

// peekTimeout is what a client of the metrics port has for its first byte.
const peekTimeout = 10 * time.Second

// tlsHandshake is the first byte of every TLS connection (RFC 8446 section 5.1).
const tlsHandshake = 0x16

// splitFirstByte hands TLS connections to one feed and all others to another,
// until in is closed. Each waits for its first byte by itself; in bounds them.
func splitFirstByte(in net.Listener, secure, plain *feed) error {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for {
		c, err := in.Accept()
		if err != nil {
			return ignoreClosed(err)
		}
		waiting.Go(func() { peekAndGive(c, secure, plain) })
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

// NetConn returns the connection underneath, as tls.Conn's method of that name does.
func (p *peekedConn) NetConn() net.Conn { return p.Conn }
