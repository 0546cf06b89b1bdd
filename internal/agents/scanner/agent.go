// Package scanner is the agent for the devices of a network: it hears what they say
// unasked, scans the subnets that it is told to, and publishes each device that is new,
// changes or is gone, with all that is known of it.
//
// Ears (one for each interface) and scans give partial observations to one goroutine, the
// keeper, which folds them into the inventory, publishes what changed and keeps it on
// disk. What is heard never waits: where the keeper is slower it is dropped and counted.
package scanner

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/clock"
	"github.com/amoskys/amoskys/internal/inventory"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan/exposure"
)

// maxHeard is how many observations may wait for the keeper, each of about 1 KiB.
const maxHeard = 4096

// Agent knows devices.
type Agent struct {
	cfg      Config
	o        agent.Options
	observer string
	metrics  *metrics
	totals   *agent.Totals
	experts  func() (*experts, error) // loaded once, when first needed
	exposed  *exposure.Watch          // of the keeper; nil looks for nothing
	heard    chan seen
	findings chan *pb.Event
	scanning chan struct{} // has room for one scan at a time
	ears     []*ear
	believed *clock.Clock // asked before devices are forgotten by age

	mu    sync.Mutex // guards what follows
	book  *inventory.Book
	asked map[string]time.Time // ports that were asked what they are, and when
}

var _ agent.TaskLimiter = (*Agent)(nil)

// seen is an observation on its way to the keeper.
type seen struct {
	at     time.Time
	device *pb.DeviceInventory
	looked inventory.Scanned // nil of what was heard
	done   chan<- []inventory.Change
}

// New returns an agent that has not listened yet.
func New(cfg Config, o agent.Options) (*Agent, error) {
	a := &Agent{
		cfg: cfg, o: o, observer: o.Host + "/" + o.ID,
		heard: make(chan seen, maxHeard), findings: make(chan *pb.Event, 256), scanning: make(chan struct{}, 1), asked: map[string]time.Time{},
	}
	a.scanning <- struct{}{}
	a.experts = sync.OnceValues(func() (*experts, error) { return load(cfg) })
	a.believed = clock.Open(clock.Options{Readings: clock.Readings{Wall: a.now}, File: filepath.Join(o.DataDir, "clock"), Logger: o.Logger})
	var err error
	if a.book, err = a.openBook(); err != nil {
		return nil, err
	}
	if last := a.book.Latest(); !last.IsZero() {
		a.believed.Known(last)
	}
	a.metrics = newMetrics(a)
	for _, name := range cfg.Hear.Interfaces {
		a.ears = append(a.ears, newEar(a, name))
	}
	if err := o.Registerer.Register(a.metrics); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	a.totals, err = agent.NewTotals(a.metrics, familyCount, familyUp, familyPorts, familyLast)
	return a, err
}

// totalsEvery is the longest time between two batches of metrics: a series of Prometheus
// that is not told for five minutes is taken to have ended, and scans are rarer.
const totalsEvery = 2 * time.Minute

func (a *Agent) now() time.Time {
	if a.o.Now != nil {
		return a.o.Now()
	}
	return time.Now()
}

// bookOptions are the bounds of the inventory.
func (a *Agent) bookOptions() inventory.Options {
	in := a.cfg.Inventory
	return inventory.Options{
		MaxDevices: in.MaxDevices, AddressesPerMAC: in.AddressesPerMAC,
		Age:         func(t time.Time) time.Duration { return a.believed.Age(t) },
		GoneAfter:   time.Duration(in.GoneAfterHours * float64(time.Hour)),
		ForgetAfter: time.Duration(in.ForgetAfterDays * 24 * float64(time.Hour)),
	}
}

// Run implements agent.Agent.
func (a *Agent) Run(ctx context.Context) error {
	e, err := a.experts()
	if err != nil {
		return err
	}
	if a.exposed = e.watch(a.cfg); a.exposed != nil {
		a.openExposures()
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	a.say()
	var parts, keeping sync.WaitGroup
	for _, one := range a.ears {
		parts.Go(func() {
			if err := one.run(ctx); err != nil && ctx.Err() == nil {
				stop(err)
			}
		})
	}
	if a.cfg.Discovery.scans() {
		parts.Go(func() { a.rounds(ctx) })
	}
	keeping.Go(func() { a.keep(ctx, e) })
	parts.Go(func() { a.totals.Run(ctx, min(a.o.Interval, totalsEvery), a.o.Publisher, a.o.Logger) })
	<-ctx.Done()
	parts.Wait()
	keeping.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// say tells people whether anything is sent.
func (a *Agent) say() {
	if a.cfg.Discovery.scans() {
		a.o.Note("discovery", "")
		return
	}
	a.o.Note("discovery", "it hears, and sends nothing: name networks in discovery.subnets, or start the task device_scan")
}

// same says whether two MAC addresses are known to be of one device.
func (a *Agent) same(mac, other string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.book.Find(mac) {
		if slices.Contains(a.book.Find(other), d) {
			return true
		}
	}
	return false
}

// hear takes an observation of an ear; it never waits.
func (a *Agent) hear(at time.Time, d *pb.DeviceInventory) {
	select {
	case a.heard <- seen{at: at, device: d}:
	default:
		a.metrics.dropped.Inc()
	}
}

// find takes a finding of an ear; it never waits.
func (a *Agent) find(ev *pb.Event) {
	select {
	case a.findings <- ev:
	default:
		a.metrics.dropped.Inc()
	}
}

// counter is a metric that counts by itself.
func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}
