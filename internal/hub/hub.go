// Package hub is the EventBus: it takes events in over mutual TLS, makes them
// durable in the log before it acknowledges them, and hands them out again in
// order. On the same port it answers GET /health, and on a second one it serves
// metrics.
//
// A batch travels like this: gRPC hands its frames over unread; internal/hub/admit
// walks them once, decides which events are good and whether the batch was stored
// before; the log makes it durable; the ack goes out. Nothing is decoded and
// nothing copied on the way; a packed batch is unpacked to be walked, and stored as it
// came. Readers pull from the log, each at its own pace.
//
// Where what is, a part to each file and its neighbours:
//
//	a connection: who it is, its share, its end   conns, peers, credentials, accept, scarce
//	what it has begun and not finished            follow, package begun
//	a call: its role, share, message and answer   roles, calls, turns, codec, scales, answers
//	events in                                     bus, publish, unary, room, shares, wire, package admit
//	events out                                    subscribe, subscriptions, cursors, wire
//	what is told of it                            status, traces, metrics, meter, bounds, probes, exporter, expiry
//	the log and what is restored from it          storage
//
// The services beside the bus are packages of their own, which know the hub by what
// they are given: accounts, fleet, tasks, query, certificates, enroll (behind
// enroller); own publishes the hub's own events, audit those about people's acts.
//
// What every goroutine here may block on: a stream's receiver on its client, on its
// sender's share of the gate and on the gate, once for what it unpacks and once for what
// it stores; a stream's acknowledger on the log and on its client; a subscription on its
// client and on the log's tail. The log's own goroutine calls back here and is never
// blocked.
package hub

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub/admit"
	"github.com/amoskys/amoskys/internal/hub/begun"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/rights"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/spans"
)

// Registry is where metrics go and come from; *prometheus.Registry is one.
type Registry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// Options is what a hub needs. Config, Storage, Logger and Registry are required.
type Options struct {
	Config  Config
	Home    config.Home
	Storage *Storage // the caller closes it after Run has returned
	// Files overrides the certificate files that Config names.
	Files    identity.Files
	Logger   *slog.Logger
	Registry Registry
	// Metrics serves /metrics on the port of the metrics; nil serves the Registry alone.
	Metrics http.Handler
	Version string
	// Register adds further services to the server. Their methods must be in the
	// table of roles, or nobody may call them.
	Register func(grpc.ServiceRegistrar)
	// Enroll answers clients without a certificate that came to enrol, on
	// connections of their own; nil lets no such client in.
	Enroll http.Handler
	// Revoked says why a client certificate is refused although it is right, "" when
	// it is not. It is asked at each handshake. Nil refuses none.
	Revoked func(identity.ID, *x509.Certificate) string
	// Seen hears of each client certificate that connects; nil for nobody. It must
	// not block.
	Seen func(identity.ID, *x509.Certificate)
	// Auditor records who removed a cursor; nil records nothing.
	Auditor Auditor
	// Unsupervised hears of each stream of an agent that no node runs, with what the
	// agent says of itself; it returns what is called when the stream ends. Nil for
	// nobody.
	Unsupervised func(host, id string, claimed []byte) (gone func())
	// Reasons says what else is wrong, one sentence each; the hub is degraded then.
	Reasons func() []string
	// Readers says how the readers of the log in this process do; nil when there are
	// none.
	Readers func() []SubscriberStatus
	// Rate is how many events a second come now, as the live view counts them; nil
	// takes the last interval of the metrics.
	Rate func() float64
	// Spans makes traces; nil makes none.
	Spans *spans.Recorder
	Now   func() time.Time
}

// Hub is a server that has its ports. Make it with New.
type Hub struct {
	options Options
	now     func() time.Time
	started time.Time
	logger  *slog.Logger

	storage       *Storage
	subscriptions *subscriptions
	meter         *meter
	metrics       *metrics
	bus           *bus
	server        services
	health        *health.Server
	begun         *begun.Budget
	followLimiter *limit.Log
	answers       *answers

	scarce   *scarce
	peers    *peerConns
	tls      net.Listener // finished connections
	grpcFeed *feed
	httpFeed *feed
	enroller *enroller // nil when switched off
	exporter *exporter // nil when switched off

	stop     context.CancelFunc // ends the streams of readers
	stopping atomic.Bool
}

// New opens the ports and makes everything ready; Run serves. On error nothing
// stays open.
func New(o Options) (*Hub, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Files == (identity.Files{}) {
		o.Files = o.Config.Files(o.Home)
	}
	o.Config.Server.MaxConnections = o.Config.Server.connections(limit.Memory(), limit.MaxDescriptors())
	h := &Hub{
		options: o, now: o.Now, started: o.Now(), logger: o.Logger, storage: o.Storage,
		subscriptions: newSubscriptions(), meter: &meter{},
	}
	var err error
	if h.metrics, err = newMetrics(o.Registry, h.meter); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	h.scarce = newScarce(h.metrics.fail, h.logger, h.now)
	h.peers = newPeerConns(&o.Config.Server, h.scarce, h.now)
	if err := h.listen(); err != nil {
		return nil, err
	}
	h.bus = h.newBus()
	h.begun = begun.NewBudget(begunLimits(o.Config.Server.messageLimit()), h.now)
	h.followLimiter = limit.NewLog(h.logger, h.now)
	h.answers = newAnswers()
	h.serve()
	if err := h.gauges(o.Registry); err != nil {
		return nil, errors.Join(fmt.Errorf("register metrics: %w", err), h.closeListeners())
	}
	return h, nil
}

func (h *Hub) newBus() *bus {
	c := &h.options.Config.Server
	queue := int64(c.QueueMB) << 20
	return &bus{
		log: h.storage.Log, ledger: h.storage.ledger,
		rooms: newRooms(queue, int64(c.messageLimit()), min(2*time.Second, h.options.Config.timeout())),
		rules: admit.Rules{
			MaxEventBytes: c.MaxEventKB << 10, MaxEvents: c.MaxBatchEvents, MaxUnpackedBytes: c.messageLimit(), MaxSkew: maxSkew,
		},
		metrics: h.metrics, meter: h.meter, logger: h.logger,
		limiter: limit.NewLog(h.logger, h.now), now: h.now,
		maxInFlight:   c.MaxInFlight,
		spans:         newBatchSpans(h.options.Spans),
		subscriptions: h.subscriptions, large: newLargeBuffers(), draining: make(chan struct{}), unsupervised: h.options.Unsupervised,
	}
}

// listen opens the ports.
func (h *Hub) listen() error {
	c := &h.options.Config
	raw, err := listenTCP(c.Server.Host, c.Server.Port)
	if err != nil {
		return fmt.Errorf("open the hub's port: %w", err)
	}
	trust := identity.ServerOptions{
		Logger: h.logger, Now: h.options.Now, NextProtos: nextProtos(),
		BindClientAddress: c.TLS.BindClientAddress,
		OnReject:          h.rejected,
		Revoked:           h.options.Revoked,
	}
	h.peers.revoked, h.peers.seen = h.options.Revoked, h.options.Seen
	main := trust
	main.Enroll = h.options.Enroll != nil
	cfg, err := identity.ServerConfig(h.options.Files, main)
	if err != nil {
		return errors.Join(err, raw.Close())
	}
	h.tls = identity.NewListener(raw, cfg, identity.ListenerOptions{
		HandshakeTimeout: min(10*time.Second, c.timeout()), Shortage: h.scarce.shortage,
	})
	h.grpcFeed, h.httpFeed = newFeed(raw.Addr()), newFeed(raw.Addr())
	if h.options.Enroll != nil {
		h.enroller = newEnroller(raw.Addr(), h.options.Enroll, h.scarce, h.logger)
	}
	if !c.Metrics.Enabled {
		return nil
	}
	port, err := listenTCP(c.Metrics.Host, c.Metrics.Port)
	if err == nil {
		h.exporter, err = newExporter(port, h.options.Files, trust, h.metricsHandler(), h.scarce)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open the metrics port: %w", err), h.closeListeners())
	}
	h.exporter.ready = h.takesEvents
	return nil
}

// metricsHandler serves /metrics.
func (h *Hub) metricsHandler() http.Handler {
	if h.options.Metrics != nil {
		return h.options.Metrics
	}
	return obs.MetricsHandler(h.options.Registry)
}

func listenTCP(host string, port int) (net.Listener, error) {
	return obs.Listen(context.Background(), config.HostPort(host, port))
}

func (h *Hub) closeListeners() error {
	err := ignoreClosed(h.tls.Close())
	if h.exporter != nil {
		err = errors.Join(err, h.exporter.close())
	}
	return err
}

// Sizes that were measured; see docs/performance.md.
const (
	streamWindow = 128 << 10 // what a stream may hold unread; gRPC widens it for a message that is being read
	connWindow   = 2 << 20
	readBuffer   = 16 << 10 // of each connection, so small; writing borrows one only while it writes
	writeBuffer  = 64 << 10
)

// serve makes the gRPC server with all services.
func (h *Hub) serve() {
	c := &h.options.Config.Server
	alive, stop := context.WithCancel(context.Background())
	h.stop = stop
	g := &guard{
		table: rights.Hub(), logger: h.logger, limiter: limit.NewLog(h.logger, h.now),
		failed: h.metrics.fail, auditor: h.options.Auditor, stopped: alive,
		oneRequest: map[string]bool{}, answers: h.answers, turns: newTurns(c), arrivalTime: h.options.Config.timeout(),
	}
	h.server = services{guard: g, Server: grpc.NewServer(append(h.options.Spans.ServerOptions(longStreams()...),
		grpc.Creds(finished{h.follow}),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.InTapHandle(g.tap),
		grpc.ChainStreamInterceptor(g.stream),
		grpc.UnknownServiceHandler(g.unlisted),
		grpc.MaxRecvMsgSize(c.messageLimit()),
		grpc.MaxConcurrentStreams(uint32(c.MaxStreams)),
		grpc.NumStreamWorkers(uint32(c.Workers)),
		grpc.MaxHeaderListSize(16<<10),
		grpc.ConnectionTimeout(h.options.Config.timeout()),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.ReadBufferSize(readBuffer),
		grpc.WriteBufferSize(writeBuffer),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)...)}
	h.server.RegisterService(h.bus.describe(), h.bus)
	pb.RegisterCursorsServer(h.server, &cursorService{bus: h.bus, auditor: h.options.Auditor, own: h.ownReaders})
	h.health = health.NewServer()
	healthpb.RegisterHealthServer(h.server, h.health)
	if h.options.Register != nil {
		h.options.Register(h.server)
	}
	reflection.Register(h.server)
}

// Addr returns the address of the hub's port.
func (h *Hub) Addr() net.Addr { return h.tls.Addr() }

// MetricsAddr returns the address of the metrics port, nil when it is off.
func (h *Hub) MetricsAddr() net.Addr {
	if h.exporter == nil {
		return nil
	}
	return h.exporter.listener.Addr()
}

// Connections returns how many connections with a valid certificate are open.
func (h *Hub) Connections() int { return h.peers.len() }

func (h *Hub) isStopping() bool { return h.stopping.Load() }

// Run serves until ctx ends, then stops in order: no new connections, every batch
// that was accepted is acknowledged, streams end, clients are told to go away. It
// returns nil after an orderly end.
func (h *Hub) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return h.peers.route(h.tls, h.grpcFeed, h.httpFeed, h.enroller.give) })
	if h.enroller != nil {
		group.Go(func() error { return h.enroller.run(ctx) })
	}
	group.Go(func() error { return obs.Serve(ctx, h.httpFeed, h.httpHandler(), h.logger) })
	group.Go(func() error { return ignoreStopped(h.server.Serve(h.grpcFeed)) })
	if h.exporter != nil {
		group.Go(func() error { return h.exporter.run(ctx) })
	}
	group.Go(func() error { h.watch(ctx); return nil })
	group.Go(func() error {
		<-ctx.Done()
		return h.shutdown()
	})
	h.logger.Info("hub is serving", obs.KeyAddr, h.Addr().String(), "metrics_addr", addrText(h.MetricsAddr()),
		obs.KeyOffset, h.storage.Log.Stat().NextOffset, "log_opened_in", h.storage.took)
	err := group.Wait()
	h.logger.Info("hub has stopped")
	if err != nil {
		return fmt.Errorf("run the hub: %w", err)
	}
	return nil
}

// stopGrace is how long calls may take at most to end after they were told to; less
// where server.timeout_seconds is short.
const stopGrace = 3 * time.Second

// shutdown is the orderly end.
func (h *Hub) shutdown() error {
	h.stopping.Store(true)
	h.health.Shutdown()
	err := ignoreClosed(h.tls.Close())
	h.bus.drain()
	h.stop()
	graceful := make(chan struct{})
	go func() {
		defer close(graceful)
		h.server.GracefulStop()
	}()
	timer := time.NewTimer(min(h.options.Config.timeout()/5, stopGrace))
	defer timer.Stop()
	select {
	case <-graceful:
	case <-timer.C:
		h.server.Stop()
		<-graceful
	}
	h.bus.working.Wait()
	return err
}

// watch measures rates and keeps the health service in step with the log.
func (h *Hub) watch(ctx context.Context) {
	rate := time.NewTicker(time.Duration(h.options.Config.Metrics.IntervalSeconds) * time.Second)
	defer rate.Stop()
	state := time.NewTicker(time.Second)
	defer state.Stop()
	h.meter.tick(h.now())
	for {
		h.setHealth()
		select {
		case <-ctx.Done():
			return
		case <-rate.C:
			h.meter.tick(h.now())
		case <-state.C:
			h.begun.Sweep()
		}
	}
}

// setHealth says of the bus whether it takes events. The server as a whole is
// well as long as it answers, because it can be read from.
func (h *Hub) setHealth() {
	serving := healthpb.HealthCheckResponse_SERVING
	if h.storage.Log.Stat().State != "ok" {
		serving = healthpb.HealthCheckResponse_NOT_SERVING
	}
	h.health.SetServingStatus(pb.EventBus_ServiceDesc.ServiceName, serving)
}

func ignoreStopped(err error) error {
	if errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func addrText(a net.Addr) string {
	if a == nil {
		return "off"
	}
	return a.String()
}
