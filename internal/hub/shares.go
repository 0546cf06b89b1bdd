package hub

import (
	"context"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/hub/admit"
)

// shares gives each identity a share of its own of something: a gate, which is made
// when it is first asked for and forgotten when nobody is in it.
type shares struct {
	limit int64 // of each

	mu    sync.Mutex // guards gates and spare
	gates map[string]*share
	spare *share // the last that was forgotten, for whoever comes next: a lone sender is alone in it for each batch
}

type share struct {
	*admit.Gate
	users int // who is in it or waits; guarded by shares.mu
}

func newShares(limit int64) *shares { return &shares{limit: limit, gates: map[string]*share{}} }

// enter takes n of an identity's share and waits for them no longer than patience.
// The errors are those of admit.Gate.
func (s *shares) enter(ctx context.Context, who string, n int64, patience time.Duration) error {
	s.mu.Lock()
	g := s.gates[who]
	if g == nil {
		if g, s.spare = s.spare, nil; g == nil {
			g = &share{Gate: admit.NewGate(s.limit)}
		}
		s.gates[who] = g
	}
	g.users++
	s.mu.Unlock()
	err := g.Enter(ctx, n, patience)
	if err != nil {
		s.done(who, g)
	}
	return err
}

// leave gives n back.
func (s *shares) leave(who string, n int64) {
	s.mu.Lock()
	g := s.gates[who]
	s.mu.Unlock()
	g.Leave(n)
	s.done(who, g)
}

func (s *shares) done(who string, g *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.users--; g.users == 0 {
		delete(s.gates, who)
		s.spare = g // nobody is in it, so it is as good as new
	}
}

// most returns how much is used of the share of which most is used.
func (s *shares) most() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var most int64
	for _, g := range s.gates {
		used, _ := g.Used()
		most = max(most, used)
	}
	return most
}
