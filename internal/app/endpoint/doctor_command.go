package endpoint

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/cli"
)

// NewDoctorCommand is "doctor". program is the name that it is called by; more are
// checks beside those of [Doctor].
func NewDoctorCommand(e *cli.Env, program string, more ...func(context.Context, *cli.Env) []Check) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find what keeps this host's agents from being seen",
		Long: `Looks at the configuration, the certificates, the way to the hub, ports, spools and
the agents of this host, and says of each what is wrong and what to do. It changes
nothing. Exit code 1 when something fails; a warning works today.`,
		Example: "  " + program + " doctor\n  " + program + " doctor --json",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := e.Home.Check(); err != nil {
			return err
		}
		checks := Doctor(cmd.Context(), e, program)
		for _, look := range more {
			checks = append(checks, look(cmd.Context(), e)...)
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
