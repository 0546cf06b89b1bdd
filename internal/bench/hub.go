package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
)

// HubOptions says what load to put on a hub.
type HubOptions struct {
	Agents   int           // clients, each with a connection of its own
	Batch    int           // events of a batch
	Size     int           // bytes of an event
	InFlight int           // batches each client sends ahead of their acks
	Unary    bool          // PublishEvent one at a time instead of batches
	Duration time.Duration // of the measurement
	Warmup   time.Duration // before it, not counted
	// Target is the hub's address. Empty starts a hub for the run in a new folder
	// under Dir, as a process of its own, and removes it afterwards.
	Target string
	Dir    string
	// Home has the certificates for Target; not used without one.
	Home config.Home
	// Command runs a hub for the run: the program and arguments to which the home
	// folder is appended. It must end in RunHubChild. Not used with Target.
	Command []string
	// Profile, when set, is a file to which the hub's CPU profile is written.
	Profile string
}

// Check returns what is wrong with the options.
func (o *HubOptions) Check() error {
	for _, rule := range []struct {
		ok   bool
		text string
	}{
		{o.Agents >= 1 && o.Agents <= 10_000, "agents must be from 1 to 10000"},
		{o.Batch >= 1 && o.Batch <= 65_536, "batch must be from 1 to 65536"},
		{o.Size >= 1 && o.Size <= 1<<20, "size must be from 1 to 1048576"},
		{o.Batch*o.Size <= 15<<20, "batch times size must be below 15 MiB"},
		{o.InFlight >= 1 && o.InFlight <= 64, "inflight must be from 1 to 64"},
		{o.Duration > 0, "duration must be above 0"},
		{o.Warmup >= 0, "warmup must not be negative"},
	} {
		if !rule.ok {
			return errors.New(rule.text)
		}
	}
	_, err := newEvent("bench_000", o.Size, time.Now())
	return err
}

// RunHub puts the load on a hub and returns what was measured. progress, which
// may be nil, is called about once a second with events acknowledged so far.
func RunHub(ctx context.Context, o HubOptions, progress func(elapsed time.Duration, events uint64)) (*HubResult, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	var child *hubChild
	if o.Target == "" {
		var err error
		if child, err = startChild(ctx, &o); err != nil {
			return nil, fmt.Errorf("start a hub to measure: %w", err)
		}
		defer child.kill()
		o.Target, o.Home = child.ready.Addr, child.home
	}
	result, err := drive(ctx, &o, child, progress)
	if child != nil {
		err = errors.Join(err, child.stop())
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// drive runs the clients.
func drive(ctx context.Context, o *HubOptions, child *hubChild, progress func(time.Duration, uint64)) (*HubResult, error) {
	host, _, err := net.SplitHostPort(o.Target)
	if err != nil {
		return nil, fmt.Errorf("target %q: %w", o.Target, err)
	}
	cfg, err := identity.ClientConfig(identity.FilesFor(o.Home.Certs(), "agent"), identity.ClientOptions{ServerName: host})
	if err != nil {
		return nil, err
	}
	var p phase
	clients := make([]*client, o.Agents)
	for i := range clients {
		if clients[i], err = newClient(i, o, cfg, &p, time.Now()); err != nil {
			return nil, err
		}
		defer func() { _ = clients[i].conn.Close() }()
	}
	stop := make(chan struct{})
	group, running := errgroup.WithContext(ctx)
	for _, c := range clients {
		group.Go(func() error { return c.run(running, stop) })
	}
	m := &measurement{o: o, clients: clients, phase: &p, child: child, progress: progress}
	measured := m.run(running)
	close(stop)
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if measured != nil {
		return nil, measured
	}
	return m.result()
}

// measurement takes readings before and after the interval.
type measurement struct {
	o             *HubOptions
	clients       []*client
	phase         *phase
	child         *hubChild
	progress      func(time.Duration, uint64)
	before, after reading
}

// reading is the state of everything at one moment.
type reading struct {
	at     time.Time
	events uint64
	retry  uint64
	own    float64 // CPU seconds of this process
	hub    hubReading
}

func (m *measurement) read(ctx context.Context) (r reading, err error) {
	if m.child != nil {
		if r.hub, err = m.child.read(ctx); err != nil {
			return r, err
		}
	}
	r.own = cpuSeconds()
	for _, c := range m.clients {
		r.events += c.acked.Load()
		r.retry += c.retried.Load()
	}
	r.at = time.Now()
	return r, nil
}

func (m *measurement) run(ctx context.Context) (err error) {
	if err := m.wait(ctx, m.o.Warmup); err != nil {
		return err
	}
	if m.before, err = m.read(ctx); err != nil {
		return err
	}
	m.phase.measuring.Store(true)
	if m.o.Profile != "" && m.child != nil {
		if err := m.child.profile(ctx, m.o.Profile, m.o.Duration); err != nil {
			return err
		}
	} else if err := m.wait(ctx, m.o.Duration); err != nil {
		return err
	}
	m.phase.measuring.Store(false)
	m.after, err = m.read(ctx)
	return err
}

// wait lets time pass and reports progress.
func (m *measurement) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	begin := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil // a client tells why, or nobody needs to know
		case <-timer.C:
			return nil
		case <-tick.C:
			if m.progress != nil {
				var n uint64
				for _, c := range m.clients {
					n += c.acked.Load()
				}
				m.progress(time.Since(begin), n)
			}
		}
	}
}
