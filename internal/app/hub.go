// Package app assembles the roles of the amoskys program from its parts: the hub
// with its services and the readers of its log, and the dashboard. What runs on
// every watched host is in package endpoint, and running all of it on one machine
// in package standalone.
package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/clock"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/hub/accounts"
	"github.com/amoskys/amoskys/internal/hub/audit"
	"github.com/amoskys/amoskys/internal/hub/backups"
	"github.com/amoskys/amoskys/internal/hub/certificates"
	"github.com/amoskys/amoskys/internal/hub/enroll"
	"github.com/amoskys/amoskys/internal/hub/fleet"
	"github.com/amoskys/amoskys/internal/hub/keeping"
	"github.com/amoskys/amoskys/internal/hub/marks"
	"github.com/amoskys/amoskys/internal/hub/own"
	"github.com/amoskys/amoskys/internal/hub/query"
	"github.com/amoskys/amoskys/internal/hub/saved"
	"github.com/amoskys/amoskys/internal/hub/tasks"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	"github.com/amoskys/amoskys/internal/live"
	"github.com/amoskys/amoskys/internal/live/latest"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/node/ports"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/obs/inside"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/spans"
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
func RunHub(ctx context.Context, e *cli.Env) error { return RunHubWith(ctx, e, HubOptions{}) }

// HubOptions are what a person tells the hub beside its configuration.
type HubOptions struct {
	// Force starts the hub of a restored home although the one that it was restored from
	// answers.
	Force bool
}

// RunHubWith is RunHub with options.
func RunHubWith(ctx context.Context, e *cli.Env, o HubOptions) (err error) {
	cfg, err := LoadHubConfig(e)
	if err != nil {
		return err
	}
	acts := &inside.Acts{}
	logger, closer, err := endpoint.RoleLoggerWith(e, "eventbus", cfg.Logging.Level, acts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	ctx, cancel := child.WithParent(ctx)
	defer cancel()
	if err := RefuseTwin(ctx, e.Home, o.Force); err != nil {
		logger.Log(ctx, obs.LevelCritical, "hub failed", obs.KeyError, err)
		return err
	}
	if err := ports.Explain(runHub(ctx, e.Home, cfg, logger, acts)); err != nil {
		logger.Log(ctx, obs.LevelCritical, "hub failed", obs.KeyError, err)
		return err
	}
	return nil
}

// runHub opens what outlasts the server, serves, and closes it again.
func runHub(ctx context.Context, home config.Home, cfg hub.Config, logger *slog.Logger, acts *inside.Acts) (err error) {
	limitMemory(logger)
	if err := SweepBackupWork(home); err != nil {
		logger.Warn("what a backup left behind that was killed cannot be removed", obs.KeyError, err)
	}
	registry := obs.NewRegistry()
	storage, err := OpenStorage(ctx, cfg, home, logger, registry)
	if err != nil {
		return err
	}
	grace := graceOf(&cfg)
	closing := func(what string, f func() error) { //nolint:contextcheck // it is to end now
		err = errors.Join(err, within(atOnce(), grace.part(1), func() string { return what }, f))
	}
	defer func() { closing("the log", storage.Close) }()
	db, err := OpenState(ctx, home, cfg)
	if err != nil {
		return err
	}
	defer func() { closing("the database", db.Close) }()
	s, err := newServices(ctx, cfg, home, storage, db, registry, logger)
	if err != nil {
		return err
	}
	acts.To(func(ctx context.Context, a inside.Act) {
		s.trail.Audit(ctx, &pb.AuditActivity{Actor: a.Actor, Operation: a.Operation, Target: a.Target, Detail: a.Detail, Success: true})
	})
	h, err := hub.New(s.hubOptions(cfg, home, storage, logger, registry)) //nolint:contextcheck // it opens its ports and returns
	if err != nil {
		return err
	}
	s.hub = h
	if err := NoteStarted(home, time.Now()); err != nil {
		logger.Warn("it cannot be noted that the hub of a restored home runs", obs.KeyError, err)
	}
	return s.run(ctx, grace)
}

// services is what runs beside the bus and answers people's tools.
type services struct {
	hub    *hub.Hub // set before run
	traces *spans.Recorder
	clock  *clock.Clock
	logger *slog.Logger
	db     *state.DB
	join   enroll.Standing // Read is nil where the configuration has no join token
	// publisher publishes the hub's own events, of the host where it runs.
	publisher *own.Publisher
	host      string
	trail     *audit.Trail
	fleet     *fleet.Service
	tasks     *tasks.Service
	accounts  *accounts.Service
	saved     *saved.Service
	marks     *marks.Service
	keeping   *keeping.Service
	backups   *backups.Service
	*membership
	query    *query.Service
	recorder *live.Recorder
	feed     *reader.Reader
	// exporter reads the latest values of all agents, which page shows beside the hub's
	// own metrics; nil without a port for them.
	exporter *reader.Reader
	page     http.Handler
}

func newServices(
	ctx context.Context, cfg hub.Config, home config.Home, storage *hub.Storage, db *state.DB,
	registry *prometheus.Registry, logger *slog.Logger,
) (*services, error) {
	s := &services{clock: storage.Clock, logger: logger, db: db, recorder: live.NewRecorder(live.RecorderOptions{})}
	traces, err := spans.New(spans.Options{
		Config: cfg.OTel.Config, SampleRatio: cfg.OTel.SampleRatio, Service: "hub", Version: obs.ReadBuild().Version,
		Home: home, Registerer: registry, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	s.traces = traces
	log := storage.Log
	id := ownID(cfg.Files(home).Cert)
	publisher := own.New(own.Options{
		Append: ownEvents(log, id.String()), Host: id.Host(), Version: obs.ReadBuild().Version,
	})
	s.publisher, s.host = publisher, id.Host()
	trail := audit.New(audit.Options{
		Store: db, Publisher: publisher, Keep: cfg.Audit.Keep(), Clock: storage.Clock.Now, Logger: logger,
	})
	s.trail = trail
	if token := cfg.Enrollment.JoinToken; token != "" {
		s.join = enroll.Standing{HostPattern: cfg.Enrollment.JoinHostPattern, Read: func() (string, error) { return token.RevealIn(home) }}
	}
	s.fleet, err = fleet.New(ctx, fleet.Options{
		Store: db, Auditor: trail, Bind: bindNode, Caller: callerName, Logger: logger,
		Find: publisher.Find, SilentAfter: cfg.Fleet.SilentAfter(),
		Progress:    func(nodeID string, p *pb.TaskProgress) { s.tasks.Progress(nodeID, p) },
		Certificate: func(host, agent string) *x509.Certificate { return s.hub.Certificate(host, agent) },
		Rate:        s.recorder.AgentRate,
		Trusts:      func(nodeID, authorities string) { s.certificates.NodeTrusts(nodeID, authorities) },
		Age:         storage.Clock.Age,
	})
	if err != nil {
		return nil, err
	}
	if err := registry.Register(s.fleet.Metrics()); err != nil {
		return nil, fmt.Errorf("register metrics of the fleet: %w", err)
	}
	s.tasks = tasks.New(tasks.Options{Nodes: s.fleet, Auditor: trail, Bind: bindNode, Caller: callerName, Logger: logger})
	if err := s.tasks.Register(registry); err != nil {
		return nil, fmt.Errorf("register metrics of tasks: %w", err)
	}
	s.keeping = keeping.New(keeping.Options{Losses: log, Clock: storage.Clock, Auditor: trail, Caller: callerName})
	s.backups = backups.New(backups.Options{Store: db, Auditor: trail, Caller: callerName})
	s.accounts = accounts.New(accounts.Options{Store: db, Auditor: trail, Caller: callerName, Logger: logger})
	s.saved = saved.New(saved.Options{Store: db, Sessions: s.accounts, Auditor: trail, Operator: operatorName, Logger: logger})
	s.marks = marks.New(marks.Options{Store: db, Sessions: s.accounts, Auditor: trail, Operator: operatorName, Logger: logger})
	s.membership, err = newMembership(ctx, membershipOptions{
		home: home, files: cfg.Files(home), db: db, auditor: trail, logger: logger,
		peers:     func() certificates.Peers { return s.hub },
		reach:     func() (addr, note string) { return listening(cfg, home).Reach() },
		connected: s.fleet.Connected, agents: s.fleet.AgentsOf, warnings: s.fleet.Warnings, tell: s.fleet.Tell,
	})
	if err != nil {
		return nil, err
	}
	values := latest.New(latest.Options{})
	s.query = query.New(query.Options{Status: s.status, Series: s.recorder, Gatherer: registry, Readings: values.Samples, LastBackup: s.backups.Last})
	if s.feed, err = newFeed(log, live.NewFeed(s.recorder), registry, logger); err != nil {
		return nil, err
	}
	if cfg.Metrics.Enabled { // nobody looks at them else
		s.exporter, err = newExporter(values, log, registry, logger)
		s.page = latest.Page(registry, values)
	}
	return s, err
}

// hubOptions are what the hub is made with to serve s.
func (s *services) hubOptions(cfg hub.Config, home config.Home, storage *hub.Storage, logger *slog.Logger, registry *prometheus.Registry) hub.Options {
	return hub.Options{
		Config: cfg, Home: home, Storage: storage, Logger: logger, Registry: registry,
		Version: obs.ReadBuild().Version, Register: s.register, Enroll: s.enroll.Handler(),
		Revoked: s.revocations.Refusal, Seen: s.certificates.Seen, Unsupervised: s.fleet.Unsupervised, Auditor: s.trail,
		Metrics: s.page, Readers: readers(s.following()...), Rate: s.recorder.Rate, Reasons: s.reasons, Spans: s.traces,
	}
}

// following are the readers of the log in this process.
func (s *services) following() []*reader.Reader {
	if s.exporter == nil {
		return []*reader.Reader{s.feed}
	}
	return []*reader.Reader{s.feed, s.exporter}
}

// reasons says what is wrong beside the hub.
func (s *services) reasons() []string {
	if fault := s.db.Fault(); fault != "" {
		return []string{fault}
	}
	if !s.db.ReadOnly() {
		return nil
	}
	return []string{"the home is read-only: it is served as it is, people can sign in until the hub ends, and nothing can be changed"}
}

// status is the hub's own; the services exist before it.
func (s *services) status() hub.Status { return s.hub.Status() }

func (s *services) register(r grpc.ServiceRegistrar) {
	pb.RegisterFleetServer(r, s.fleet)
	pb.RegisterTasksServer(r, s.tasks)
	pb.RegisterQueryServer(r, s.query)
	pb.RegisterLogServer(r, s.keeping)
	pb.RegisterBackupsServer(r, s.backups)
	pb.RegisterAccountsServer(r, s.accounts)
	pb.RegisterSavedQueriesServer(r, s.saved)
	pb.RegisterDeviceMarksServer(r, s.marks)
	pb.RegisterEnrollmentServer(r, s.enroll)
	pb.RegisterCertificatesServer(r, s.certificates)
}

// run serves until ctx ends. The services outlast the server, so that they see
// its last streams end. If the fleet or the live view fails, the hub stops with
// the reason and is started again, rather than answering with old news.
func (s *services) run(ctx context.Context, grace grace) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	group, background := errgroup.WithContext(background)
	var left running
	guard := func(name string, run func(context.Context) error) {
		end := left.begin(name)
		group.Go(func() error {
			defer end()
			defer stop()
			if err := run(background); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	guard("state", s.db.Watch)
	if why := child.LastEnd(); why != "" {
		guard("last end", func(ctx context.Context) error { s.tellLastEnd(ctx, why); <-ctx.Done(); return nil })
	}
	guard("traces", s.traces.Run)
	guard("clock", s.clock.Run)
	guard("audit", s.trail.Run)
	guard("join token", func(ctx context.Context) error { return s.enroll.RunStanding(ctx, s.join) })
	guard("fleet", s.fleet.Run)
	guard("findings", s.fleet.RunFindings)
	guard("certificates", s.certificates.Run)
	guard("authorities", s.certificates.RunRotation)
	guard("live view", s.feed.Run)
	if s.exporter != nil {
		guard("exporter", s.exporter.Run)
	}
	guard("live series", func(ctx context.Context) error {
		return s.recorder.Run(ctx, query.Gauges(s.hub.Status), s.fleet.Gauges)
	})
	err := within(serving, grace.part(2), func() string { return "the server" }, func() error { return s.hub.Run(serving) })
	stopBackground()
	return errors.Join(err, within(atOnce(), grace.part(1), left.list, group.Wait)) //nolint:contextcheck // it is to end now
}

// tellLastEnd makes an event of why the hub before this one ended by itself, as its
// supervisor says.
func (s *services) tellLastEnd(ctx context.Context, why string) {
	s.logger.WarnContext(ctx, "hub was started again", obs.KeyReason, why)
	err := s.publisher.Find(ctx, own.Finding{
		Name: "restarted", Severity: pb.Severity_SEVERITY_MEDIUM, Host: s.host, Title: "the hub was started again",
		Description: "The one before " + why + ". Its log and logs/up.log say more.",
	})
	if err != nil {
		s.logger.ErrorContext(ctx, "finding lost", obs.KeyError, err)
	}
}

// bindNode lets a node speak only for the host that its certificate names, and
// gives both names in the form in which they are kept.
func bindNode(ctx context.Context, hello *pb.NodeHello) error {
	id, ok := hub.Caller(ctx)
	if !ok {
		return errors.New("the connection carries no client certificate")
	}
	host := id.Host()
	for what, claimed := range map[string]string{"node": hello.GetNodeId(), "host": hello.GetHost().GetName()} {
		if !hostname.Same(claimed, host) {
			return fmt.Errorf("the certificate %s may not speak for %s %q: set node.id to %q or leave it empty", id, what, claimed, host)
		}
	}
	hello.NodeId, hello.Host.Name = host, host
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

// operatorName is the SPIFFE id of an operator who calls, empty for all others.
func operatorName(ctx context.Context) string {
	id, ok := hub.Caller(ctx)
	if !ok || id.Role != identity.RoleOperator {
		return ""
	}
	return id.String()
}

// ownID is whom the hub's certificate names, whose host is that of what the hub
// itself records; nobody when there is none, which the hub reports better when it
// opens its port.
func ownID(file string) identity.ID {
	text, err := os.ReadFile(file)
	if err != nil {
		return identity.ID{}
	}
	certs, err := identity.ParseCertificates(text)
	if err != nil || len(certs) == 0 {
		return identity.ID{}
	}
	id, err := identity.FromServerCertificate(certs[0])
	if err != nil {
		return identity.ID{}
	}
	return id
}
