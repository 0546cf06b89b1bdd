package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
)

// exporter serves /metrics on a port of its own: plain HTTP to this machine, and
// HTTPS to whoever has a client certificate. Probes get their verdict from anywhere.
type exporter struct {
	listener *limit.Listener
	secure   *feed // raw connections that begin a TLS handshake
	plain    *feed
	tls      net.Listener // finished ones
	peers    *peerConns   // of them
	handler  http.Handler
	ready    func() bool // whether the hub takes events; set before run
	logger   *slog.Logger
}

// Bounds on connections of the metrics port: those who scrape are few, and whoever
// opens more shall not use up the descriptors that the log needs.
const (
	exporterPending = 256 // handshakes under way
	exporterMost    = 512 // all that are open
	exporterShare   = 64  // what one network has in safety, and one certificate at most
	exporterGrace   = 2 * time.Second
)

// newExporter takes l over.
func newExporter(l net.Listener, files identity.Files, o identity.ServerOptions, metrics http.Handler, sc *scarce) (*exporter, error) {
	o.NextProtos = []string{"http/1.1"}
	cfg, err := identity.ServerConfig(files, o)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	port := sc.port(refusedScrape)
	port.Slots = limit.NewSlots(limit.SlotOptions{
		Slots: exporterMost, Share: exporterShare, Reserved: exporterMost / 4, Grace: exporterGrace,
	})
	x := &exporter{
		listener: limit.NewListener(l, port),
		secure:   newFeed(l.Addr()), plain: newFeed(l.Addr()), logger: o.Logger,
	}
	x.tls = identity.NewListener(x.secure, cfg, identity.ListenerOptions{MaxPending: exporterPending})
	x.peers = newPeerConns(&ServerConfig{
		MaxConnections: exporterMost, AgentConnections: exporterShare, ClientConnections: exporterShare,
	}, sc, sc.now)
	x.peers.revoked = o.Revoked
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
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
	group.Go(func() error { return splitFirstByte(x.listener, x.secure, x.plain) })
	group.Go(func() error { return x.servePlain(ctx) })
	group.Go(func() error { return obs.Serve(ctx, x.peers.listener(x.tls), obs.Probes(x.ready, x.handler), x.logger) })
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
