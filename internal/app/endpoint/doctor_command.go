package endpoint

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/cli"
)

// More is what a program that has more than agents adds to the doctor. Each may be nil.
type More struct {
	// Checks are beside those of [Doctor].
	Checks func(context.Context, *cli.Env) []Check
	// Settings are those of its other processes, for a bundle.
	Settings func(*cli.Env) []Settings
}

// NewDoctorCommand is "doctor". program is the name that it is called by.
func NewDoctorCommand(e *cli.Env, program string, more More) *cobra.Command {
	var asJSON bool
	var to string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find what keeps this host's agents from being seen",
		Long: `Looks at the configuration, the certificates, the way to the hub, ports, spools and
the agents of this host, at its kernel, clock and disk, at versions, and at agents that
run with other settings than their files have; and says of each what is wrong and what
to do. It changes nothing. Exit code 1 when something fails; a warning works today.

With --bundle it also writes an archive for whoever is to help: findings, versions,
settings, metrics, certificates without keys, and the end of each log, with secrets
taken out. Nothing is sent anywhere.`,
		Example: "  " + program + " doctor\n  " + program + " doctor --json\n  " + program + " doctor --bundle amoskys-bundle.tar.gz",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&to, "bundle", "", "write an archive for support to this file (tar.gz), without secrets")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := e.Home.Check(); err != nil {
			return err
		}
		d := newDoctor(e, program)
		checks := d.examine(cmd.Context())
		if more.Checks != nil {
			checks = append(checks, more.Checks(cmd.Context(), e)...)
		}
		if to != "" {
			var others []Settings
			if more.Settings != nil {
				others = more.Settings(e)
			}
			left, size, err := d.writeBundle(cmd.Context(), to, checks, others)
			if err != nil {
				return err
			}
			tellBundle(e, to, left, size)
		}
		ok := true
		for _, c := range checks {
			ok = ok && c.Verdict != VerdictFail
		}
		var err error
		if asJSON {
			err = cli.WriteJSON(e.Stdout, map[string]any{"ok": ok, "checks": checks})
		} else {
			err = doctorTable(checks).Write(e.Stdout)
		}
		if err == nil && !ok {
			return cli.ErrSilent
		}
		return err
	}
	return cmd
}

func doctorTable(checks []Check) *cli.Table {
	t := cli.NewTable("", "CHECK", "WHAT")
	for _, c := range checks {
		what := c.Detail
		if c.Fix != "" {
			what += " → " + c.Fix
		}
		t.Row(strings.ToUpper(string(c.Verdict)), c.Name, what)
	}
	return t
}
