// Package cli is what the commands of every AMOSKYS binary share: the
// environment they run in, exit codes, tables and JSON for output, and progress
// on a terminal.
package cli

import (
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/obs"
)

// Env is everything a command may touch outside its arguments. Commands receive
// a pointer when they are built and read it when they run: Home is set from
// --home in between.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Home   config.Home      // absolute once a command runs
	Logger *slog.Logger     // for what is not output; writes nothing unless a command sets it
	Now    func() time.Time // the clock
	Lookup func(string) (string, bool)
}

// System is the environment of this process.
func System() *Env {
	return &Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Logger: obs.Discard(), Now: time.Now, Lookup: os.LookupEnv,
	}
}

// BindHome adds --home to root and fills e.Home before any command runs: from
// the flag, else $AMOSKYS_HOME, else that of the package which installed this program,
// else the working folder. A root who acts on the home of a package, or in our image,
// goes on from here as the user whose home it is.
func (e *Env) BindHome(root *cobra.Command) {
	var flag string
	packaged := packagedHome()
	usual := "the working folder"
	if packaged != "" {
		usual = string(packaged)
	}
	root.PersistentFlags().StringVar(&flag, "home", "", "folder of certificates, configuration, data and logs (default $AMOSKYS_HOME or "+usual+")")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		home := flag
		if home == "" {
			home = e.variable(config.HomeVariable)
		}
		if home == "" {
			home = string(packaged)
		}
		abs, err := config.Home(home).Abs()
		if err != nil {
			return err
		}
		e.Home = abs
		return e.leaveRoot(cmd.Context(), packaged, cmd)
	}
}

// packagedHome is the home of the package that installed this program, if one did.
func packagedHome() config.Home {
	program, err := os.Executable()
	if err != nil {
		return ""
	}
	return config.Packaged(program)
}

// variable is the value of an environment variable, empty where there is none.
func (e *Env) variable(name string) string {
	if e.Lookup == nil {
		return ""
	}
	value, ok := e.Lookup(name)
	if !ok {
		return ""
	}
	return value
}

// setupCommand is the command that packages call by themselves.
const setupCommand = "setup"

// servesLong reports whether a command is a role, runs roles, or makes or fills a home for
// them.
func servesLong(cmd *cobra.Command) bool {
	return cmd.Annotations[roleMark] != "" || cmd.HasParent() && !cmd.Parent().HasParent() && slices.Contains([]string{"up", "agent", "enroll", setupCommand}, cmd.Name())
}

// Terminal reports whether w is a terminal, and its size in columns and rows.
func Terminal(w io.Writer) (columns, rows int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, 0, false
	}
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 {
		return 80, 24, true
	}
	return columns, rows, true
}
