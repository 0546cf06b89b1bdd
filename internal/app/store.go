package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/clock"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/devices"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/metrics"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/node/ports"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/spans"
	"github.com/amoskys/amoskys/internal/store"
	"github.com/amoskys/amoskys/internal/store/answers"
	"github.com/amoskys/amoskys/internal/store/ingest"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/stream"
)

// LoadStoreConfig reads the store's configuration under home.
func LoadStoreConfig(e *cli.Env) (store.Config, error) {
	cfg := store.DefaultConfig()
	err := config.Load(e.Home.StoreConfig(), &cfg, config.DecodeOptions{Env: e.Lookup})
	return cfg, err
}

// RunStore runs the store until ctx ends.
func RunStore(ctx context.Context, e *cli.Env) (err error) {
	cfg, err := LoadStoreConfig(e)
	if err != nil {
		return err
	}
	logger, closer, err := endpoint.RoleLogger(e, "store", cfg.Logging.Level)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	ctx, cancel := child.WithParent(ctx)
	defer cancel()
	if err := ports.Explain(runStore(ctx, e.Home, cfg, logger)); err != nil {
		logger.Log(ctx, obs.LevelCritical, "store failed", obs.KeyError, err)
		return err
	}
	return nil
}

// runStore puts the store together and serves.
func runStore(ctx context.Context, home config.Home, cfg store.Config, logger *slog.Logger) (err error) {
	limitMemory(logger)
	if err := RefusePartial(home); err != nil {
		return err
	}
	restored, err := ReadRestored(home)
	if err != nil {
		return err
	}
	cfg = restoredStore(cfg, restored)
	folder := home.Path(cfg.Store.Path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the store's folder: %w", err)
	}
	conn, err := dialFromStore(home, cfg, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	follower, err := store.OpenFollower(store.FollowerOptions{
		File: filepath.Join(folder, "revoked.json"), Client: pb.NewCertificatesClient(conn), Logger: logger,
	})
	if err != nil {
		return err
	}
	registry := obs.NewRegistry()
	believed := clock.Open(clock.Options{File: filepath.Join(folder, "clock"), Logger: logger})
	newKept := newEmbedded
	if cfg.Store.Clustered() {
		newKept = newClusters
	}
	traces, err := spans.New(spans.Options{
		Config: cfg.OTel, Service: "store", Version: obs.ReadBuild().Version, Home: home, Registerer: registry, Logger: logger,
	})
	if err != nil {
		return err
	}
	k, err := newKept(conn, home, &cfg, folder, believed, registry, logger, traces)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.end()) }()
	var inventory *devices.Inventory
	out := &exports{}
	readings, err := newReadings(conn, home, &cfg, believed, out.notify, registry, logger)
	if err != nil {
		return err
	}
	alerts, err := newAlerting(conn, home, &cfg, readings, believed, registry, logger)
	if err != nil {
		return err
	}
	if err := out.begin(home, &cfg, registry, logger); err != nil {
		return err
	}
	events := k.status
	k.status = func() *pb.StoreStatus {
		s := withFaults(events(), inventory.Status, readings.Status, alerts.status, out.status)
		s.Readings = readings.Report()
		return s
	}
	if inventory, err = newInventory(conn, home, k.earlier, believed, registry, logger); err != nil {
		return err
	}
	promAPI, err := newPromAPI(readings, alerts, &cfg.TSDB, k.memory, registry, logger)
	if err != nil {
		return err
	}
	server, err := store.New(store.Options{ //nolint:contextcheck // it opens its ports and returns
		Config: cfg, Home: home, Logger: logger, Registry: registry,
		Query: k.query, Devices: inventory, Metrics: promAPI, Memory: k.memory,
		Snapshots: store.NewSnapshots(logger, append(k.kept, store.Kept{Name: "metrics", Take: readings.Snapshot})...),
		Revoked:   follower.List.Refusal, Ready: k.ready, Spans: traces,
	})
	if err != nil {
		return err
	}
	p := &storeParts{clock: believed, server: server, follower: follower, keeps: k, devices: inventory, readings: readings, alerts: alerts, exports: out, traces: traces, logger: logger}
	return p.run(ctx)
}

// part is something that runs in a store.
type part struct {
	what string
	run  func(context.Context) error
}

// eventKeeper is what keeps the events of a store, and answers about them.
type eventKeeper struct {
	query   pb.QueryServer
	earlier devices.Earlier
	memory  *limit.Budget
	// status says how it is; whoever puts the store together adds what else there is.
	status func() *pb.StoreStatus
	ready  func() bool
	kept   []store.Kept // of which snapshots can be taken
	parts  []part       // in the order in which they are started; the last ends first
	end    func() error
}

// newEmbedded returns what keeps the events in an engine of the store's own.
func newEmbedded(
	conn *grpc.ClientConn, home config.Home, cfg *store.Config, folder string, believed *clock.Clock, registry *prometheus.Registry, logger *slog.Logger, traces *spans.Recorder,
) (*eventKeeper, error) {
	engine, removeSocket, err := newKeeper(home, *cfg, folder, logger, traces)
	if err != nil {
		return nil, err
	}
	feed, err := ingest.New(ingest.Options{
		Engine: ingest.Kept(engine), Source: reader.NewRemote(conn), Path: folder, Logger: logger, Registerer: registry, Now: believed.Now,
		Retention: ingest.Retention{
			Days: cfg.Store.RetentionDays, Bytes: int64(cfg.Store.RetentionSizeMB) << 20,
			MinFree: int64(cfg.Store.MinFreeMB) << 20, ByType: cfg.Store.RetentionByType,
		},
	})
	if err != nil {
		return nil, errors.Join(err, removeSocket())
	}
	k := &eventKeeper{
		status: feed.Status, ready: func() bool { s := engine.State(); return s.Running && s.Silent == 0 },
		parts: []part{{"engine", engine.Run}, {"reading the log", feed.Run}}, end: removeSocket,
		kept: []store.Kept{{Name: "store", Take: feed.Snapshot}},
	}
	options := answersOptions(conn, engine.Client(), feed, func() string {
		if s := engine.State(); s.Silent > 0 {
			return fmt.Sprintf("the store's engine has not answered for %s: ask again in a minute", s.Silent.Round(time.Second))
		}
		return ""
	})
	options.Status, options.Doubt = func() *pb.StoreStatus { return k.status() }, engine.Doubt
	service := answers.New(options)
	k.query, k.earlier, k.memory = service, service, service.Memory()
	return k, nil
}

// answersOptions are what the Query service answers from.
func answersOptions(hub grpc.ClientConnInterface, engine answers.Engine, feed *ingest.Ingest, away func() string) answers.Options {
	query := pb.NewQueryClient(hub)
	return answers.Options{
		Engine: engine, Status: feed.Status, Next: feed.Inserted, Offer: feed.Offer, Log: feed.Log, Lacks: feed.Lacks, Unread: feed.Unread,
		Version: obs.ReadBuild().Version,
		Hub: func(ctx context.Context) (*pb.StatusResponse, error) {
			return query.Status(ctx, &pb.StatusRequest{})
		},
		Caller: func(ctx context.Context) string { return store.CallerOf(ctx).Key() },
		Gaps:   func() []answers.Gap { return gapsOf(feed.Place()) },
		Away:   away,
	}
}

// storeParts are what runs in a store.
type storeParts struct {
	clock    *clock.Clock
	server   *store.Server
	follower *store.Follower
	keeps    *eventKeeper
	devices  *devices.Inventory
	readings *metrics.DB
	alerts   *alerting
	exports  *exports
	traces   *spans.Recorder
	logger   *slog.Logger
}

// run serves until ctx ends, and stops in order: the server, so that nobody asks
// what ends; the feed, which makes durable what it has; the engine.
func (p *storeParts) run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	begin := func(what string, run func(context.Context) error) (end func() error) {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan error, 1)
		go func() {
			err := run(own)
			if own.Err() == nil { // it was to go on
				err = fmt.Errorf("%s: %w", what, cmp.Or(err, errEnded))
				fail(err)
			}
			done <- err
		}()
		return func() error { cancel(); return <-done }
	}
	ends := make([]func() error, 0, len(p.keeps.parts)+8)
	ends = append(ends, begin("traces", p.traces.Run), begin("clock", p.clock.Run))
	for _, one := range p.keeps.parts {
		ends = append(ends, begin(one.what, one.run))
	}
	ends = append(
		ends, begin("devices", p.runDevices),
		begin("metrics", p.runReadings),
		begin("rules", p.alerts.run),
		begin("exports", p.exports.run),
		begin("revocations", func(ctx context.Context) error { return p.follower.Run(ctx, p.server.CutRevoked) }),
		begin("server", p.server.Run),
	)
	<-ctx.Done()
	var errs []error
	for _, end := range slices.Backward(ends) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

var errEnded = errors.New("it ended by itself")

// newInventory returns what makes the inventory of devices out of the log.
func newInventory(
	hub grpc.ClientConnInterface, home config.Home, stored devices.Earlier, believed *clock.Clock, registry *prometheus.Registry, logger *slog.Logger,
) (*devices.Inventory, error) {
	query := pb.NewQueryClient(hub)
	return devices.New(devices.Options{
		Source: reader.NewRemote(hub), Path: home.Path("data/devices"), Logger: logger, Registerer: registry, Now: believed.Now, Earlier: stored,
		LogBegins: func(ctx context.Context) (stream.Offset, error) {
			s, err := query.Status(ctx, &pb.StatusRequest{})
			return s.GetLog().GetFirstOffset(), err
		},
		Caller: func(ctx context.Context) string { return store.CallerOf(ctx).Key() },
	})
}

// withFaults adds to the store's status what else in its process has a fault, or has
// something to tell though it is well.
func withFaults(s *pb.StoreStatus, others ...func() (state, reason string)) *pb.StoreStatus {
	for _, other := range others {
		state, reason := other()
		if state != "ok" && s.GetState() == "ok" {
			s.State = state
		}
		if reason != "" {
			s.Reason = strings.TrimPrefix(s.GetReason()+"; "+reason, "; ")
		}
	}
	return s
}

// newReadings returns what writes the readings of all agents out of the log.
func newReadings(
	hub grpc.ClientConnInterface, home config.Home, cfg *store.Config, believed *clock.Clock, written func(), registry *prometheus.Registry, logger *slog.Logger,
) (*metrics.DB, error) {
	return metrics.New(metrics.Options{
		Source: reader.NewRemote(hub), Path: home.Path(cfg.TSDB.Path), Logger: logger, Registerer: registry, Now: believed.Now, Written: written,
		Retention: cfg.TSDB.Retention(), RetentionBytes: int64(cfg.TSDB.RetentionSizeMB) << 20, MinFree: int64(cfg.Store.MinFreeMB) << 20,
		Series: cfg.TSDB.MaxSeries,
	})
}

// runReadings keeps the readings of all agents until ctx ends. Events can be searched
// whatever becomes of them, so that nothing there ends the store.
func (p *storeParts) runReadings(ctx context.Context) error {
	if err := p.readings.Run(ctx); err != nil {
		p.logger.ErrorContext(ctx, "the database of metrics has ended: the rest of the store goes on", obs.KeyError, err)
	}
	<-ctx.Done()
	return nil
}

// runDevices makes the inventory of devices until ctx ends. Events can be searched
// whatever becomes of it, so that nothing there ends the store.
func (p *storeParts) runDevices(ctx context.Context) error {
	if err := p.devices.Run(ctx); err != nil {
		p.logger.ErrorContext(ctx, "the inventory of devices has ended: the rest of the store goes on", obs.KeyError, err)
	}
	<-ctx.Done()
	return nil
}

// maxSocketPath bounds the path of a Unix socket, in bytes (sun_path in unix(7)).
const maxSocketPath = 100

// newKeeper returns what runs the engine: this program again, on a socket in the home,
// or in a folder of its own where the home's path is too long for one.
func newKeeper(home config.Home, cfg store.Config, folder string, logger *slog.Logger, traces *spans.Recorder) (k *keeper.Keeper, cleanUp func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("find the running program: %w", err)
	}
	cleanUp = func() error { return nil }
	abs, err := home.Abs()
	if err != nil {
		return nil, nil, err
	}
	socket := filepath.Join(abs.Run(), "store.sock")
	if len(socket) > maxSocketPath {
		dir, err := os.MkdirTemp("", "amoskys-store-")
		if err != nil {
			return nil, nil, fmt.Errorf("make a folder for the engine's socket: %w", err)
		}
		socket, cleanUp = filepath.Join(dir, "s"), func() error { return os.RemoveAll(dir) }
	} else if err := os.MkdirAll(abs.Run(), 0o700); err != nil {
		return nil, nil, fmt.Errorf("make a folder for the engine's socket: %w", err)
	}
	return keeper.New(keeper.Options{
		Path: folder, Socket: socket, Program: []string{self, "store-engine"}, Env: engineEnviron(), Logger: logger, Wrap: traces.Transport,
		Flags: keeper.Flags{MinFreeBytes: int64(cfg.Store.MinFreeMB) << 20, MemoryBytes: engineMemory},
	}), cleanUp, nil
}

// engineMemory is what the engine may use for caches and the state of queries, in bytes;
// a step of one query gets up to two fifths of it.
const engineMemory = 256 << 20

// engineEnviron is our environment, with a bound for the engine's runtime where nobody
// set one: near it, it collects garbage more often. Below, it collects half as often as Go
// does by itself: taking rows makes much garbage beside little that stays, and collecting it
// was a sixth of the engine's time.
func engineEnviron() []string {
	env := os.Environ()
	for name, value := range map[string]string{"GOMEMLIMIT": "400MiB", "GOGC": "200"} {
		if os.Getenv(name) == "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// dialFromStore prepares the store's connection to the hub, by which it reads the log
// and hears what is revoked.
func dialFromStore(home config.Home, cfg store.Config, logger *slog.Logger) (*grpc.ClientConn, error) {
	secure, err := identity.ClientConfig(cfg.Hub.Files(home), identity.ClientOptions{
		ServerName: cfg.Hub.Name(), ServerRole: identity.RoleHub, NextProtos: []string{"h2"}, Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("read certificate for the hub: %w", err)
	}
	dialer, err := cfg.Hub.Dialer(home)
	if err != nil {
		return nil, err
	}
	dialer.Announce(logger, cfg.Hub.Addr())
	return dial.NewClient(cfg.Hub.Addr(), dialer.Dial, credentials.NewTLS(secure), append(reader.BulkOptions(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithIdleTimeout(0),
		grpc.WithUserAgent("amoskys-store/"+obs.ReadBuild().Version))...)
}

// gapsOf are the ranges that the log no longer had when the store came to read them.
func gapsOf(p ingest.Place) []answers.Gap {
	gaps := make([]answers.Gap, 0, len(p.Gaps))
	for _, g := range p.Gaps {
		if g.OfStore() {
			continue // which Lacks tells
		}
		gaps = append(gaps, answers.Gap{From: g.From, To: g.To, Reason: g.Reason, Noticed: g.Time})
	}
	return gaps
}
