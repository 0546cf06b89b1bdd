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
	if err := e.Home.Check(); err != nil { // nothing is made in a folder that is none of ours
		fmt.Fprintf(e.Stdout, "amoskys is not running in %s: %s\n", e.Home, err)
		return nil
	}
	s := readState(e.Home)
	held, err := homeLocked(lockPath(e.Home))
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
		held, err := homeLocked(lockPath(e.Home))
		if err != nil {
			return err
		}
		if !held && len(left) == 0 {
			if end, known := readEnds(e.Home, s.process); known {
				fmt.Fprintln(e.Stdout, end.text())
			} else {
				fmt.Fprintln(e.Stdout, "stopped, and amoskys up did not say how: "+recovered)
			}
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
