package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
)

// exporter serves /metrics on a port of its own: plain HTTP to this machine, and
// HTTPS to whoever has a client certificate.
type exporter struct {
	listener *bounded
	secure   *feed // raw connections that begin a TLS handshake
	plain    *feed
	tls      net.Listener // finished ones
	handler  http.Handler
	logger   *slog.Logger
}

// exporterPending bounds how many connections may be silent at a time, and
// exporterMost all that are open: those who scrape are few, and whoever opens more
// shall not use up the descriptors that the log needs.
const (
	exporterPending = 256
	exporterMost    = 512
)

// newExporter takes l over.
func newExporter(l net.Listener, files identity.Files, o identity.ServerOptions, g prometheus.Gatherer) (*exporter, error) {
	o.NextProtos = []string{"http/1.1"}
	cfg, err := identity.ServerConfig(files, o)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	x := &exporter{
		listener: &bounded{Listener: l, most: exporterMost, refuse: func(net.Addr) {}},
		secure:   newFeed(l.Addr()), plain: newFeed(l.Addr()), logger: o.Logger,
	}
	x.tls = identity.NewListener(x.secure, cfg, identity.ListenerOptions{MaxPending: exporterPending})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", obs.MetricsHandler(g))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("AMOSKYS hub: metrics are at /metrics\n")) // the client has gone
	})
	x.handler = mux
	return x, nil
}

// run serves until ctx ends.
func (x *exporter) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return splitFirstByte(x.listener, x.secure, x.plain, exporterPending) })
	group.Go(func() error { return obs.Serve(ctx, x.plain, fromHere(x.handler), x.logger) })
	group.Go(func() error { return obs.Serve(ctx, x.tls, x.handler, x.logger) })
	group.Go(func() error {
		<-ctx.Done()
		return ignoreClosed(x.listener.Close()) // the servers close theirs
	})
	if err := group.Wait(); err != nil {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

func (x *exporter) close() error {
	return errors.Join(ignoreClosed(x.listener.Close()), x.plain.Close(), ignoreClosed(x.tls.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// fromHere lets only this machine through, and no pages of others that it shows.
func fromHere(next http.Handler) http.Handler {
	next = obs.LocalNames(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addr, err := net.ResolveTCPAddr("tcp", r.RemoteAddr)
		if err != nil || !isLoopback(addr) {
			w.Header().Set("Connection", "close")
			http.Error(w, "plain HTTP is for this machine alone: use https with a client certificate", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
