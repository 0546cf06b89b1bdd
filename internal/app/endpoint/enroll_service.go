package endpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"github.com/amoskys/amoskys/deploy/systemd"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
)

// service runs the node of a host under systemd.
type service struct {
	dir string // of units that an administrator adds
	// running says that systemd runs this machine.
	running func() bool
	// control runs systemctl.
	control func(ctx context.Context, args ...string) error
}

func systemService() service {
	return service{
		dir: "/etc/systemd/system",
		running: func() bool { // sd_booted(3)
			info, err := os.Lstat("/run/systemd/system")
			return err == nil && info.IsDir()
		},
		control: func(ctx context.Context, args ...string) error {
			cmd := exec.CommandContext(ctx, "systemctl", args...) //nolint:gosec // the arguments are ours
			asRoot(cmd)
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, cli.Clean(strings.TrimSpace(string(out))))
			}
			return nil
		},
	}
}

// install writes the unit for this home, and has systemd run it now and at each start.
func (s service) install(ctx context.Context, e *cli.Env) error {
	if !s.running() {
		return errors.New("systemd does not run this machine")
	}
	program, err := Program()
	if err != nil {
		return err
	}
	if config.Packaged(program) == e.Home { // the package has brought the unit
		return s.begin(ctx, e, [][]string{{"enable", systemd.Agent}, {"restart", systemd.Agent}})
	}
	text, err := systemd.Unit(systemd.Agent, program, string(e.Home))
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, systemd.Agent)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // units are for all to read
		return fmt.Errorf("write the unit: %w", err)
	}
	fmt.Fprintf(e.Stdout, "wrote %s\n", file)
	return s.begin(ctx, e, [][]string{{"daemon-reload"}, {"enable", systemd.Agent}, {"restart", systemd.Agent}})
}

// begin has systemd run the agents by these calls of systemctl, and says so.
func (s service) begin(ctx context.Context, e *cli.Env, calls [][]string) error {
	for _, args := range calls {
		if err := s.control(ctx, args...); err != nil {
			return err
		}
	}
	fmt.Fprintf(e.Stdout, "%s runs, now and at each start of the machine: systemctl status %s\n", systemd.Agent, systemd.Agent)
	return nil
}

// wanted asks on a terminal whether to install it.
func (s service) wanted(e *cli.Env) bool {
	in, isFile := e.Stdin.(*os.File)
	if !s.running() || !mayBeRoot() || !isFile || !term.IsTerminal(int(in.Fd())) {
		return false
	}
	return e.Confirm("Have systemd run its agents, now and at each start?") == nil
}
