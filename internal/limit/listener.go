package limit

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// ListenerOptions say whose connections are taken.
type ListenerOptions struct {
	// Slots bounds the connections that are open, by the network they come from;
	// nil takes all.
	Slots *Slots
	// Known says whether a network is known; nil knows none.
	Known func(network string) bool
	// Refused hears of connections that were closed for want of a slot.
	Refused func(from net.Addr, err error)
	// Shortage hears of each lack of descriptors or memory, which is waited out.
	Shortage func(err error)
}

// Listener shares connections among the networks that they come from, and outlives
// a shortage of descriptors: whoever opens many connections must not end a server
// by it.
type Listener struct {
	net.Listener
	o      ListenerOptions
	closed chan struct{}
	once   sync.Once
}

// NewListener returns a listener that owns inner.
func NewListener(inner net.Listener, o ListenerOptions) *Listener {
	if o.Known == nil {
		o.Known = func(string) bool { return false }
	}
	return &Listener{Listener: inner, o: o, closed: make(chan struct{})}
}

// Longest and shortest pause after a shortage.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = time.Second
)

// Accept returns the next connection that has a slot, a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	var pause time.Duration
	for {
		c, err := l.Listener.Accept()
		switch {
		case err == nil:
			pause = 0
			if conn, ok := l.admit(c); ok {
				return conn, nil
			}
		case !isShortage(err):
			return nil, err
		default:
			if l.o.Shortage != nil {
				l.o.Shortage(err)
			}
			if pause = min(max(2*pause, shortestPause), longestPause); !l.wait(pause) {
				return nil, net.ErrClosed
			}
		}
	}
}

// Close closes the listener. Connections stay open.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// admit takes a slot for a connection, or closes it.
func (l *Listener) admit(c net.Conn) (*Conn, bool) {
	conn := &Conn{Conn: c}
	if l.o.Slots == nil {
		return conn, true
	}
	from := NetworkOf(c.RemoteAddr())
	slot, err := l.o.Slots.Take(Claim{Key: from, Known: l.o.Known(from), GiveWay: func() {
		if l.o.Refused != nil {
			l.o.Refused(c.RemoteAddr(), ErrShare)
		}
		_ = c.Close() // whoever serves it notices, and closes conn
	}})
	if err != nil {
		if l.o.Refused != nil {
			l.o.Refused(c.RemoteAddr(), err)
		}
		_ = c.Close()
		return nil, false
	}
	conn.Slot = slot
	return conn, true
}

// wait pauses and reports false when the listener is closed meanwhile.
func (l *Listener) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.closed:
		return false
	}
}

// isShortage tells a lack of descriptors or memory, which passes, from the end of
// a listener.
func isShortage(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	//nolint:staticcheck // Temporary is deprecated for general use, but is what Accept errors are told by
	return ok && ne.Temporary() && !errors.Is(err, net.ErrClosed)
}

// Conn is a connection with a slot, which it gives back when it is closed.
type Conn struct {
	net.Conn
	Slot *Slot // nil where connections are not bounded
}

// Close closes the connection.
func (c *Conn) Close() error {
	if c.Slot != nil {
		c.Slot.Release()
	}
	return c.Conn.Close()
}

// CloseWrite ends sending, where the connection can.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// NetConn returns the connection underneath, as tls.Conn's method of that name does.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// ConnOf finds the Conn below TLS and other layers, or returns nil.
func ConnOf(c net.Conn) *Conn {
	for {
		if conn, ok := c.(*Conn); ok {
			return conn
		}
		layer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = layer.NetConn()
	}
}

// ConnState is for http.Server: connections without a request give way first.
func ConnState(c net.Conn, state http.ConnState) {
	conn := ConnOf(c)
	if conn == nil || conn.Slot == nil {
		return
	}
	switch state {
	case http.StateNew, http.StateIdle:
		conn.Slot.Rest()
	case http.StateActive, http.StateHijacked:
		conn.Slot.Work()
	case http.StateClosed: // its slot is free
	}
}
