package answers

import (
	"cmp"
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Limits bound what one caller can ask for. 0 is the default.
type Limits struct {
	// Time is how long one question may take; 30 s. An export may take longer: it
	// bounds each slice of it.
	Time time.Duration
	// Running is how many questions of one kind (see kind) of one caller are answered at
	// once; 2, and four times as many light ones. Waiting is how many more may wait for
	// that; 64, as pages of several tabs ask at once.
	Running, Waiting int
	// Engine is how many queries of all callers the engine is given at once; 4. One caller
	// has at most half of them, so that others need not wait until theirs are answered.
	Engine int
	// Rows is how many rows a query with pipes may have; 100,000.
	Rows uint32
	// Bytes is how much of the engine's answer to one query is held in memory; 32 MiB.
	Bytes int
	// Held is how much of answers to all callers is in memory at once, those included that
	// are read slowly; 256 MiB. HeldOfCaller is how much of it one caller may have; 96 MiB.
	Held, HeldOfCaller int
	// FacetRows is how many of the newest rows facets and values are counted over;
	// 100,000.
	FacetRows uint64
	// Reads is of how many events at most the engine is made to read every value of a field,
	// as for a regular expression without a word in it; 5 million, which take 6 s on two
	// processors.
	Reads uint64
	// FlushEvery is how often at most the engine is made to show what it has, for it makes
	// a small part of its data each time; 200 ms. Until then an answer is of what was
	// stored before.
	FlushEvery time.Duration
	// StatusAge is how old what is known of the store's state may be; a second.
	StatusAge time.Duration
}

func (l Limits) orDefault() Limits {
	return Limits{
		Time: cmp.Or(l.Time, 30*time.Second), Running: cmp.Or(l.Running, 2), Waiting: cmp.Or(l.Waiting, 64),
		Engine: cmp.Or(l.Engine, 4), Rows: cmp.Or(l.Rows, 100_000), Bytes: cmp.Or(l.Bytes, 32<<20),
		Held: cmp.Or(l.Held, 256<<20), HeldOfCaller: cmp.Or(l.HeldOfCaller, 96<<20),
		FacetRows: cmp.Or(l.FacetRows, 100_000), Reads: cmp.Or(l.Reads, 5_000_000), FlushEvery: cmp.Or(l.FlushEvery, 200*time.Millisecond),
		StatusAge: cmp.Or(l.StatusAge, time.Second),
	}
}

// kind is what a question costs. Those of one kind do not wait for those of another:
// an export may last for hours.
type kind string

const (
	light  kind = "light" // a page, or one event
	heavy  kind = "heavy" // counts
	export kind = "export"
)

// running is how many questions of a kind one caller may have answered at once.
func (l *Limits) running(k kind) int {
	if k == light {
		return 4 * l.Running
	}
	return l.Running
}

// gate lets questions in.
type gate struct {
	limits Limits
	engine chan struct{} // one for each query that the engine has

	mu      sync.Mutex
	callers map[share]*caller
	asking  map[string]*caller // by name: who has queries at the engine
}

// share is what of one caller is counted together.
type share struct {
	name string
	kind kind
}

// caller is somebody who asks or waits now.
type caller struct {
	running chan struct{}
	all     int // that run or wait
}

func newGate(l Limits) *gate {
	return &gate{limits: l, engine: make(chan struct{}, l.Engine), callers: map[share]*caller{}, asking: map[string]*caller{}}
}

// join adds one to what a caller runs or waits for, of which running go on at once; nil
// where there are most already. forget takes it away again.
func join[K comparable](mu *sync.Mutex, all map[K]*caller, who K, running, most int) (c *caller, forget func()) {
	mu.Lock()
	defer mu.Unlock()
	if c = all[who]; c == nil {
		c = &caller{running: make(chan struct{}, running)}
		all[who] = c
	}
	if c.all >= most {
		return nil, nil
	}
	c.all++
	return c, func() {
		mu.Lock()
		defer mu.Unlock()
		if c.all--; c.all == 0 {
			delete(all, who)
		}
	}
}

// enter waits until a caller may ask one more question. RESOURCE_EXHAUSTED: too many
// wait already. The caller calls leave when the question is answered.
func (g *gate) enter(ctx context.Context, who share) (leave func(), err error) {
	running := g.limits.running(who.kind)
	c, forget := join(&g.mu, g.callers, who, running, running+g.limits.Waiting)
	if c == nil {
		return nil, status.Errorf(codes.ResourceExhausted,
			"%d questions of yours are being answered and %d wait: wait for them, or end some", running, g.limits.Waiting)
	}
	select {
	case c.running <- struct{}{}:
		return func() { <-c.running; forget() }, nil
	case <-ctx.Done():
		forget()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, status.Error(codes.ResourceExhausted, "other questions of yours are still being answered: wait for them, or end some")
		}
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// turn waits until the engine can be given one more query of who; done ends it.
func (g *gate) turn(ctx context.Context, who string) (done func(), err error) {
	c, forget := join(&g.mu, g.asking, who, max(1, g.limits.Engine/2), math.MaxInt)
	for i, free := range []chan struct{}{c.running, g.engine} {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			if i > 0 {
				<-c.running
			}
			forget()
			return nil, ctx.Err() //nolint:wrapcheck // the caller words it
		}
	}
	return func() { <-g.engine; <-c.running; forget() }, nil
}

// begin bounds a question of ctx's caller by Limits.Time, and waits for its turn.
func (s *Service) begin(ctx context.Context, k kind) (_ context.Context, end func(), err error) {
	if err := s.away(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Limits.Time)
	leave, err := s.gate.enter(ctx, share{s.o.Caller(ctx), k})
	if err != nil {
		cancel()
		return nil, nil, err
	}
	ctx, account := s.withAccount(ctx)
	return ctx, func() { account.release(); leave(); cancel() }, nil
}

// away is what is told while the engine cannot be asked.
func (s *Service) away() error {
	if why := s.o.Away(); why != "" {
		return status.Error(codes.Unavailable, why)
	}
	return nil
}
