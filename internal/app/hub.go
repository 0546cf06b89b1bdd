// Package app assembles the roles of the amoskys program from its parts: the hub
// with its services and the readers of its log, and the dashboard. What runs on
// every watched host is in package endpoint, and running all of it on one machine
// in package standalone.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/hub/accounts"
	"github.com/amoskys/amoskys/internal/hub/audit"
	"github.com/amoskys/amoskys/internal/hub/enroll"
	"github.com/amoskys/amoskys/internal/hub/fleet"
	"github.com/amoskys/amoskys/internal/hub/query"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/live"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// LoadHubConfig reads the hub's configuration under home.
func LoadHubConfig(e *cli.Env) (hub.Config, error) {
	cfg := hub.DefaultConfig()
	err := config.Load(e.Home.HubConfig(), &cfg, config.DecodeOptions{Env: e.Lookup})
	return cfg, err
}

// RunHub runs the hub until ctx ends: the bus with its log, fleet, queries and
// accounts, and the readers of the log that answer queries. When it returns,
// everything accepted is on disk.
func RunHub(ctx context.Context, e *cli.Env) (err error) {
	cfg, err := LoadHubConfig(e)
	if err != nil {
		return err
	}
	logger, closer, err := endpoint.RoleLogger(e, "eventbus", cfg.Logging.Level)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	ctx, cancel := child.WithParent(ctx)
	defer cancel()
	if err := runHub(ctx, e.Home, cfg, logger); err != nil {
		logger.Log(ctx, obs.LevelCritical, "hub failed", obs.KeyError, err)
		return err
	}
	return nil
}

// runHub opens what outlasts the server, serves, and closes it again.
func runHub(ctx context.Context, home config.Home, cfg hub.Config, logger *slog.Logger) (err error) {
	registry := obs.NewRegistry()
	storage, err := hub.OpenStorage(ctx, hub.StorageOptions{Config: cfg, Home: home, Logger: logger, Registerer: registry})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, storage.Close()) }()
	db, err := state.Open(ctx, state.Options{File: home.State()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s, err := newServices(ctx, cfg, home, storage, db, registry, logger)
	if err != nil {
		return err
	}
	h, err := hub.New(hub.Options{ //nolint:contextcheck // it opens its ports and returns
		Config: cfg, Home: home, Storage: storage, Logger: logger, Registry: registry,
		Version: obs.ReadBuild().Version, Register: s.register, Enroll: s.enroll.Handler(),
	})
	if err != nil {
		return err
	}
	s.hub = h
	return s.run(ctx)
}

// services is what runs beside the bus and answers people's tools.
type services struct {
	hub      *hub.Hub // set before run
	fleet    *fleet.Service
	accounts *accounts.Service
	enroll   *enroll.Service
	query    *query.Service
	ring     *live.Ring
	recorder *live.Recorder
	source   *logSource
}

func newServices(
	ctx context.Context, cfg hub.Config, home config.Home, storage *hub.Storage, db *state.DB,
	registry *prometheus.Registry, logger *slog.Logger,
) (*services, error) {
	s := &services{}
	log := storage.Log
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find this machine's name: %w", err)
	}
	trail := audit.New(audit.Options{
		Store: db, Host: host, Version: obs.ReadBuild().Version, Logger: logger,
		Publish: ownEvents(log, identityOf(cfg.Files(home).Cert)),
	})
	s.fleet, err = fleet.New(ctx, fleet.Options{Store: db, Auditor: trail, Bind: bindNode, Caller: callerName, Logger: logger})
	if err != nil {
		return nil, err
	}
	s.accounts = accounts.New(accounts.Options{Store: db, Auditor: trail, Logger: logger})
	s.enroll = newEnrollment(cfg.Files(home), home, db, trail, logger)
	s.recorder = live.NewRecorder(live.RecorderOptions{})
	s.ring = live.NewRing(live.RingOptions{
		Recorder: s.recorder, Logger: logger, Tail: func() uint64 { return log.Stat().NextOffset },
	})
	s.query = query.New(query.Options{Status: s.status, Store: s.ring, Series: s.recorder, Gatherer: registry})
	if s.source, err = newLogSource(log, s.ring.StartOffset(log.Stat().NextOffset), logger); err != nil {
		return nil, err
	}
	return s, nil
}

// newEnrollment issues from the authority in the home's certs/ folder.
func newEnrollment(files identity.Files, home config.Home, db *state.DB, trail *audit.Trail, logger *slog.Logger) *enroll.Service {
	own, _ := identity.Parse(identityOf(files.Cert)) // a certificate of another tool names no domain
	return enroll.New(enroll.Options{
		Store: db, Auditor: trail, Caller: callerName, Logger: logger, Domain: own.Domain,
		CACert: files.CA, CAKey: filepath.Join(home.Certs(), "ca.key"),
	})
}

// status is the hub's own; the services exist before it.
func (s *services) status() hub.Status { return s.hub.Status() }

func (s *services) register(r grpc.ServiceRegistrar) {
	pb.RegisterFleetServer(r, s.fleet)
	pb.RegisterQueryServer(r, s.query)
	pb.RegisterAccountsServer(r, s.accounts)
	pb.RegisterEnrollmentServer(r, s.enroll)
}

// run serves until ctx ends. The services outlast the server, so that they see
// its last streams end. If the fleet or the live view fails, the hub stops with
// the reason and is started again, rather than answering with old news.
func (s *services) run(ctx context.Context) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	group, background := errgroup.WithContext(background)
	guard := func(name string, run func(context.Context) error) {
		group.Go(func() error {
			defer stop()
			if err := run(background); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	guard("fleet", s.fleet.Run)
	guard("live view", func(ctx context.Context) error { return s.ring.Run(ctx, s.source) })
	guard("live series", func(ctx context.Context) error {
		return s.recorder.Run(ctx, query.Gauges(s.hub.Status), s.fleet.Gauges)
	})
	err := s.hub.Run(serving)
	stopBackground()
	return errors.Join(err, group.Wait(), s.source.Close())
}

// bindNode lets a node speak only for the host that its certificate names.
func bindNode(ctx context.Context, hello *pb.NodeHello) error {
	id, ok := hub.Caller(ctx)
	if !ok {
		return errors.New("the connection carries no client certificate")
	}
	if hello.GetNodeId() != id.Host() {
		return fmt.Errorf("the certificate %s may not speak for node %q: set node.id to %q or leave it empty", id, hello.GetNodeId(), id.Host())
	}
	return nil
}

// callerName is the SPIFFE id of whoever makes a call.
func callerName(ctx context.Context) string {
	id, ok := hub.Caller(ctx)
	if !ok {
		return ""
	}
	return id.String()
}

// identityOf is the SPIFFE id in a certificate file; empty when there is none,
// which the hub itself reports better when it opens its port.
func identityOf(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	certs, err := identity.ParseCertificates(text)
	if err != nil || len(certs) == 0 {
		return ""
	}
	id, err := identity.FromServerCertificate(certs[0])
	if err != nil {
		return ""
	}
	return id.String()
}
