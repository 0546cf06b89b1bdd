// Package proc is the agent for the processes of this host: it reports each one
// that starts or ends, and readings of those that run.
//
// It compares readings of /proc, so a process that lives shorter than the scan
// interval may be missed. The reader is our own: it keeps buffers and the facts
// that do not change, where a general library reads and allocates all of them
// each time (see BenchmarkReading).
package proc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/event"
	eventreading "github.com/amoskys/amoskys/internal/event/reading"
	"github.com/amoskys/amoskys/internal/mask"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Agent watches processes.
type Agent struct {
	cfg     Monitoring
	o       agent.Options
	table   *table
	fresh   func() (*table, error) // another table of the same host, for a task
	metrics *metrics

	change   change
	events   []*pb.Event
	readings uint64
	sight    sight
	last     time.Time // of the last reading
}

var _ agent.Agent = (*Agent)(nil)

// New returns an agent for the processes of this host. It fails on systems whose
// processes it cannot read.
func New(cfg Config, o agent.Options) (*Agent, error) {
	masker, err := mask.New(mask.Rules(cfg.Mask))
	if err != nil {
		return nil, fmt.Errorf("mask: %w", err)
	}
	return newAgent(cfg.Monitoring, o, func() (*table, error) { return hostTable(o.HostID, masker.Args) })
}

func newAgent(cfg Monitoring, o agent.Options, open func() (*table, error)) (*Agent, error) {
	a := &Agent{cfg: cfg, o: o, metrics: newMetrics(), fresh: func() (*table, error) {
		t, err := open()
		if err != nil {
			return nil, err
		}
		t.watch = filter{monitored: cfg.MonitoredProcesses, excluded: cfg.ExcludeList}.wants
		t.byPID = map[int]*process{}
		return t, nil
	}}
	var err error
	if a.table, err = a.fresh(); err != nil {
		return nil, err
	}
	for _, c := range []prometheus.Collector{a.metrics} {
		if err := o.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return a, nil
}

// Run implements agent.Agent.
func (a *Agent) Run(ctx context.Context) error {
	scan := min(time.Duration(a.cfg.ScanIntervalSeconds*float64(time.Second)), a.o.Interval)
	tick := time.NewTicker(scan)
	defer tick.Stop()
	if err := a.step(ctx, time.Now(), true); err != nil {
		return ended(ctx, err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			due := now.Sub(a.last) >= a.o.Interval-scan/2
			if err := a.step(ctx, now, due); err != nil {
				return ended(ctx, err)
			}
		}
	}
}

// ended is nil when ctx is the reason for err.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// step looks for changes and, when due, reads every process.
func (a *Agent) step(ctx context.Context, now time.Time, due bool) error {
	begin := time.Now()
	if err := a.table.scan(&a.change); err != nil {
		a.o.Condition("processes", err)
		a.o.Logger.Warn("processes cannot be read", obs.KeyError, err)
		return nil
	}
	a.o.Condition("processes", nil)
	if due {
		a.table.refresh(&a.change)
		a.look()
		a.last = now
		a.readings++
	}
	a.events = a.events[:0]
	a.changes(now)
	if due {
		a.samples()
		a.metrics.update(a.table, a.cfg.MetricsTop)
	}
	a.metrics.note(a.change, a.table, time.Since(begin))
	if len(a.events) == 0 {
		return nil
	}
	err := a.o.Publisher.Publish(ctx, a.events...)
	clear(a.events) // they belong to the publisher
	return err
}

// sightEvery is the number of readings between looks at the agent's own rights and at
// how /proc is mounted, which may change.
const sightEvery = 12

// look says what the agent may not see.
func (a *Agent) look() {
	if a.readings%sightEvery == 0 {
		a.sight = a.table.src.sight()
	}
	hidden, total := a.table.sighted()
	a.metrics.hide(hidden)
	err := a.sight.blind(hidden, total)
	if err != nil && a.readings == 0 {
		a.o.Logger.Warn("not every process can be seen in full", obs.KeyError, err)
	}
	a.o.Condition("visibility", err)
}

// changes adds an event for each process that started or ended, and for each program
// that took another's place.
func (a *Agent) changes(now time.Time) {
	for _, p := range a.change.ended {
		if p.watched {
			a.events = append(a.events, a.table.exitEvent(p, now))
		}
	}
	for _, p := range a.change.started {
		if p.watched {
			a.events = append(a.events, a.table.startEvent(p, a.table.startTime(p, now)))
		}
	}
	for _, p := range a.change.replaced {
		if p.watched {
			a.events = append(a.events, a.table.startEvent(p, now))
		}
	}
}

// samples adds a reading of each process that changed since the last one, and of
// the others every few readings, so that what is shown is never old. A process that is
// too young for its CPU use to be told waits for the next. The first reading of each
// process, and then one in each slot, is kept as an event; the others are marked.
func (a *Agent) samples() {
	first := len(a.events)
	slots := event.Slots(a.cfg.EventIntervalSeconds * float64(time.Second))
	for _, p := range a.table.byPID {
		if !p.watched || !p.known || !p.sampled(a.cfg.SampleRate) {
			continue
		}
		stale := p.sent == 0 || a.readings-p.sent >= uint64(a.cfg.UnchangedEvery)
		if !p.moved && !stale {
			continue
		}
		if stale {
			a.table.src.identity(p.pid, &p.facts)
		}
		p.sent = a.readings
		ev := a.table.sampleEvent(p)
		if len(a.cfg.MonitoredProcesses) > 0 { // all that is told was asked for by name
			ev.Labels = map[string]string{eventreading.LabelMonitored: "true"}
		}
		ev.MetricsOnly = !slots.Keep(&p.slot, p.uid, p.read)
		a.events = append(a.events, ev)
	}
	slices.SortFunc(a.events[first:], func(x, y *pb.Event) int {
		return int(x.GetProcess().GetProcess().GetPid()) - int(y.GetProcess().GetProcess().GetPid())
	})
}
