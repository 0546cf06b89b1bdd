package standalone

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/node/child"
)

// system is everything up runs.
type system struct {
	e       *cli.Env
	plan    *plan
	logger  *slog.Logger
	started time.Time
	view    view
	model   *model
	changed chan struct{} // one token: a role changed

	roles []*role // in the order they are started

	mu    sync.Mutex // guards phase
	phase string
}

// role is one process of up.
type role struct {
	name   string
	child  *child.Child
	cancel context.CancelFunc
	done   chan struct{}
}

func newSystem(e *cli.Env, p *plan, o Options, logger *slog.Logger) *system {
	s := &system{e: e, plan: p, logger: logger, started: e.Now(), phase: phaseStarting, changed: make(chan struct{}, 1)}
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	add := func(name, program string, stop time.Duration, args ...string) {
		s.roles = append(s.roles, &role{name: name, done: make(chan struct{}), child: child.New(child.Options{
			Name: name, Argv: append([]string{program}, append(args, "--home", string(e.Home))...),
			Env: child.Environ(e.Home), Logger: logger, StopTimeout: stop + stopMargin, Changed: s.notify,
		})})
	}
	add("hub", program, time.Duration(p.hub.Server.TimeoutSeconds)*time.Second, "hub")
	if p.withUI {
		add("dashboard", program, dashboardStop, "dashboard")
	}
	nodeArgs := []string{"node"}
	if p.kinds != nil {
		nodeArgs = append(nodeArgs, "--agents", strings.Join(p.kinds, ","))
	}
	small, err := endpoint.Program()
	if err != nil {
		small = program
	}
	add("node", small, p.node.Options("").StopTimeout, nodeArgs...)
	s.model = newModel(e, p, s.roles)
	_, _, terminal := cli.Terminal(e.Stdout)
	if terminal && !o.Plain {
		s.view = newScreen(e)
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
	if err == nil {
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
	fmt.Fprintf(s.e.Stdout, "stopped; every accepted event is on disk in %s\n", s.e.Home.Path(s.plan.hub.WAL.Path))
	return nil
}

// start starts the roles one by one, each when the one before is ready.
func (s *system) start(ctx, background context.Context) error {
	limit, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for _, r := range s.roles {
		roleCtx, cancel := context.WithCancel(background)
		r.cancel = cancel
		go func() {
			defer close(r.done)
			r.child.Run(roleCtx)
		}()
		r.child.Start()
		if err := s.awaitReady(limit, r); err != nil {
			if ctx.Err() != nil {
				return nil // a person stopped it while it was starting
			}
			return err
		}
	}
	return nil
}

// awaitReady waits until the role answers, or crashes before it ever did.
func (s *system) awaitReady(ctx context.Context, r *role) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		ready, why := s.model.ready(ctx, r.name)
		if ready {
			return nil
		}
		if st := r.child.Status(); st.State == child.Waiting {
			return fmt.Errorf("%s did not start: %s\nsee %s", r.name, lastWords(st), s.e.Home.Log(logName(r.name)))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %s; see %s", r.name, readyTimeout, why, s.e.Home.Log(logName(r.name)))
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
		s.model.note("stopping " + r.name)
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
			out.Children = append(out.Children, processOf(r.name, pid))
		}
	}
	out.Children = append(out.Children, s.model.agentPIDs()...)
	return out
}

// logName is the log file of a role: the hub's keeps the name that people know.
func logName(role string) string {
	if role == "hub" {
		return "eventbus"
	}
	return role
}

func lastWords(s child.Status) string {
	if s.Words == "" {
		return s.Reason
	}
	return s.Words
}
