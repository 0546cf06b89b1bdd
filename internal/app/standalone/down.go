package standalone

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
)

// Down stops what up runs under e.Home and waits until it is gone. Nothing
// running is no error.
func Down(ctx context.Context, e *cli.Env, timeout time.Duration) error {
	s := readState(e.Home)
	held, err := locked(e)
	if err != nil {
		return err
	}
	if !held {
		fmt.Fprintf(e.Stdout, "amoskys is not running in %s\n", e.Home)
		return nil
	}
	if !s.running() {
		return fmt.Errorf("amoskys is being started in %s and cannot be stopped yet: try again in a moment", e.Home)
	}
	fmt.Fprintf(e.Stdout, "stopping amoskys (pid %d) in %s\n", s.PID, e.Home)
	if err := signalStop(s.PID); err != nil {
		return fmt.Errorf("stop amoskys (pid %d): %w", s.PID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return follow(ctx, e, s)
}

// follow says what ends, in the order it does, until all is gone.
func follow(ctx context.Context, e *cli.Env, s runState) error {
	left := slices.Clone(s.Children)
	slices.Reverse(left) // the order in which they stop
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var still []process
		for _, p := range left {
			if p.running() {
				still = append(still, p)
				continue
			}
			fmt.Fprintf(e.Stdout, "  %s stopped\n", p.Name)
		}
		left = still
		held, err := locked(e)
		if err != nil {
			return err
		}
		if !held && len(left) == 0 {
			fmt.Fprintln(e.Stdout, "stopped; every accepted event is on disk")
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fmt.Errorf("amoskys (pid %d) has not stopped in time: look at %s, or end it with kill -9 %d", s.PID, e.Home.Log("up"), s.PID)
		}
	}
}

// locked reports whether an up holds the home.
func locked(e *cli.Env) (bool, error) {
	if err := e.Home.Ensure(); err != nil {
		return false, err
	}
	unlock, err := lockHome(lockPath(e.Home))
	if errors.Is(err, errLocked) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	unlock()
	return false, nil
}
