// Package eventbus is the agent that measures a hub from outside, as its clients
// see it: over mutual TLS it asks for the hub's health, times an answer over gRPC,
// and publishes hub.health events.
//
// While the hub is away the events wait in the spool, so that an outage is in the
// record once the hub is back.
package eventbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/probe"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// prober looks at a hub once; probe.Probe is the real one.
type prober interface {
	Health(ctx context.Context) (probe.Report, error)
	Check(ctx context.Context) (time.Duration, error)
	Close() error
}

// Agent measures one hub.
type Agent struct {
	cfg     Monitoring
	o       agent.Options
	probe   prober
	metrics *metrics

	looking sync.Mutex // held for a whole look; guards what follows
	before  string     // state at the last look, "" before the first
	told    time.Time  // of the last event
	slot    event.Slot
}

var _ agent.Agent = (*Agent)(nil)

// New returns an agent that measures the configured hub. It fails when the
// certificate files cannot be used.
func New(cfg Monitoring, o agent.Options) (*Agent, error) {
	po := probe.Options{Addr: cfg.addr(), Dial: o.DialHub}
	if cfg.TLSEnabled {
		name := cfg.ServerName
		if name == "" {
			name = cfg.EventbusHost
		}
		files := cfg.files(o.Home)
		tlsConfig, err := identity.ClientConfig(files, identity.ClientOptions{ServerName: name, Logger: o.Logger})
		if err != nil {
			return nil, fmt.Errorf("prepare probe: %w", err)
		}
		po.TLS = tlsConfig
		po.Explain = func(err error) error { return identity.ExplainHandshake(err, files, o.Now()) }
	}
	p, err := probe.New(po)
	if err != nil {
		return nil, err
	}
	return newAgent(cfg, o, p)
}

func newAgent(cfg Monitoring, o agent.Options, p prober) (*Agent, error) {
	a := &Agent{cfg: cfg, o: o, probe: p, metrics: newMetrics()}
	if err := o.Registerer.Register(a.metrics); err != nil {
		return nil, errors.Join(fmt.Errorf("register metrics: %w", err), p.Close())
	}
	return a, nil
}

// Run implements agent.Agent.
func (a *Agent) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.probe.Close()) }()
	group, ctx := errgroup.WithContext(ctx)
	if l := a.exportListener(ctx); l != nil {
		registry := prometheus.NewRegistry()
		if err := registry.Register(a.metrics); err != nil {
			return errors.Join(fmt.Errorf("register metrics: %w", err), l.Close())
		}
		endpoint := obs.Endpoint{Gatherer: registry, Scraped: true}
		group.Go(func() error { return endpoint.Serve(ctx, l, a.o.Logger, a.cfg.MetricsExportHost) })
	}
	group.Go(func() error { return a.watch(ctx) })
	return group.Wait()
}

// exportListener opens metrics_export_port. A taken port leaves the agent
// degraded and not down: its own port has the same metrics.
func (a *Agent) exportListener(ctx context.Context) net.Listener {
	if a.cfg.MetricsExportPort == 0 {
		return nil
	}
	l, err := agent.Listen(ctx, a.cfg.MetricsExportHost, a.cfg.MetricsExportPort, "monitoring.metrics_export_port")
	if err != nil {
		err = fmt.Errorf("export metrics: %w", err)
		a.o.Condition("metrics_export", err)
		a.o.Logger.Warn("metrics are not exported on their second port", obs.KeyPort, a.cfg.MetricsExportPort, obs.KeyError, err)
		return nil
	}
	return l
}

func (a *Agent) watch(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		m, err := a.look(ctx, false)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		pause := a.o.Interval
		if m.state() != "ok" {
			pause = min(pause, unwellPause)
		}
		timer.Reset(pause)
	}
}

// unwellPause is the time between looks at a hub that is not well, so that its
// return is seen soon. Events still come once an interval, and at each change.
const unwellPause = 2 * time.Second

// look measures once and publishes what it found, if that is due or asked for.
func (a *Agent) look(ctx context.Context, asked bool) (measurement, error) {
	a.looking.Lock()
	defer a.looking.Unlock()
	m := a.measure(ctx)
	if ctx.Err() != nil {
		return m, ctx.Err()
	}
	a.metrics.update(m)
	changed := m.state() != a.before
	a.tell(m)
	if !asked && !changed && m.at.Sub(a.told) < a.o.Interval-a.o.Interval/10 {
		return m, nil
	}
	a.told = m.at
	kept := event.Slots(a.cfg.EventIntervalSeconds*float64(time.Second)).Keep(&a.slot, a.cfg.addr(), m.at)
	ev := &pb.Event{
		Type: event.TypeHubHealth, Time: timestamppb.New(m.at), Severity: m.severity(),
		MetricsOnly: !kept && !asked && !changed && m.state() == "ok",
		Body:        &pb.Event_HubHealth{HubHealth: m.message(a.cfg.addr())},
	}
	return m, a.o.Publisher.Publish(ctx, ev)
}

// measurement is one look at the hub.
type measurement struct {
	at     time.Time
	report probe.Report
	took   time.Duration // of the gRPC check
	ack    time.Duration // mean answer time of the agent's own batches
	err    error         // why the hub, or a part of it, does not answer
	answer bool          // the report is there
	served bool          // the gRPC check was answered
}

func (a *Agent) measure(ctx context.Context) measurement {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(a.cfg.TimeoutSeconds*float64(time.Second)))
	defer cancel()
	m := measurement{at: a.o.Now(), ack: a.o.AckTime()}
	var healthErr, checkErr error
	m.report, healthErr = a.probe.Health(ctx)
	m.answer = healthErr == nil
	if !m.answer && isGone(healthErr) {
		m.err = healthErr // the gRPC check would only wait for its deadline
		return m
	}
	m.took, checkErr = a.probe.Check(ctx)
	m.served = checkErr == nil
	m.err = errors.Join(healthErr, checkErr)
	return m
}

// isGone tells that nothing answers at all.
func isGone(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func (m *measurement) reachable() bool { return m.answer && m.served }

// state is one word for the whole.
func (m *measurement) state() string {
	switch {
	case m.reachable():
		return m.report.Status
	case m.answer || m.served:
		return "degraded"
	default:
		return "unreachable"
	}
}

func (m *measurement) severity() pb.Severity {
	switch m.state() {
	case "ok":
		return pb.Severity_SEVERITY_INFORMATIONAL
	case "degraded":
		return pb.Severity_SEVERITY_MEDIUM
	default:
		return pb.Severity_SEVERITY_HIGH
	}
}

func (m *measurement) message(endpoint string) *pb.HubHealth {
	r := &m.report
	out := &pb.HubHealth{
		Endpoint: endpoint, Reachable: m.reachable(), Status: m.state(),
		QueueDepth: r.QueueDepth, Connections: r.Connections, ErrorsTotal: r.ErrorsTotal, ThroughputEps: r.ThroughputEPS,
		LogState: r.Log.State, LogBytes: r.Log.Bytes, LogNextOffset: r.Log.NextOffset, LogIntegrity: m.integrity(),
	}
	if m.served {
		out.ProbeLatency = durationpb.New(m.took)
	}
	if m.err != nil {
		out.Error = strings.ToValidUTF8(m.err.Error(), "·")
	}
	return out
}

// integrity is what the hub's own check of its log says; empty when unknown.
func (m *measurement) integrity() string {
	switch {
	case !m.answer:
		return ""
	case m.report.Log.Quarantined > 0:
		return "damaged: " + obs.Counted(m.report.Log.Quarantined, "file", "files") + " set aside"
	case m.report.Log.Damaged > 0:
		return "damaged: " + obs.Counted(m.report.Log.Damaged, "bad place", "bad places")
	case m.report.Log.State != "" && m.report.Log.State != "ok":
		return m.report.Log.State + ": " + m.report.Log.Reason
	default:
		return "ok"
	}
}

// tell turns a look into the agent's condition, and logs when the state changes.
func (a *Agent) tell(m measurement) {
	state := m.state()
	var fault error
	switch {
	case m.err != nil:
		fault = m.err
	case state != "ok":
		fault = fmt.Errorf("the hub says it is %s: %v", state, m.report.Reasons)
	}
	a.o.Condition("measured_hub", fault)
	if state == a.before {
		return
	}
	if state == "ok" {
		a.o.Logger.Info("hub is well", obs.KeyAddr, a.cfg.addr())
	} else {
		a.o.Logger.Warn("hub is not well", obs.KeyAddr, a.cfg.addr(), obs.KeyState, state, obs.KeyError, fault)
	}
	a.before = state
}
