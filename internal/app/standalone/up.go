// Package standalone runs everything on one machine: up makes what is missing,
// starts the roles of package app as processes, watches them and shows their state;
// down stops them in the opposite order.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/obs"
)

// Options are what up can be told.
type Options struct {
	app.RoleOptions

	Plain bool // lines instead of a screen
}

// Times that up and down wait.
const (
	lockPatience    = 500 * time.Millisecond // a down that looks holds the lock for an instant
	leftoverTimeout = 15 * time.Second       // for processes of a run that was killed
	readyTimeout    = 60 * time.Second
	stopMargin      = 5 * time.Second // beyond the time that a role gives itself
)

// Up runs everything until ctx ends or a person stops it, then stops it in order:
// agents, node, dashboard, store, hub. It returns nil after an orderly end.
func Up(ctx context.Context, e *cli.Env, o Options) (err error) {
	if err := e.Home.Ensure(); err != nil {
		return err
	}
	unlock, err := acquire(ctx, e.Home)
	if err != nil {
		return err
	}
	defer unlock()
	if err := awaitLeftovers(ctx, e); err != nil {
		return err
	}
	var printed strings.Builder
	p, err := prepare(ctx, e, o, io.MultiWriter(e.Stdout, &printed))
	if err != nil {
		return err
	}
	warn := func(err error) { fmt.Fprintf(io.MultiWriter(e.Stdout, &printed), "%v\n", err) }
	if err := p.checkPorts(ctx, warn); err != nil {
		return err
	}
	logger, closer, err := obs.NewLogger(obs.LogOptions{File: e.Home.Log("up"), ErrorsFile: e.Home.Errors(), Component: "up"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	s := newSystem(e, p, o, printed.String(), logger)
	defer func() { err = errors.Join(err, removeState(e.Home)) }()
	return s.run(ctx)
}

// acquire takes the lock, or says who has it.
func acquire(ctx context.Context, home config.Home) (unlock func(), err error) {
	deadline := time.Now().Add(lockPatience)
	for {
		unlock, err := lockHome(lockPath(home))
		if errors.Is(err, syscall.EROFS) {
			return nil, fmt.Errorf("%s is read-only, so that nothing can be started there: make it writable; "+
				"to read what it holds meanwhile, run amoskys hub --home %[1]s and amoskys dashboard --home %[1]s (%w)", home, err)
		}
		if !errors.Is(err, errLocked) {
			return unlock, err
		}
		if time.Now().After(deadline) {
			return nil, runningError(home)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockPatience / 10):
		}
	}
}

// runningError says what is running already.
func runningError(home config.Home) error {
	s := readState(home)
	switch {
	case s.PID == 0:
		return fmt.Errorf("amoskys is already being started in %s", home)
	case s.Phase == phaseStopping:
		return fmt.Errorf("amoskys is being stopped in %s (pid %d): try again in a moment", home, s.PID)
	case s.URL == "":
		return fmt.Errorf("amoskys is already running in %s (pid %d): stop it with %s", home, s.PID, cli.Typed(home, "down"))
	}
	return fmt.Errorf("amoskys is already running in %s (pid %d): open %s, or stop it with %s", home, s.PID, s.URL, cli.Typed(home, "down"))
}

// awaitLeftovers waits for the processes of a run that was killed: they end by
// themselves when up dies, and need a moment for it.
func awaitLeftovers(ctx context.Context, e *cli.Env) error {
	deadline := time.Now().Add(leftoverTimeout)
	said := false
	for {
		var left []process
		for _, p := range readState(e.Home).Children {
			if p.running() {
				left = append(left, p)
			}
		}
		if len(left) == 0 {
			return removeState(e.Home)
		}
		if !said {
			fmt.Fprintf(e.Stdout, "the last run was killed; waiting for its %s (pid %d) to stop\n", left[0].Name, left[0].PID)
			said = true
		}
		if time.Now().After(deadline) {
			for _, p := range left {
				fmt.Fprintf(e.Stdout, "killing %s (pid %d), left over from the last run\n", p.Name, p.PID)
				if err := signalKill(p.PID); err != nil && p.running() {
					return fmt.Errorf("kill %s (pid %d) of the last run: %w", p.Name, p.PID, err)
				}
			}
			return removeState(e.Home)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
