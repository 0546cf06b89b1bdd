package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/agent/uplink"
	"github.com/amoskys/amoskys/internal/clock"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/metrics"
	"github.com/amoskys/amoskys/internal/metrics/own"
	"github.com/amoskys/amoskys/internal/metrics/promapi"
	"github.com/amoskys/amoskys/internal/metrics/rules"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store"
)

// alerting is what the store works out of the readings: it evaluates rules, publishes
// findings of alerts by its own certificate, through a spool, and writes what it knows of
// itself into the database.
type alerting struct {
	rules  *rules.Rules // nil where they are switched off
	own    *own.Recorder
	spool  spool.Options
	uplink uplink.Options
	logger *slog.Logger

	mu   sync.Mutex // guards open
	open *spool.Spool
}

// findingsMost bounds the spool of findings on disk, in bytes.
const findingsMost = 32 << 20

// newAlerting returns what evaluates rules over the readings. Nothing is opened yet.
func newAlerting(
	hub grpc.ClientConnInterface, home config.Home, cfg *store.Config, readings *metrics.DB, believed *clock.Clock, registry *prometheus.Registry, logger *slog.Logger,
) (*alerting, error) {
	holder, err := identity.ReadHolder(cfg.Hub.Files(home).Cert)
	if err != nil {
		return nil, fmt.Errorf("read whose certificate the store has: %w", err)
	}
	host := holder.ID.Host()
	a := &alerting{
		logger: logger,
		spool: spool.Options{
			Dir: filepath.Join(home.Spool(), rules.Agent), MaxBytes: findingsMost, Policy: spool.DropNewest, Fsync: true, Logger: logger,
		},
		own: own.New(own.Options{Into: readings, Host: host, Now: believed.Now, Logger: logger, Sources: []own.Source{
			own.Gathered(registry, "amoskys_store_", "amoskys_metrics_", "amoskys_rules_", "amoskys_export_", "amoskys_promql_"),
			ofHub(pb.NewQueryClient(hub)), latencyOfHub(pb.NewQueryClient(hub)), ofCertificates(home, cfg),
		}}),
	}
	if !cfg.Rules.Enabled {
		return a, nil
	}
	if a.uplink, err = findingsUplink(home, cfg, logger); err != nil {
		return nil, err
	}
	a.rules, err = rules.New(rules.Options{
		Database: readings, Path: home.Path(cfg.Rules.Path), Interval: cfg.Rules.Interval(), Shipped: cfg.Rules.Shipped,
		StateFile: home.Path("data/rules/told"), Tell: a.tell, Host: host, Logger: logger, Registerer: registry, Now: believed.Now,
	})
	return a, err
}

// findingsUplink is the way of findings to the hub.
func findingsUplink(home config.Home, cfg *store.Config, logger *slog.Logger) (o uplink.Options, err error) {
	files := cfg.Hub.Files(home)
	secure, err := identity.ClientConfig(files, identity.ClientOptions{ServerName: cfg.Hub.Name(), ServerRole: identity.RoleHub, Logger: logger})
	if err != nil {
		return o, fmt.Errorf("read certificate for the hub: %w", err)
	}
	dialer, err := cfg.Hub.Dialer(home)
	if err != nil {
		return o, err
	}
	return uplink.Options{
		Addr: cfg.Hub.Addr(), AgentID: rules.Agent, TLS: secure, Logger: logger, Version: obs.ReadBuild().Version,
		Dial: dialer.Dial, Via: dialer.Via(cfg.Hub.Addr()),
		Explain: func(err error) error { return identity.ExplainHandshake(err, files, time.Now()) },
	}, nil
}

// errNoSpool is for findings that are told while their spool is not open.
var errNoSpool = errors.New("the spool of findings is not open")

// tell keeps an event until the hub has it.
func (a *alerting) tell(_ context.Context, encoded []byte) error {
	a.mu.Lock()
	s := a.open
	a.mu.Unlock()
	if s == nil {
		return errNoSpool
	}
	return s.AppendUrgent(encoded)
}

// groups are the rules, for the API.
func (a *alerting) groups() []promapi.RuleGroup {
	if a.rules == nil {
		return nil
	}
	return a.rules.Groups()
}

// status is that of the rules.
func (a *alerting) status() (state, reason string) {
	if a.rules == nil {
		return "ok", ""
	}
	return a.rules.Status()
}

// run works until ctx ends. Nothing in it ends the store.
func (a *alerting) run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { a.own.Run(ctx) })
	if a.rules != nil {
		parts.Go(func() { a.publish(ctx) })
		parts.Go(func() {
			if err := a.rules.Run(ctx); err != nil {
				a.logger.ErrorContext(ctx, "the evaluation of rules has ended: the rest of the store goes on", obs.KeyError, err)
			}
		})
	}
	parts.Wait()
	<-ctx.Done()
	return nil
}

// spoolPause is before the spool of findings is opened again that did not open.
const spoolPause = 10 * time.Second

// publish sends what is in the spool to the hub, until ctx ends. What is left stays there.
func (a *alerting) publish(ctx context.Context) {
	for ctx.Err() == nil {
		err := a.publishOnce(ctx)
		if ctx.Err() != nil {
			break
		}
		a.logger.WarnContext(ctx, "findings of alerts wait: they cannot be published for now", obs.KeyError, err)
		select {
		case <-ctx.Done():
		case <-time.After(spoolPause):
		}
	}
}

func (a *alerting) publishOnce(ctx context.Context) (err error) {
	s, err := spool.Open(a.spool)
	if err != nil {
		return fmt.Errorf("open the spool of findings: %w", err)
	}
	a.mu.Lock()
	a.open = s
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.open = nil
		a.mu.Unlock()
		err = errors.Join(err, s.Close())
	}()
	o := a.uplink
	o.Spool = s
	return uplink.New(o).Run(ctx)
}

// ofHub tells how the hub is as the store sees it, under the names that the hub has for the
// same on its own page.
func ofHub(hub pb.QueryClient) own.Source {
	return func(ctx context.Context) []own.Sample {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		s, err := hub.Status(ctx, &pb.StatusRequest{})
		if err != nil {
			return []own.Sample{{Name: "amoskys_store_hub_reachable", Value: 0}}
		}
		log := s.GetLog()
		all := []own.Sample{
			{Name: "amoskys_store_hub_reachable", Value: 1},
			{Name: "amoskys_wal_free_bytes", Value: float64(log.GetFreeBytes())},
			{Name: "amoskys_wal_size_bytes", Value: float64(log.GetBytes())},
			{Name: "amoskys_wal_open_losses", Value: float64(len(log.GetLosses()))},
			{Name: "amoskys_wal_quarantined_segments", Value: float64(log.GetQuarantined())},
			{Name: "amoskys_store_hub_queue_depth", Value: s.GetQueueDepth()},
		}
		for _, q := range []struct {
			of string
			ms float64
		}{{"0.5", s.GetLatency().GetP50Ms()}, {"0.99", s.GetLatency().GetP99Ms()}, {"0.999", s.GetLatency().GetP999Ms()}} {
			if q.ms > 0 { // else nothing was acknowledged
				all = append(all, own.Sample{Name: "amoskys_store_hub_latency_ms", Labels: []string{"quantile", q.of}, Value: q.ms})
			}
		}
		for _, r := range s.GetSubscribers() {
			all = append(all, own.Sample{Name: "amoskys_reader_lag_events", Labels: []string{"reader", r.GetName()}, Value: float64(r.GetLagEvents())})
		}
		return all
	}
}

// hubLatency is the hub's histogram of how long acknowledgements take.
const hubLatency = "eventbus_latency_ms"

// latencyOfHub tells how long the hub's acknowledgements take, with exemplars: package
// query of the hub says how those come.
func latencyOfHub(hub pb.QueryClient) own.Source {
	return func(ctx context.Context) (all []own.Sample) {
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, "amoskys-exemplars", "yes"), 5*time.Second)
		defer cancel()
		answer, err := hub.Metrics(ctx, &pb.MetricsRequest{Prefix: hubLatency})
		if err != nil {
			return nil
		}
		bucket := map[string]int{} // in all, by le
		for _, m := range answer.GetSamples() {
			le := m.GetLabels()["le"]
			if m.GetType() != "exemplar" {
				s := own.Sample{Name: m.GetName(), Value: m.GetValue()}
				if le != "" {
					s.Labels, bucket[le] = []string{"le", le}, len(all)
				}
				all = append(all, s)
			} else if i, ok := bucket[le]; ok {
				all[i].Exemplar = exemplarOf(m)
			}
		}
		return all
	}
}

// exemplarOf reads a sample that is an exemplar.
func exemplarOf(m *pb.MetricSample) own.Exemplar {
	at, err := time.Parse(time.RFC3339Nano, m.GetLabels()["exemplar_time"])
	if err != nil {
		return own.Exemplar{}
	}
	x := own.Exemplar{Value: m.GetValue(), Time: at}
	for _, name := range slices.Sorted(maps.Keys(m.GetLabels())) {
		if label, ok := strings.CutPrefix(name, "exemplar."); ok {
			x.Labels = append(x.Labels, label, m.GetLabels()[name])
		}
	}
	return x
}

// ofCertificates tells when certificates end: those of this home, by the name of their
// file, and those that the store has elsewhere.
func ofCertificates(home config.Home, cfg *store.Config) own.Source {
	var ends endings
	return func(context.Context) (all []own.Sample) {
		files := map[string]bool{}
		found, _ := filepath.Glob(filepath.Join(home.Certs(), "*.crt"))
		for _, f := range append(found, cfg.Files(home).Cert, cfg.Files(home).CA, cfg.Hub.Files(home).Cert) {
			files[f] = true
		}
		for _, f := range slices.Sorted(maps.Keys(files)) {
			if end, err := ends.of(f); err == nil {
				name := strings.TrimSuffix(filepath.Base(f), ".crt")
				all = append(all, own.Sample{Name: identity.ExpiryMetric, Labels: []string{"certificate", name}, Value: float64(end.Unix())})
			}
		}
		return all
	}
}

// endings are when certificates end, by file, read again where the file is another. They are
// for one goroutine.
type endings map[string]ending

type ending struct {
	file os.FileInfo
	at   time.Time
}

func (e *endings) of(file string) (time.Time, error) {
	st, err := os.Stat(file)
	if err != nil {
		return time.Time{}, fmt.Errorf("look at certificate %s: %w", file, err)
	}
	known := (*e)[file]
	if known.file != nil && os.SameFile(known.file, st) && known.file.ModTime().Equal(st.ModTime()) && known.file.Size() == st.Size() {
		return known.at, nil
	}
	end, err := identity.EndOf(file)
	if err != nil {
		return time.Time{}, err
	}
	if *e == nil {
		*e = endings{}
	}
	(*e)[file] = ending{st, end}
	return end, nil
}

// ownFamilies describe what the store writes of itself and its rules.
func ownFamilies(g prometheus.Gatherer) []promapi.Family {
	list := []promapi.Family{
		{Name: "ALERTS", Help: "1 for each alert that is pending or fires.", Type: "gauge"},
		{Name: "ALERTS_FOR_STATE", Help: "Unix time since when what an alert is about is so.", Unit: "seconds", Type: "gauge"},
		{Name: "amoskys_store_hub_reachable", Help: "1 while the hub answers the store.", Type: "gauge"},
		{Name: hubLatency + "_bucket", Help: "Batches and events that the hub acknowledged within so many milliseconds, since it started.", Type: "unknown"},
		{Name: "amoskys_wal_free_bytes", Help: "Free space where the hub's log is.", Unit: "bytes", Type: "gauge"},
		{Name: "amoskys_wal_size_bytes", Help: "Size of the hub's log.", Unit: "bytes", Type: "gauge"},
		{Name: "amoskys_wal_open_losses", Help: "Ranges of the hub's log that are gone, not by retention, and that nobody has accepted.", Type: "gauge"},
		{Name: "amoskys_wal_quarantined_segments", Help: "Damaged segments of the hub's log that were set aside.", Type: "gauge"},
		{Name: "amoskys_reader_lag_events", Help: "Events between a reader and the end of the hub's log.", Type: "gauge"},
		{Name: identity.ExpiryMetric, Help: identity.ExpiryHelp, Unit: "seconds", Type: "gauge"},
	}
	families, err := g.Gather()
	if err != nil {
		return list
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "amoskys_") && !slices.ContainsFunc(list, func(known promapi.Family) bool { return known.Name == f.GetName() }) {
			list = append(list, promapi.Family{Name: f.GetName(), Help: f.GetHelp(), Type: strings.ToLower(f.GetType().String())})
		}
	}
	return list
}
