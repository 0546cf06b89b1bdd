package admit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrGateTimeout is returned when no room came free in time: the log is slower
// than what is sent to it.
var ErrGateTimeout = errors.New("no room in the log's queue")

// Gate bounds the bytes that are on their way into the log, so that the queue
// in front of the disk stays short and what enters it is chosen fairly. Room is
// handed out in the order of asking; as each sender asks for one batch at a
// time, the senders take turns. A second, smaller gate for each sender keeps one
// from holding all of the room while others have little to send.
type Gate struct {
	limit int64

	mu      sync.Mutex // guards all below
	used    int64
	waiting []*ticket // those who wait for room, first come first
}

type ticket struct {
	n       int64
	granted chan struct{} // closed, with mu held, when the room is theirs
}

// NewGate returns a gate for limit bytes. A batch larger than that passes alone.
func NewGate(limit int64) *Gate { return &Gate{limit: limit} }

// Limit returns how many bytes there is room for.
func (g *Gate) Limit() int64 { return g.limit }

// Used returns the bytes inside and how many senders wait.
func (g *Gate) Used() (bytes int64, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used, len(g.waiting)
}

// Enter waits until there is room for n bytes, at most for patience. The error
// is ctx's or ErrGateTimeout.
func (g *Gate) Enter(ctx context.Context, n int64, patience time.Duration) error {
	g.mu.Lock()
	if len(g.waiting) == 0 && g.fits(n) {
		g.used += n
		g.mu.Unlock()
		return nil
	}
	t := &ticket{n: n, granted: make(chan struct{})}
	g.waiting = append(g.waiting, t)
	g.mu.Unlock()

	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-t.granted:
		return nil
	case <-ctx.Done():
		return g.giveUp(t, context.Cause(ctx))
	case <-timer.C:
		return g.giveUp(t, ErrGateTimeout)
	}
}

// giveUp leaves the queue, unless the room was granted at the last moment.
func (g *Gate) giveUp(t *ticket, why error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range g.waiting {
		if w == t {
			g.waiting = slices.Delete(g.waiting, i, i+1)
			g.admit() // those behind may be smaller
			return why
		}
	}
	return nil
}

// Leave gives the room of n bytes back. It does not block.
func (g *Gate) Leave(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used -= n
	g.admit()
}

// admit lets those in who fit now, in order. The caller holds mu.
func (g *Gate) admit() {
	n := 0
	for ; n < len(g.waiting) && g.fits(g.waiting[n].n); n++ {
		t := g.waiting[n]
		g.used += t.n
		close(t.granted)
	}
	g.waiting = slices.Delete(g.waiting, 0, n)
}

func (g *Gate) fits(n int64) bool { return g.used == 0 || g.used+n <= g.limit }
