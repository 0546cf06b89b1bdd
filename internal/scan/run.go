package scan

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/scan/claim"
)

// scanner is one scan.
type scanner struct {
	plan  Plan
	base  uint16 // of our ports
	limit *limiter
	count counters
	clock func() time.Duration
	every time.Duration // between packets to one host
	began time.Time
	each  func(Host)
	now   func() time.Time
	known neighbours
	// claims says which packets are ours to who watches the network from this host; nil does
	// not.
	claims *claim.Scan

	giving sync.Mutex // held while each is called

	mu     sync.Mutex // guards what follows
	phase  Phase
	method Method
	resume time.Time
}

// queued is how many hosts wait between two stages of a scan at most.
const queued = 4096

// Run scans. It calls each for every host as soon as all is known of it, one call at a
// time, and progress five times a second and at the end, from another goroutine; both
// may be nil. It returns when all is done, ctx ends, or the network cannot be used; what
// a plan must not have is a PublicError, a TooManyError or another error before anything
// is sent.
//
// Hosts go through three stages that work at the same time:
//
//	addresses ──▶ who is there ──▶ which ports are open ──▶ names, UDP, ways ──▶ each
func Run(ctx context.Context, plan Plan, each func(Host), progress func(Progress)) error {
	if err := plan.Validate(); err != nil {
		return err
	}
	s := newScanner(plan, each)
	stop := s.report(ctx, progress)
	err := s.run(ctx)
	if err == nil {
		s.setPhase(PhaseDone)
	}
	stop()
	return err
}

func newScanner(plan Plan, each func(Host)) *scanner {
	if plan.Timeout == 0 {
		plan.Timeout = time.Second
	}
	if plan.Method == "" {
		plan.Method = Auto
	}
	if each == nil {
		each = func(Host) {}
	}
	s := &scanner{
		plan: plan, limit: newLimiter(plan.Rate), began: time.Now(), each: each, now: time.Now, phase: PhaseHosts, method: plan.Method,
		// Above the ports that Linux gives to programs, so that none of theirs is ours.
		base: uint16(61_000+rand.IntN(4_000)) &^ triesBits, //nolint:gosec // a port, not a secret
	}
	s.clock = func() time.Duration { return time.Since(s.began) }
	if plan.HostRate > 0 {
		s.every = time.Second / time.Duration(plan.HostRate)
	}
	s.count.addresses.Store(plan.sweptCount())
	return s
}

func (s *scanner) run(ctx context.Context) error {
	if err := s.permitted(ctx); err != nil {
		return err
	}
	raw, err := s.choose()
	if err != nil {
		return err
	}
	s.claims = claim.Begin(ctx)
	defer s.claims.End()
	found, asked := make(chan candidate, queued), make(chan *Host, queued)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(found)
		return s.discover(ctx, raw, found)
	})
	g.Go(func() error {
		defer close(asked)
		err := s.askPorts(ctx, raw, found, asked)
		if s.plan.Names || len(s.plan.UDP) > 0 || s.plan.Routes {
			s.setPhase(PhaseNames)
		}
		return err
	})
	g.Go(func() error { return s.complete(ctx, asked, raw) })
	return g.Wait()
}

// choose says whether raw sockets are used.
func (s *scanner) choose() (raw bool, err error) {
	if s.plan.Method != Connect {
		err = rawPossible()
		raw = err == nil
	}
	if err != nil && s.plan.Method == SYN {
		return false, fmt.Errorf("SYN scan: %w; scan with the method connect instead", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.method = Connect
	if raw {
		s.method = SYN
	}
	return raw, nil
}

// permitted waits for the hours in which the plan allows to send.
func (s *scanner) permitted(ctx context.Context) error {
	for {
		now := s.now()
		next := s.plan.Hours.Next(now)
		if !next.After(now) {
			return ctx.Err()
		}
		s.setResume(next)
		err := Pause(ctx, min(next.Sub(now), time.Minute)) // clocks may be set
		s.setResume(time.Time{})
		if err != nil {
			return err
		}
	}
}

// setResume says until when the scan is paused; the zero time is that it is not.
func (s *scanner) setResume(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resume = at
}

func (s *scanner) setPhase(p Phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = p
}

// chunks gives the addresses to look at, those that are excluded left out, in pieces.
func (s *scanner) chunks(yield func([]netip.Addr) bool) {
	const size = 1 << 14
	piece := make([]netip.Addr, 0, min(size, s.plan.sweptCount()))
	one := Targets{slices.DeleteFunc(slices.Clone(s.plan.Targets.ranges), wide)}
	for a := range one.All() {
		if s.plan.Exclude.Contains(a) {
			s.count.looked.Add(1)
			continue
		}
		if piece = append(piece, a); len(piece) == size {
			if !yield(piece) {
				return
			}
			piece = make([]netip.Addr, 0, size)
		}
	}
	if len(piece) > 0 {
		yield(piece)
	}
}

// report calls progress until the returned function is called, which calls it once more.
func (s *scanner) report(ctx context.Context, progress func(Progress)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				progress(s.progress())
			case <-end:
				progress(s.progress())
				return
			case <-ctx.Done():
				<-end
				progress(s.progress())
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

func (s *scanner) progress() Progress {
	s.mu.Lock()
	p := Progress{Phase: s.phase, Method: s.method, Resume: s.resume}
	if !s.resume.IsZero() {
		p.Phase = PhasePaused
	}
	s.mu.Unlock()
	c := &s.count
	p.Addresses, p.Looked, p.Hosts = c.addresses.Load(), c.looked.Load(), c.hosts.Load()
	p.Sent, p.Answered, p.Resent, p.Strays = c.sent.Load(), c.answered.Load(), c.resent.Load(), c.strays.Load()
	p.Left = uint64(max(0, c.left.Load()))
	if heard := c.heard.Load(); heard > 0 {
		p.Loss = float64(max(0, c.lost.Load())) / float64(heard)
	}
	p.Elapsed = s.clock()
	if solved := p.Answered + c.given.Load(); solved > 0 && p.Left > 0 {
		p.ETA = time.Duration(float64(p.Elapsed) / float64(solved) * float64(p.Left))
	}
	return p
}
