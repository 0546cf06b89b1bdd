package app

import (
	"context"
	"fmt"
	"sync"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/obs/notify"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// RunRole runs a role until ctx ends, and tells systemd, where that started it, when
// it can be used, that it is alive, and that it stops.
func RunRole(ctx context.Context, e *cli.Env, r Role) error {
	service := notify.FromEnvironment(e.Lookup)
	if !service.Wanted() {
		return r.Run(ctx, e)
	}
	around := &alone{e: e}
	defer around.close()
	telling, stop := context.WithCancel(ctx)
	var told sync.WaitGroup
	told.Go(func() { service.Run(telling, roleChecks(e, r, around), e.Logger) })
	defer told.Wait()
	defer stop()
	return r.Run(ctx, e)
}

// roleChecks are how a role is asked from within its own process: ready once its first
// port answers, alive as up would ask it. The log of a hub may take minutes to open
// after a power cut, and its port opens then.
func roleChecks(e *cli.Env, r Role, around Surroundings) notify.Checks {
	load := func() (Settings, error) { return r.Load(e, RoleOptions{}, config.DecodeOptions{Env: e.Lookup}) }
	return notify.Checks{
		Ready: func(ctx context.Context) error {
			s, err := load()
			if err != nil || len(s.Ports) == 0 {
				return err
			}
			c, err := dial.Direct(ctx, "tcp", here(s.Ports[0].Addr)) // localhost without a resolver
			if err != nil {
				return fmt.Errorf("ask %s: %w", r.Name, err)
			}
			return c.Close()
		},
		Alive: func(ctx context.Context) error {
			s, err := load()
			if err != nil || s.Alive == nil || s.Hang < 0 {
				return nil //nolint:nilerr // a file with a fault is a matter of the next start
			}
			return s.Alive(ctx, around)
		},
	}
}

// alone is what a role may look at that runs by itself: connections to hub and store
// with the operator's certificate, where the home has one.
type alone struct {
	e *cli.Env

	mu    sync.Mutex // guards what follows
	hub   *remote.Client
	store *remote.Store
}

// Hub is a connection to the hub, made when it is asked for first.
func (a *alone) Hub() (*remote.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hub == nil {
		c, err := remote.Dial(a.e, "")
		if err != nil {
			return nil, err
		}
		a.hub = c
	}
	return a.hub, nil
}

// Store is the same to the store.
func (a *alone) Store() (*remote.Store, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.store == nil {
		s, err := remote.DialStore(a.e, "")
		if err != nil {
			return nil, err
		}
		a.store = s
	}
	return a.store, nil
}

// Agents are none: nobody asks for them.
func (a *alone) Agents() []*pb.AgentStatus { return nil }

func (a *alone) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hub != nil {
		_ = a.hub.Close() // nothing more is asked
	}
	if a.store != nil {
		_ = a.store.Close() // as above
	}
}
