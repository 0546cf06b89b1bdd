package standalone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
)

// system is everything up runs.
type system struct {
	e       *cli.Env
	plan    plan
	logger  *slog.Logger
	started time.Time
	view    view
	model   *model
	changed chan struct{} // one token: a role changed

	roles []*role // as in plan

	mu    sync.Mutex // guards phase
	phase string
}

// role is one process of up.
type role struct {
	planned

	child  *child.Child
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended for good
	ready  chan struct{} // closed once it worked
}

// newSystem returns what runs p. printed is what people have been told already.
func newSystem(e *cli.Env, p plan, o Options, printed string, logger *slog.Logger) *system {
	s := &system{e: e, plan: p, logger: logger, started: e.Now(), phase: phaseStarting, changed: make(chan struct{}, 1)}
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	for _, r := range p {
		argv := append([]string{cmp.Or(r.Program, self), r.Name}, r.Args...)
		var alive func(context.Context) error
		if r.Alive != nil {
			alive = func(ctx context.Context) error { return r.Alive(ctx, s.model) }
		}
		s.roles = append(s.roles, &role{
			planned: r, done: make(chan struct{}), ready: make(chan struct{}),
			child: child.New(child.Options{
				Answers: alive, HangAfter: r.Hang,
				Name: r.Name, Argv: append(argv, "--home", string(e.Home)),
				Env: child.Environ(e.Home), Logger: logger, StopTimeout: r.Stop + stopMargin, Changed: s.notify,
				Privileges: r.privileges(),
			}),
		})
	}
	s.model = newModel(e, p, s.roles, s.started)
	_, _, terminal := cli.Terminal(e.Stdout)
	if terminal && !o.Plain {
		s.view = newScreen(e, printed)
	} else {
		s.view = newLines(e.Stdout)
	}
	return s
}

func (s *system) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// run starts the roles in order, shows them until ctx ends, and stops them.
func (s *system) run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var watching sync.WaitGroup
	watching.Go(func() { s.model.watch(background, s.notify) })
	watching.Go(func() { s.show(background) })
	watching.Go(func() { s.renew(background) })
	err := s.start(ctx, background)
	if err == nil && ctx.Err() == nil {
		s.setPhase(phaseReady)
		s.model.announceReady(s.e.Now().Sub(s.started))
		s.notify()
		<-ctx.Done()
	}
	s.setPhase(phaseStopping)
	s.notify()
	s.stop()
	stop()
	watching.Wait()
	s.view.close()
	if err != nil {
		return err
	}
	end := s.ends()
	fmt.Fprintln(s.e.Stdout, end.text())
	return end.write(s.e.Home)
}

// start starts each role when those that it comes after are ready, and returns
// when all are.
func (s *system) start(ctx, background context.Context) error {
	limit, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	group, limit := errgroup.WithContext(limit)
	for _, r := range s.roles {
		group.Go(func() error {
			for _, before := range s.roles {
				if !slices.Contains(r.After, before.Name) {
					continue
				}
				select {
				case <-before.ready:
				case <-limit.Done():
					return nil // whoever is not ready says why
				}
			}
			s.launch(background, r)
			if r.Optional {
				s.awaitOptional(limit, r)
				return nil
			}
			return s.awaitReady(limit, r)
		})
	}
	if err := group.Wait(); err != nil && ctx.Err() == nil { // else a person stopped it while it was starting
		return err
	}
	return nil
}

// launch starts a role's process, which is kept running until stop.
func (s *system) launch(background context.Context, r *role) {
	ctx, cancel := context.WithCancel(background)
	r.cancel = cancel
	go func() {
		defer close(r.done)
		r.child.Run(ctx)
	}()
	r.child.Start()
}

// optionalPatience is how long up waits for a role that it can go on without.
const optionalPatience = 2 * time.Second

// awaitOptional is awaitReady for a role that up goes on without: it says so, and the
// role's supervisor tries again.
func (s *system) awaitOptional(ctx context.Context, r *role) {
	soon, cancel := context.WithTimeout(ctx, optionalPatience)
	defer cancel()
	if err := s.awaitReady(soon, r); err != nil && ctx.Err() == nil {
		s.logger.WarnContext(ctx, "started without a role", obs.KeyRole, r.Name, obs.KeyError, err)
		s.model.note(err.Error() + "; everything else goes on, and it is tried again")
	}
}

// awaitReady waits until the role answers, or crashes before it ever did.
func (s *system) awaitReady(ctx context.Context, r *role) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		why := s.model.ready(ctx, r)
		if why == nil {
			close(r.ready)
			return nil
		}
		if st := r.child.Status(); st.State == child.Waiting {
			return fmt.Errorf("%s did not start: %s\nsee %s", r.Name, lastWords(st), s.e.Home.Log(r.Log))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
				return nil // another role failed, or a person stopped it all
			}
			return fmt.Errorf("%s is not ready after %s: %w; see %s", r.Name, s.e.Now().Sub(s.started).Round(100*time.Millisecond), why, s.e.Home.Log(r.Log))
		}
	}
}

// stop ends the roles in reverse order: the node stops its agents, which write
// out their spools while the hub still takes them; the hub is last.
func (s *system) stop() {
	for _, r := range s.roles {
		r.child.Retire()
	}
	for _, r := range slices.Backward(s.roles) {
		if r.cancel == nil {
			continue
		}
		s.model.note("stopping " + r.Name)
		s.notify()
		r.cancel()
		<-r.done
	}
}

func (s *system) setPhase(phase string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = phase
	s.model.setPhase(phase)
}

// show draws what changes, and keeps run/up.json true, until ctx ends.
func (s *system) show(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last runState
	for {
		s.view.draw(s.model.snapshot(s.e.Now()))
		if now := s.state(); !now.equal(last) {
			if err := now.write(s.e.Home); err != nil {
				s.model.note(err.Error())
			}
			last = now
		}
		select {
		case <-ctx.Done():
			s.view.draw(s.model.snapshot(s.e.Now()))
			return
		case <-tick.C:
		case <-s.changed:
		}
	}
}

// state is what run/up.json shall hold now.
func (s *system) state() runState {
	s.mu.Lock()
	out := runState{process: processOf("up", os.Getpid()), Phase: s.phase, URL: s.plan.url(), Started: s.started}
	s.mu.Unlock()
	for _, r := range s.roles {
		if pid := r.child.Status().PID; pid != 0 {
			out.Children = append(out.Children, processOf(r.Name, pid))
		}
		out.Roles = append(out.Roles, r.status(out.Phase))
	}
	out.Children = append(out.Children, s.model.agentPIDs()...)
	return out
}

func lastWords(s child.Status) string {
	if s.Words == "" {
		return s.Reason
	}
	return s.Words
}
