package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/hub"
)

// A hub that is told to end has server.timeout_seconds, of which what it consists of
// gets parts in turn:
//
//	what ends                                      of the time
//	the server: publishers get their answers       2/5
//	readers of the log, fleet, certificates        1/5
//	the database                                   1/5
//	the log: what was accepted is made durable     1/5
//
// What is late is left behind: nothing of it is needed to keep what was acknowledged,
// and the process ends anyway.
type grace time.Duration

const graceParts = 5

func graceOf(c *hub.Config) grace { return grace(time.Duration(c.Server.TimeoutSeconds) * time.Second) }

// part is n fifths.
func (g grace) part(n int) time.Duration { return time.Duration(g) * time.Duration(n) / graceParts }

// within runs f, which may take limit from the end of ctx on. What takes longer is
// left to itself; who says what.
func within(ctx context.Context, limit time.Duration, who func() string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("%s did not end within %s and was left behind; what was acknowledged is on disk", who(), limit.Round(time.Millisecond))
	}
}

// atOnce is a context that has ended, for what is to end now.
func atOnce() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// running are the names of what has not ended.
type running struct {
	mu    sync.Mutex // guards names
	names map[string]bool
}

func (r *running) begin(name string) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names == nil {
		r.names = map[string]bool{}
	}
	r.names[name] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.names, name)
	}
}

func (r *running) list() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(r.names)), ", ")
}
