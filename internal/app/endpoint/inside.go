package endpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/obs/inside"
)

// hubLog is what the hub is called by its log and its socket.
const hubLog = "eventbus"

// socketName is what a process is called by its socket: the hub by its log's name.
func socketName(process string) string {
	if process == "hub" {
		return hubLog
	}
	return process
}

// running are the processes of a home that an operator may look into. One that was killed
// has left its socket behind, at which nobody answers.
func running(ctx context.Context, home config.Home) []string {
	files, err := filepath.Glob(inside.Socket(home.Run(), "*"))
	if err != nil {
		return nil
	}
	var names []string
	for _, f := range files {
		if _, err := inside.NewClient(f).Level(ctx); errors.Is(err, inside.ErrNotRunning) {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(f), filepath.Base(inside.Socket("", "")))
		if name == hubLog {
			name = "hub"
		}
		names = append(names, name)
	}
	return names
}

// explainInside says which processes there are where one does not run.
func explainInside(ctx context.Context, home config.Home, process string, err error) error {
	if !errors.Is(err, inside.ErrNotRunning) {
		return fmt.Errorf("%s: %w", process, err)
	}
	names := running(ctx, home)
	if len(names) == 0 {
		return fmt.Errorf("nothing of %s runs here: name another folder with --home", home)
	}
	return fmt.Errorf("no process %q of %s runs here: there are %s", process, home, strings.Join(names, ", "))
}

// noteAct has the hub of this home keep what an operator did. Where none runs here, or it
// does not take it, that is in the process's own log alone, which the warning says.
func noteAct(ctx context.Context, e *cli.Env, a inside.Act) {
	err := inside.NewClient(inside.Socket(e.Home.Run(), hubLog)).Tell(ctx, a)
	if err == nil {
		return
	}
	why := cli.Clean(err.Error())
	if errors.Is(err, inside.ErrNotRunning) {
		why = fmt.Sprintf("no hub runs in %s", e.Home)
	}
	fmt.Fprintf(e.Stderr, "not in the audit trail: %s; the log of %s has it\n", why, a.Target)
}

// NewLogLevelCommand is "log-level" of the program called name.
func NewLogLevelCommand(e *cli.Env, name string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "log-level PROCESS [LEVEL|default]", Short: "Show or change how much a running process logs", Args: cobra.RangeArgs(1, 2),
		Long: "Asks a process of this home, or tells it, from which level on it logs: " + strings.Join(obs.LevelNames(), ", ") + ".\n" +
			"PROCESS is hub, store, dashboard, node or the id of an agent. The level holds until the process ends or is told\n" +
			"default, which is what its configuration says. It goes over a socket in run/ that root and the process's own\n" +
			"user may open; the change is in the process's log and in the audit trail.",
		Example: "  " + name + " log-level node\n  " + name + " log-level proc_agent DEBUG\n  " + name + " log-level proc_agent default",
		RunE: func(cmd *cobra.Command, args []string) error {
			client := inside.NewClient(inside.Socket(e.Home.Run(), socketName(args[0])))
			var l inside.Levels
			var err error
			if len(args) == 1 {
				l, err = client.Level(cmd.Context())
			} else {
				level := args[1]
				if level == "default" {
					level = ""
				} else if _, err := obs.ParseLevel(level); err != nil {
					return cli.Usagef("%v; or default", err)
				}
				if l, err = client.SetLevel(cmd.Context(), level); err == nil {
					noteAct(cmd.Context(), e, inside.Act{Operation: inside.LevelChanged, Target: args[0], Detail: l.Was + " to " + l.Level})
				}
			}
			if err != nil {
				return explainInside(cmd.Context(), e.Home, args[0], err)
			}
			if asJSON {
				return cli.WriteJSON(e.Stdout, l)
			}
			_, err = fmt.Fprintf(e.Stdout, "%s logs from %s on; configured is %s\n", args[0], l.Level, l.Configured)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// NewProfileCommand is "profile" of the program called name.
func NewProfileCommand(e *cli.Env, name string) *cobra.Command {
	var out string
	seconds := 10
	cmd := &cobra.Command{
		Use: "profile PROCESS NAME", Short: "Take a profile of a running process, for go tool pprof", Args: cobra.ExactArgs(2),
		Long: "Writes a profile of a process of this home: " + strings.Join(inside.ProfileNames(), ", ") + ".\n" +
			"PROCESS is hub, store, dashboard, node or the id of an agent. It goes over a socket in run/ that root and the\n" +
			"process's own user may open, never over a port: a heap profile names what is in memory. That one was taken is\n" +
			"in the process's log and in the audit trail.",
		Example: "  " + name + " profile node cpu --seconds 30\n  " + name + " profile node heap --out heap.pprof",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if out == "" {
				out = args[0] + "-" + args[1] + ".pprof"
			}
			file, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return fmt.Errorf("write the profile: %w", err)
			}
			client := inside.NewClient(inside.Socket(e.Home.Run(), socketName(args[0])))
			err = client.Profile(cmd.Context(), args[1], seconds, file)
			if err = errors.Join(err, file.Close()); err != nil {
				return explainInside(cmd.Context(), e.Home, args[0], errors.Join(err, os.Remove(out)))
			}
			noteAct(cmd.Context(), e, inside.Act{Operation: inside.ProfileTaken, Target: args[0], Detail: args[1]})
			_, err = fmt.Fprintf(e.Stdout, "%s: look at it with go tool pprof, or go tool trace\n", out)
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write, which must not be there (default PROCESS-NAME.pprof)")
	cmd.Flags().IntVar(&seconds, "seconds", seconds, "how long cpu and trace take, 1 to 120")
	return cmd
}
