package hub

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// enroller serves connections without a certificate, apart from everything else:
// a server of its own, few at a time, one request each.
type enroller struct {
	feed   *feed
	slots  chan struct{}
	server *http.Server
}

// Bounds of what a stranger may use.
const (
	enrolConnections = 16
	enrolTimeout     = 10 * time.Second // for each of request and answer
	enrolHeaders     = 8 << 10
)

func newEnroller(addr net.Addr, handler http.Handler, logger *slog.Logger) *enroller {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: enrolTimeout, ReadTimeout: enrolTimeout, WriteTimeout: 2 * enrolTimeout,
		IdleTimeout: time.Second, MaxHeaderBytes: enrolHeaders,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false)
	return &enroller{feed: newFeed(addr), slots: make(chan struct{}, enrolConnections), server: server}
}

// give hands a connection over, or closes it when there are too many.
func (e *enroller) give(c net.Conn) {
	if e == nil {
		_ = c.Close()
		return
	}
	select {
	case e.slots <- struct{}{}:
		e.feed.give(&slotConn{Conn: c, slots: e.slots})
	default:
		_ = c.Close()
	}
}

// run serves until ctx ends, and waits a little for requests under way.
func (e *enroller) run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- e.server.Serve(e.feed) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := e.server.Shutdown(grace); err != nil {
		err = e.server.Close()
		<-ended //nolint:errcheck // it was made to end
		return err
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// slotConn gives its slot back when it is closed. It also hides the TLS
// connection from net/http, which serves no protocol that it does not know.
type slotConn struct {
	net.Conn
	slots <-chan struct{}
	once  sync.Once
}

// Close closes the connection.
func (c *slotConn) Close() error {
	c.once.Do(func() { <-c.slots })
	return c.Conn.Close()
}
