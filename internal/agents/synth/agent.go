// Package synth is the agent that makes events up: a small fleet with its daily
// work, bursts and incidents, from a seed, so that two runs with the same seed and
// start time publish the same events byte for byte.
//
// Everything it makes is marked as synthetic and uses only addresses and names
// that are reserved for documentation (RFC 5737, RFC 3849, RFC 7042, RFC 2606).
package synth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Agent publishes what a Generator makes, at the pace of its times.
type Agent struct {
	cfg       Synthetic
	o         agent.Options
	generated atomic.Uint64
	anomalous atomic.Uint64
}

var _ agent.Agent = (*Agent)(nil)

// errNotYet is why the macOS agent does not start without --synthetic.
func errNotYet() error {
	if runtime.GOOS == "darwin" {
		return errors.New("macOS telemetry is not built yet: use --synthetic, or synthetic.enabled: true, for generated events")
	}
	return fmt.Errorf("macOS telemetry runs on macOS only, this is %s: use --synthetic, or synthetic.enabled: true, for generated events",
		runtime.GOOS)
}

// New returns an agent that generates events.
func New(cfg Synthetic, o agent.Options) (*Agent, error) {
	a := &Agent{cfg: cfg, o: o}
	counter := func(name, help string, n *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return float64(n.Load()) })
	}
	for _, c := range []prometheus.Collector{
		counter("amoskys_synth_events_total", "Events that were generated.", &a.generated),
		counter("amoskys_synth_anomalous_events_total", "Generated events that belong to an incident.", &a.anomalous),
	} {
		if err := o.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return a, nil
}

// maxBehind is the most events of one step, so that a slept-through night does not
// come as one piece; the rest follows in the next steps.
const maxBehind = 50_000

// maxGroup is how many events are published together.
const maxGroup = 500

// Run implements agent.Agent. It returns early when duration_seconds are over.
func (a *Agent) Run(ctx context.Context) error {
	begin := time.Now()
	start, err := a.cfg.start(begin)
	if err != nil {
		return err
	}
	g := NewGenerator(a.cfg, start)
	g.kind = a.o.Kind
	var end time.Time
	if a.cfg.DurationSeconds > 0 {
		end = start.Add(time.Duration(a.cfg.DurationSeconds * float64(time.Second)))
	}
	tick := time.NewTicker(a.o.Interval)
	defer tick.Stop()
	next := g.Next()
	for {
		// The generator's clock runs as ours does, from its own start.
		now := start.Add(time.Since(begin))
		var group []*pb.Event
		for n := 0; n < maxBehind && !next.GetTime().AsTime().After(now); n++ {
			if !end.IsZero() && next.GetTime().AsTime().After(end) {
				break
			}
			group = append(group, next)
			next = g.Next()
			if len(group) == maxGroup {
				if err := a.publish(ctx, group); err != nil {
					return ended(ctx, err)
				}
				group = nil
			}
		}
		if err := a.publish(ctx, group); err != nil {
			return ended(ctx, err)
		}
		if !end.IsZero() && now.After(end) {
			a.o.Logger.Info("synthetic events are complete", obs.KeyEvents, a.generated.Load())
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (a *Agent) publish(ctx context.Context, group []*pb.Event) error {
	if len(group) == 0 {
		return nil
	}
	for _, ev := range group {
		a.generated.Add(1)
		if ev.GetLabels()["anomaly"] != "" {
			a.anomalous.Add(1)
		}
	}
	return a.o.Publisher.Publish(ctx, group...)
}
