package store

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/amoskys/amoskys/internal/config"
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

// Options is what a Server needs. Config, Query, Memory, Logger and Registry are
// required.
type Options struct {
	Config Config
	Home   config.Home
	// Query answers. Who asks is [CallerOf] its contexts.
	Query pb.QueryServer
	// Devices answers what is on the network; nil: this store does not know.
	Devices pb.DevicesServer
	// Metrics answers questions about metrics; nil: this store has none.
	Metrics pb.MetricsServer
	// Snapshots takes snapshots for backups; nil: this store takes none.
	Snapshots pb.SnapshotsServer
	// Memory is what answers may hold, those that are not read included: that of Query.
	Memory   *limit.Budget
	Logger   *slog.Logger
	Registry Registry
	// Revoked says why a client certificate is refused although it is right, "" when
	// it is not. It is asked at each handshake, and of all connections by CutRevoked.
	// Nil refuses none.
	Revoked func(identity.ID, *x509.Certificate) string
	// Ready says whether questions about events can be answered; nil is always.
	Ready func() bool
	// Spans makes traces; nil makes none.
	Spans *spans.Recorder
	Now   func() time.Time
}

// Server is a store's ports. Make it with New.
type Server struct {
	o       Options
	conns   *conns
	metrics net.Listener // nil when switched off
	grpc    *grpc.Server
	health  *health.Server
	stop    context.CancelFunc // ends calls
}

// Bounds of messages. Questions are small; answers are bounded by who makes them.
const (
	maxRequest   = 128 << 10 // bytes: a query has 16 KiB, beside the lists of its filter
	streamWindow = 64 << 10
	connWindow   = 256 << 10
	maxHeader    = 16 << 10
)

// New opens the ports; Run serves. On error nothing stays open.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ready == nil {
		o.Ready = func() bool { return true }
	}
	s := &Server{o: o, health: health.NewServer()}
	if err := s.listen(); err != nil {
		return nil, err
	}
	timed, err := newTiming(o.Registry, o.Logger, o.Now)
	if err = errors.Join(err, s.gauges()); err != nil {
		return nil, errors.Join(err, s.closePorts())
	}
	alive, stop := context.WithCancel(context.Background())
	s.stop = stop
	g := &guard{table: rights.Store(), logger: o.Logger, limiter: limit.NewLog(o.Logger, o.Now), memory: o.Memory, timing: timed, stopped: alive}
	s.grpc = grpc.NewServer(append(o.Spans.ServerOptions(pb.Snapshots_HoldSnapshot_FullMethodName),
		grpc.Creds(finished{}), grpc.ForceServerCodecV2(newAnswerCodec()),
		grpc.UnaryInterceptor(g.unary), grpc.StreamInterceptor(g.stream),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxConcurrentStreams(uint32(o.Config.Server.MaxStreams)),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.ConnectionTimeout(o.Config.timeout()),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)...)
	pb.RegisterQueryServer(s.grpc, o.Query)
	if o.Devices == nil {
		o.Devices = pb.UnimplementedDevicesServer{}
	}
	pb.RegisterDevicesServer(s.grpc, o.Devices)
	if o.Metrics == nil {
		o.Metrics = pb.UnimplementedMetricsServer{}
	}
	pb.RegisterMetricsServer(s.grpc, o.Metrics)
	if o.Snapshots == nil {
		o.Snapshots = pb.UnimplementedSnapshotsServer{}
	}
	pb.RegisterSnapshotsServer(s.grpc, o.Snapshots)
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	return s, nil
}

// listen opens the ports.
func (s *Server) listen() error {
	c := &s.o.Config
	raw, err := obs.Listen(context.Background(), c.Address())
	if err != nil {
		return fmt.Errorf("open the store's port: %w", err)
	}
	cfg, err := identity.ServerConfig(c.Files(s.o.Home), identity.ServerOptions{
		Logger: s.o.Logger, Now: s.o.Now, NextProtos: []string{"h2"}, BindClientAddress: true, Revoked: s.o.Revoked,
	})
	if err != nil {
		return errors.Join(err, raw.Close())
	}
	s.conns = newConns(identity.NewListener(raw, cfg, identity.ListenerOptions{
		HandshakeTimeout: min(handshakeMost, c.timeout()), MaxPending: c.Server.MaxConnections,
	}), &s.o)
	if !c.Metrics.Enabled {
		return nil
	}
	s.metrics, err = obs.Listen(context.Background(), config.HostPort(c.Metrics.Host, c.Metrics.Port))
	if err != nil {
		return errors.Join(fmt.Errorf("open the metrics port: %w", err), s.conns.Close())
	}
	return nil
}

func (s *Server) closePorts() error {
	err := s.conns.Close()
	if s.metrics != nil {
		err = errors.Join(err, s.metrics.Close())
	}
	return err
}

func (s *Server) gauges() error {
	err := s.o.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "amoskys_store_connections", Help: "Connections with a valid certificate that are open.",
	}, func() float64 { return float64(s.conns.count()) }))
	err = errors.Join(err, s.o.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "amoskys_store_answer_bytes", Help: "Bytes that answers hold in memory, those included that their clients have not read yet.",
	}, func() float64 { return float64(s.o.Memory.Taken()) })))
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// Addr returns the address of the store's port.
func (s *Server) Addr() net.Addr { return s.conns.Addr() }

// MetricsAddr returns the address of the metrics port, nil when it is off.
func (s *Server) MetricsAddr() net.Addr {
	if s.metrics == nil {
		return nil
	}
	return s.metrics.Addr()
}

// CutRevoked ends the connections whose certificate Options.Revoked refuses by now,
// and returns how many those were.
func (s *Server) CutRevoked() int { return s.conns.cutRevoked() }

// Run serves until ctx ends, then stops in order: no new connections, calls end,
// clients are told to go away. It returns nil after an orderly end.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := s.grpc.Serve(s.conns); !errors.Is(err, grpc.ErrServerStopped) && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	if s.metrics != nil {
		group.Go(func() error {
			return obs.Endpoint{Gatherer: s.o.Registry, Ready: s.o.Ready, Scraped: true}.Serve(ctx, s.metrics, s.o.Logger)
		})
	}
	group.Go(func() error { s.watch(ctx); return nil })
	group.Go(func() error {
		<-ctx.Done()
		s.shutdown()
		return nil
	})
	s.o.Logger.Info("store is serving", obs.KeyAddr, s.Addr().String())
	err := group.Wait()
	s.o.Logger.Info("store has stopped")
	if err != nil {
		return fmt.Errorf("run the store: %w", err)
	}
	return nil
}

// stopGrace is how long calls may take at most to end after they were told to.
const stopGrace = 3 * time.Second

// shutdown is the orderly end.
func (s *Server) shutdown() {
	s.health.Shutdown()
	s.stop()
	graceful := make(chan struct{})
	go func() {
		defer close(graceful)
		s.grpc.GracefulStop()
	}()
	timer := time.NewTimer(min(s.o.Config.timeout()/5, stopGrace))
	defer timer.Stop()
	select {
	case <-graceful:
	case <-timer.C:
		s.grpc.Stop()
		<-graceful
	}
}

// watch keeps the health service in step: the server as a whole is well as long as
// it answers, and Query once it can answer about events.
func (s *Server) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		serving := healthpb.HealthCheckResponse_SERVING
		if !s.o.Ready() {
			serving = healthpb.HealthCheckResponse_NOT_SERVING
		}
		s.health.SetServingStatus(pb.Query_ServiceDesc.ServiceName, serving)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
