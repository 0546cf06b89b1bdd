package promapi

import (
	"context"
	"sync"
)

// turns lets a bounded number of questions run at once, of all callers and of one, and
// others wait in the order in which they came. Who has as many running as one may gives
// way to others, so that a dashboard with forty panels delays its own alone.
type turns struct {
	limits Limits

	mu      sync.Mutex // guards what follows
	running int
	of      map[string]*callerTurns
	queue   []*waiter
}

// callerTurns is what one caller has running and waiting.
type callerTurns struct{ running, waiting int }

// waiter is a question that waits; ready is closed when it may run.
type waiter struct {
	caller string
	ready  chan struct{}
}

func newTurns(l Limits) *turns { return &turns{limits: l, of: map[string]*callerTurns{}} }

// wait returns when a question may run, until end is called. It refuses at once when too
// many wait already.
func (t *turns) wait(ctx context.Context, caller string) (end func(), err error) {
	t.mu.Lock()
	own := t.of[caller]
	if own == nil {
		own = &callerTurns{}
	}
	if t.running < t.limits.Running && own.running < t.limits.RunningOfOne {
		t.of[caller] = own
		own.running++
		t.running++
		t.mu.Unlock()
		return func() { t.end(caller) }, nil
	}
	if own.waiting >= t.limits.WaitingOfOne || len(t.queue) >= t.limits.Waiting {
		t.mu.Unlock()
		return nil, faultf(kindTooMany, "too many questions are waiting to be answered: wait for them, and ask again")
	}
	t.of[caller] = own
	own.waiting++
	w := &waiter{caller: caller, ready: make(chan struct{})}
	t.queue = append(t.queue, w)
	t.mu.Unlock()
	select {
	case <-w.ready:
		return func() { t.end(caller) }, nil
	case <-ctx.Done():
	}
	if !t.leave(w) { // its turn came meanwhile
		t.end(caller)
	}
	return nil, faultOf(ctx.Err(), "waiting for other questions to be answered")
}

// leave takes a waiter out of the queue; false: its turn has come.
func (t *turns) leave(w *waiter) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, other := range t.queue {
		if other == w {
			t.queue = append(t.queue[:i], t.queue[i+1:]...)
			t.of[w.caller].waiting--
			t.drop(w.caller)
			return true
		}
	}
	return false
}

// end gives a turn back, and on to the first who may have it.
func (t *turns) end(caller string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	t.of[caller].running--
	t.drop(caller)
	for i := 0; i < len(t.queue) && t.running < t.limits.Running; {
		w := t.queue[i]
		own := t.of[w.caller]
		if own.running >= t.limits.RunningOfOne {
			i++
			continue
		}
		t.queue = append(t.queue[:i], t.queue[i+1:]...)
		own.waiting--
		own.running++
		t.running++
		close(w.ready)
	}
}

// count is how many questions run or wait.
func (t *turns) count() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return float64(t.running + len(t.queue))
}

// drop forgets a caller who has nothing. The caller of drop holds mu.
func (t *turns) drop(caller string) {
	if *t.of[caller] == (callerTurns{}) {
		delete(t.of, caller)
	}
}
