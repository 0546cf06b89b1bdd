package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/state"
)

func newStateCommand(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "state",
		Short: "Move accounts, agents and the audit trail between their file and PostgreSQL",
		Example: "  amoskys state import\n" +
			"  amoskys state export state-copy.db",
	}
	cmd.AddCommand(
		newStateCopyCommand(env, &cobra.Command{
			Use: "import [FILE]", Args: cobra.MaximumNArgs(1), Short: "Copy data/state.db, or FILE, into the database that state.url names",
			Long: "Copies everything in data/state.db, or FILE, into the PostgreSQL database that state.url of the hub's\n" +
				"configuration names. Stop the hub, set state.url, import, and start it again; the file stays as it was.\n" +
				"A database that a hub has used already is refused.",
			Example: "  amoskys state import\n  AMOSKYS_STATE_URL=env:DATABASE_URL amoskys state import old/state.db --json",
		}, app.ImportState),
		newStateCopyCommand(env, &cobra.Command{
			Use: "export FILE", Args: cobra.ExactArgs(1), Short: "Copy the database that state.url names into a new file",
			Long: "Copies everything in the PostgreSQL database that state.url of the hub's configuration names into a new\n" +
				"file, which can take the place of data/state.db where state.url is empty. The hub may be running.",
			Example: "  amoskys state export state-copy.db\n  amoskys state export state-copy.db --json",
		}, app.ExportState),
	)
	return cmd
}

func newStateCopyCommand(env *cli.Env, cmd *cobra.Command, run func(context.Context, *cli.Env, string) ([]state.Copied, error)) *cobra.Command {
	var asJSON bool
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file := ""
		if len(args) > 0 {
			file = args[0]
		}
		done, err := run(cmd.Context(), env, file)
		if err != nil {
			return err
		}
		if asJSON {
			return cli.WriteJSON(env.Stdout, struct {
				Tables []state.Copied `json:"tables"`
			}{done})
		}
		for _, c := range done {
			if _, err := fmt.Fprintf(env.Stdout, "%-14s %7d\n", c.Table, c.Rows); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}
