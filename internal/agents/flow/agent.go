// Package flow is the agent for the network flows of this host: it captures from an
// interface, and reports each conversation that begins, goes on and ends, with what
// it speaks, and which process of the host speaks it. It takes the flows that routers
// export too, and gives its own to others.
//
// Frames go from the kernel's ring through a lane (see package lane) to a teller,
// which makes events of flows, and from there by a bounded queue to the one goroutine
// that names processes and publishes. Nothing on the way from ring to queue waits.
package flow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/findings"
	"github.com/amoskys/amoskys/internal/flow/lane"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/ring"
	"github.com/amoskys/amoskys/internal/flow/track"
	"github.com/amoskys/amoskys/internal/scan/claim"
)

const (
	// maxInspectedShare is which part of the flows may be under inspection at once: one
	// in so many.
	maxInspectedShare = 4
	// maxBuffered is how many bytes of payload all flows under inspection may keep.
	maxBuffered = 64 << 20
)

// Agent watches flows.
type Agent struct {
	cfg     Config
	o       agent.Options
	own     own
	names   names
	queue   *queue
	metrics *metrics
	totals  *agent.Totals
	taps    []*tap
	lanes   []*lane.Lane
	helm    *helm
	// collector takes flows of others, and outlet gives ours to others; nil does not.
	collector *collector
	outlet    *outlet
	// watch looks for findings; nil does not. Lanes share it.
	watch *findings.Watch
	told  int64 // when watch was told of the traffic
	// ring keeps packets; nil keeps none. feeds are those of the lanes.
	ring  *ring.Ring
	feeds []*ring.Feed
	// geoFault is what was told of the databases of places.
	geoFault string
	// claimed are ports and ids of scans of this host.
	claimed claim.Book
}

var _ agent.TaskLimiter = (*Agent)(nil)

// New returns an agent that captures nothing yet.
func New(cfg Config, o agent.Options) (*Agent, error) {
	a := &Agent{cfg: cfg, o: o}
	a.helm = newHelm(cfg.Capture, o, &a.own)
	a.helm.collects = cfg.collects()
	a.metrics = newMetrics(o, cfg.Capture.Fanout)
	var find *owners
	if cfg.Enrichment.Processes {
		find = newOwners(o.HostID, &a.own)
	}
	a.queue = newQueue(o, find, a.metrics)
	if cfg.Findings.Enabled {
		a.watch = findings.New(cfg.Findings, a.queue.putFinding)
		a.metrics.found = a.watch.Stats
	}
	var err error
	if a.outlet, err = newOutlet(a); err != nil {
		return nil, err
	}
	a.metrics.outlet = a.outlet
	if cfg.collects() {
		a.collector = newCollector(a)
		a.metrics.collector = a.collector
	}
	a.queue.atlas = newAtlas(a)
	if err = a.openRing(); err != nil {
		return nil, err
	}
	for i := range cfg.Capture.Fanout {
		if cfg.captures() {
			a.addLane(i)
		}
	}
	a.metrics.taps, a.helm.taps = a.taps, a.taps
	if err := o.Registerer.Register(a.metrics); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	a.totals, err = agent.NewTotals(a.metrics, familyCreated, familyEnded, familyDuration, familyBytesIn, familyBytesOut, familyPacketsIn, familyPacketsOut, familyDropped)
	return a, err
}

// addLane makes the lane of one source.
func (a *Agent) addLane(number int) {
	t := newTap(a.helm.lose)
	told := newTeller(a)
	share := max(1, a.cfg.Aggregation.MaxFlows/a.cfg.Capture.Fanout)
	identify := dissect.Options{MaxFlows: share, MaxBuffered: maxBuffered / a.cfg.Capture.Fanout}
	if a.cfg.Enrichment.Hostnames || a.watch != nil {
		identify.OnDNS = told.DNS
	}
	var kept func(*packet.Frame, *packet.Packet)
	if a.ring != nil {
		a.feeds = append(a.feeds, a.ring.Feed())
		kept = a.feeds[number].Add
	}
	a.lanes = append(a.lanes, lane.New(lane.Options{
		Source: t, Now: t.now, Identify: identify, Kept: kept,
		Table: track.Options{
			Consumer: told, Idle: a.cfg.Aggregation.timeout(), Update: a.o.Interval,
			Established: max(a.cfg.Aggregation.timeout(), 10*time.Minute),
			MaxFlows:    share, MaxInspected: max(1, share/maxInspectedShare),
			VLAN: a.cfg.Aggregation.TrackVLANs, Seed: uint16(a.cfg.Aggregation.CommunityIDSeed),
		},
		Every: func(c lane.Counts) { a.every(number, t, c) },
	}))
	a.taps = append(a.taps, t)
}

// every is called in the goroutine of a lane, ten times a second.
func (a *Agent) every(number int, t *tap, c lane.Counts) {
	a.metrics.note(number, c)
	if a.ring != nil {
		a.feeds[number].Flush()
	}
	if a.watch == nil || number != 0 {
		return
	}
	now := t.now().UnixNano()
	a.watch.Advance(now)
	if now-a.told >= int64(a.o.Interval) || now < a.told {
		a.told = now
		if a.helm.works() {
			a.watch.Traffic(a.helm.name(), a.metrics.captured(), now)
		}
	}
}

// Run implements agent.Agent.
func (a *Agent) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var parts, publishing, keeping sync.WaitGroup
	fail := func(err error) {
		if err != nil {
			stop(err)
		}
	}
	if a.queue.atlas != nil {
		a.readPlaces() // so that the first flows have theirs
	}
	publishing.Go(func() {
		fail(a.queue.run(ctx))
		a.queue.drain()
	})
	if a.queue.atlas != nil {
		parts.Go(func() { a.followPlaces(ctx) })
	}
	// Flows that end with us are exported still.
	exporting, exported := context.WithCancel(context.WithoutCancel(ctx))
	defer exported()
	if a.outlet != nil {
		publishing.Go(func() { fail(a.outlet.run(exporting)) })
	}
	if a.collector != nil {
		parts.Go(func() { fail(a.collector.run(ctx)) })
	}
	if a.cfg.captures() && !a.cfg.Aggregation.OwnScans {
		parts.Go(func() { a.takeClaims(ctx) })
	}
	if a.cfg.captures() {
		parts.Go(func() { fail(a.helm.run(ctx)) })
		parts.Go(func() { a.totals.Run(ctx, a.o.Interval, a.o.Publisher, a.o.Logger) })
	}
	if a.ring != nil {
		keeping.Go(func() { a.keep() })
	}
	for i, l := range a.lanes {
		parts.Go(func() {
			if err := l.Run(ctx); err != nil && ctx.Err() == nil {
				stop(err)
			}
			l.Close()
			a.metrics.note(i, l.Counts())
			if a.ring != nil {
				a.feeds[i].Flush()
			}
			_ = a.taps[i].Close()
		})
	}
	parts.Wait()
	a.queue.end() // and what is in it is still published
	exported()
	publishing.Wait()
	if a.ring != nil {
		a.ring.End()
	}
	keeping.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// guard the interfaces that the parts are used by.
var (
	_ capture.Source = (*tap)(nil)
	_ track.Consumer = (*teller)(nil)
)
