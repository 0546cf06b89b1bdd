package main

import (
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
)

func newConfigCommand(e *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Check and show the configuration",
		Example: "  amoskys config validate\n  amoskys config show hub",
	}
	var asJSON bool
	validate := &cobra.Command{
		Use: "validate", Short: "List every fault in every file, at once", Args: cobra.NoArgs,
		Long: `Reads every file in config/ and every AMOSKYS_ variable, and lists all faults with
file, line, key, what is wrong and what would be right. Exit code 1 when there are any.`,
		Example: "  amoskys config validate\n  amoskys config validate --json",
		RunE:    func(*cobra.Command, []string) error { return console.ValidateConfig(e, asJSON) },
	}
	validate.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	var showJSON bool
	show := &cobra.Command{
		Use: "show [ROLE]", Short: "Show the settings in force and where each comes from", Args: cobra.MaximumNArgs(1),
		Long:    "Shows the settings in force: from the files, the environment and the defaults. Secrets are redacted.",
		Example: "  amoskys config show\n  amoskys config show hub\n  amoskys config show proc --json",
		RunE: func(_ *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			return console.ShowConfig(e, name, showJSON)
		},
	}
	show.Flags().BoolVar(&showJSON, "json", false, "print JSON")
	cmd.AddCommand(validate, show)
	return cmd
}
