package standalone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
)

// Detach starts up in the background, in a session of its own, and returns when
// it is ready. What it prints goes to logs/up.out. The password of a first start
// is printed here and never written to a file, because this process prepares.
func Detach(ctx context.Context, e *cli.Env, o Options) error {
	if err := e.Home.Ensure(); err != nil {
		return err
	}
	unlock, err := acquire(ctx, e.Home)
	if err != nil {
		return err
	}
	p, err := prepareLocked(ctx, e, o, unlock)
	if err != nil {
		return err
	}
	begun := time.Now()
	cmd, out, err := background(e, o)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }() // only the child writes to it
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		if s := readState(e.Home); s.PID == cmd.Process.Pid && s.Phase == phaseReady {
			fmt.Fprintf(e.Stdout, "amoskys runs in the background (pid %d), ready in %s\n", s.PID, cli.Duration(time.Since(begun)))
			if url := p.url(); url != "" {
				fmt.Fprintf(e.Stdout, "open %s\n", url)
			}
			return nil
		}
		select {
		case <-tick.C:
		case err := <-ended:
			return fmt.Errorf("amoskys ended while it was starting (%w): %s", err, lastLine(out.Name()))
		case <-ctx.Done():
			return errors.Join(ctx.Err(), signalStop(cmd.Process.Pid))
		}
	}
}

// prepareLocked prepares and checks ports while no other up can, then lets go.
func prepareLocked(ctx context.Context, e *cli.Env, o Options, unlock func()) (plan, error) {
	defer unlock()
	if err := awaitLeftovers(ctx, e); err != nil {
		return nil, err
	}
	p, err := prepare(ctx, e, o, e.Stdout)
	if err != nil {
		return nil, err
	}
	return p, p.checkPorts(ctx, func(err error) { fmt.Fprintln(e.Stdout, err) })
}

// background is the command that runs up detached.
func background(e *cli.Env, o Options) (*exec.Cmd, *os.File, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("find the running program: %w", err)
	}
	args := []string{"up", "--plain", "--home", string(e.Home)}
	if o.NoDashboard {
		args = append(args, "--no-dashboard")
	}
	if o.Agents != nil {
		args = append(args, "--agents", strings.Join(o.Agents, ","))
	}
	if o.Force {
		args = append(args, "--force")
	}
	out, err := os.OpenFile(e.Home.Path("logs/up.out"), os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("start in the background: %w", err)
	}
	cmd := exec.Command(program, args...) //nolint:gosec,noctx // ourselves, to outlive us
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, detached()
	return cmd, out, nil
}

// lastLine is the last line of a file, for the end of an error.
func lastLine(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return all[len(all)-1]
}
