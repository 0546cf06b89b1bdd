package hub

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/amoskys/amoskys/internal/limit"
)

// enroller serves connections without a certificate, apart from everything else:
// a server of its own, few at a time, one request each.
type enroller struct {
	feed   *feed
	slots  *limit.Slots // by network
	scarce *scarce
	server *http.Server
}

// Bounds of what a stranger may use.
const (
	enrolConnections = 16
	enrolGrace       = 2 * time.Second  // after which a client gives way to one of its own network
	enrolTimeout     = 10 * time.Second // for each of request and answer
	enrolHeaders     = 8 << 10
)

func newEnroller(addr net.Addr, handler http.Handler, s *scarce, logger *slog.Logger) *enroller {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: enrolTimeout, ReadTimeout: enrolTimeout, WriteTimeout: 2 * enrolTimeout,
		IdleTimeout: time.Second, MaxHeaderBytes: enrolHeaders,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false)
	return &enroller{
		feed: newFeed(addr), scarce: s, server: server,
		slots: limit.NewSlots(limit.SlotOptions{Slots: enrolConnections, Grace: enrolGrace, Now: s.now}),
	}
}

// give hands a connection over. When there are too many, one of the network that
// has most is closed; that may be this one.
func (e *enroller) give(c net.Conn) {
	if e == nil {
		_ = c.Close()
		return
	}
	end := func() {
		e.scarce.stranger(refusedEnrolment, c.RemoteAddr())
		_ = c.Close()
	}
	slot, err := e.slots.Take(limit.Claim{Key: limit.NetworkOf(c.RemoteAddr()), GiveWay: end})
	if err != nil {
		end()
		return
	}
	e.feed.give(&limit.Conn{Conn: hidden{c}, Slot: slot})
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

// hidden hides a TLS connection from net/http, which serves no protocol that it does
// not know.
type hidden struct{ net.Conn }
