package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/codec"
)

// PipelineOptions say what goes through the whole system.
type PipelineOptions struct {
	Agents   int           // publishers, each with a certificate and a connection of its own
	Batch    int           // events of a batch
	Rate     int           // events a second of all of them
	Duration time.Duration // of the measurement
	Warmup   time.Duration // before it; what is sent then is compared, but not measured
	Patience time.Duration // for the store to have everything, afterwards
	// NoLive leaves out the dashboard and who watches it.
	NoLive bool
	// KeepReadings has the agents mark no reading as one for the metrics alone.
	KeepReadings bool
	// Dir is where the home folder is made, on the disk to measure.
	Dir string
	// Command runs a role: the program and arguments before the role's name.
	Command []string
	// Started, if set, is told the processes once all roles run, to be profiled.
	Started func(pids map[string]int)
	// Progress, if set, is told about once a second what is so.
	Progress func(step string)
}

// Check returns what is wrong with the options.
func (o *PipelineOptions) Check() error {
	for _, rule := range []struct {
		ok   bool
		text string
	}{
		{o.Agents >= 1 && o.Agents <= 200, "agents must be from 1 to 200"},
		{o.Batch >= 1 && o.Batch <= (1<<20)/recordedBytes, fmt.Sprintf("batch must be from 1 to %d", (1<<20)/recordedBytes)},
		{o.Rate >= 1 && o.Rate <= 1_000_000, "rate must be from 1 to 1000000"},
		{o.Duration > 0, "duration must be above 0"},
		{o.Warmup >= 0, "warmup must not be negative"},
		{o.Patience > 0, "patience must be above 0"},
		{len(o.Command) > 0, "no command to run a role with"},
	} {
		if !rule.ok {
			return errors.New(rule.text)
		}
	}
	return nil
}

// RunPipeline runs hub, store with its engine and dashboard in a home of their own,
// publishes recorded events at a rate while somebody watches all of them, and tells what
// that costs and whether each acknowledged event is stored but readings that are thinned.
func RunPipeline(ctx context.Context, o PipelineOptions) (_ *PipelineResult, err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.Dir, "amoskys-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the system: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := newBenchSystem(ctx, &o, filepath.Join(dir, "home"))
	if err != nil {
		return nil, err
	}
	defer s.kill()
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if o.Started != nil {
		pids, err := s.pids()
		if err != nil {
			return nil, err
		}
		o.Started(pids)
	}
	r, err := (&pipeline{o: &o, system: s}).run(ctx)
	if err != nil {
		return nil, err
	}
	return r, s.stop()
}

// pipeline is one run.
type pipeline struct {
	o       *PipelineOptions
	system  *benchSystem
	clients []*client
	watch   *pipelineWatch
	live    liveSeen
}

func (p *pipeline) run(ctx context.Context) (*PipelineResult, error) {
	remove, err := p.newClients()
	if err != nil {
		return nil, err
	}
	defer remove()
	p.watch = &pipelineWatch{system: p.system, tail: p.tail}
	group, ctx := errgroup.WithContext(ctx)
	stop, ended := make(chan struct{}), make(chan struct{})
	watching, leave := context.WithCancel(ctx)
	defer leave()
	if !p.o.NoLive {
		tab, err := p.system.openTab(ctx)
		if err != nil {
			return nil, err
		}
		group.Go(func() error { return tab.watch(watching, &p.live) })
	}
	group.Go(func() error { return p.watch.run(watching) })
	group.Go(func() error {
		defer close(ended)
		sending, ctx := errgroup.WithContext(ctx)
		for _, c := range p.clients {
			sending.Go(func() error { return c.run(ctx, stop) })
		}
		return sending.Wait()
	})
	var r *PipelineResult
	group.Go(func() (err error) {
		defer leave()
		r, err = p.measure(ctx, stop, ended)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	r.Live = p.live.result(r.Seconds)
	return r, nil
}

// newClients makes the publishers, which send on a schedule.
func (p *pipeline) newClients() (remove func(), err error) {
	h := &HubOptions{
		Agents: p.o.Agents, Batch: p.o.Batch, InFlight: 64, Codec: codec.S2, Target: p.system.addrs["hub"], Home: p.system.home,
		KeepReadings: p.o.KeepReadings,
	}
	who, err := newHosts(h, "127.0.0.1")
	if err != nil {
		return nil, err
	}
	var all phase
	all.measuring.Store(true)
	if p.clients, err = newClients(h, who, &all); err != nil {
		who.remove()
		return nil, err
	}
	every := time.Duration(float64(time.Second) * float64(p.o.Batch*p.o.Agents) / float64(p.o.Rate))
	for i, c := range p.clients {
		c.schedule = &schedule{every: every, first: every * time.Duration(i) / time.Duration(p.o.Agents)}
	}
	return func() {
		for _, c := range p.clients {
			_ = c.conn.Close()
		}
		who.remove()
	}, nil
}

// tail is behind the newest event that was acknowledged.
func (p *pipeline) tail() (next uint64) {
	for _, c := range p.clients {
		next = max(next, c.next.Load())
	}
	return next
}

func (p *pipeline) acked() (events, retried uint64) {
	for _, c := range p.clients {
		events += c.acked.Load()
		retried += c.retried.Load()
	}
	return events, retried
}

// measure lets events flow, has the publishers stop, waits for the store and compares.
func (p *pipeline) measure(ctx context.Context, stop, ended chan struct{}) (*PipelineResult, error) {
	end := func() { close(stop); <-ended }
	if err := p.wait(ctx, "warming up", p.o.Warmup); err != nil {
		end()
		return nil, err
	}
	r := &PipelineResult{Bench: "pipeline", Agents: p.o.Agents, Batch: p.o.Batch, Rate: p.o.Rate, CPUs: runtime.NumCPU()}
	before, err := p.system.used()
	began, first := time.Now(), uint64(0)
	if err == nil {
		first, _ = p.acked()
		p.watch.measuring.Store(true)
		p.live.measuring.Store(true)
		err = p.wait(ctx, "measuring", p.o.Duration)
		p.watch.measuring.Store(false)
		p.live.measuring.Store(false)
	}
	last, _ := p.acked()
	r.Seconds = time.Since(began).Seconds()
	end()
	if err != nil {
		return nil, err
	}
	r.Events, r.EventsPerSecond = last-first, float64(last-first)/r.Seconds
	r.Ack = ackOf(p.clients)
	ctx, cancel := context.WithTimeout(ctx, p.o.Patience)
	defer cancel()
	r.Acknowledged, r.RetriedBatches = p.acked()
	if err := p.awaitStore(ctx, r); err != nil {
		return nil, err
	}
	after, err := p.system.used()
	if err != nil {
		return nil, err
	}
	r.noteCPU(before, after, r.Acknowledged-first)
	return r, p.compare(ctx, r)
}

// awaitStore waits until the store has all that was acknowledged.
func (p *pipeline) awaitStore(ctx context.Context, r *PipelineResult) error {
	began := time.Now()
	for tail := p.tail(); p.watch.inserted.Load() < tail; {
		p.tell("waiting for the store: %d of %d", p.watch.inserted.Load(), tail)
		if err := pauseFor(ctx, watchEvery); err != nil {
			return fmt.Errorf("the store has not all that was acknowledged, but %d of %d: %w", p.watch.inserted.Load(), tail, err)
		}
	}
	r.BehindSeconds = time.Since(began).Seconds()
	r.Lag, r.PSSBytes, r.PSSByRole = p.watch.result()
	return nil
}

// compare counts what is stored of each publisher.
func (p *pipeline) compare(ctx context.Context, r *PipelineResult) error {
	stored, err := p.system.stored(ctx)
	if err != nil {
		return err
	}
	for _, c := range p.clients {
		n, thinned := stored[c.host], c.thinned.Load()
		r.Stored += n
		r.Thinned += thinned
		if got := c.acked.Load() - thinned; n != got {
			r.Unequal = append(r.Unequal, fmt.Sprintf("%s: %d to be stored, %d stored", c.host, got, n))
		}
	}
	r.StoreBytes = folderBytes(p.system.home.Path("data/store/engine"))
	r.MetricsBytes = folderBytes(p.system.home.Path("data/metrics"))
	return nil
}

func (p *pipeline) tell(format string, args ...any) {
	if p.o.Progress != nil {
		p.o.Progress(fmt.Sprintf(format, args...))
	}
}

// wait lets time pass and tells of it.
func (p *pipeline) wait(ctx context.Context, what string, d time.Duration) error {
	for begin := time.Now(); ; {
		left := d - time.Since(begin)
		if left <= 0 {
			return nil
		}
		events, _ := p.acked()
		p.tell("%s, %s of %s, events acknowledged: %d", what, time.Since(begin).Round(time.Second), d, events)
		if err := pauseFor(ctx, min(left, time.Second)); err != nil {
			return err
		}
	}
}

// pauseFor waits, unless ctx ends.
func pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ackOf is how long acknowledgements took, of clients that have ended.
func ackOf(clients []*client) Ack {
	var all histogram
	for _, c := range clients {
		all.merge(&c.latency)
	}
	return Ack{P50: all.quantile(0.5), P99: all.quantile(0.99), P999: all.quantile(0.999)}
}

// schedule says when a client sends: at a steady pace, and at once what is overdue.
type schedule struct{ first, every time.Duration }

// await waits until batch n, from 1, is due after begin; false when the client is to stop.
func (s *schedule) await(ctx context.Context, stop <-chan struct{}, begin time.Time, n uint64) bool {
	t := time.NewTimer(time.Until(begin.Add(s.first + time.Duration(n-1)*s.every)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
		return false
	case <-ctx.Done():
		return false
	}
}
