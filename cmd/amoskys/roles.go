package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
)

// newRoleCommands are the commands that run one role each.
func newRoleCommands(e *cli.Env) []*cobra.Command {
	var commands []*cobra.Command
	for _, r := range app.Roles() {
		if r.Run == nil {
			continue
		}
		command := cli.AsRole(&cobra.Command{
			Use: r.Name, Short: r.Summary, Long: r.Help, Example: r.Example, Args: cobra.NoArgs,
			// By RunRole always: systemd waits to be told.
			RunE: func(cmd *cobra.Command, _ []string) error { return app.RunRole(cmd.Context(), e, r) },
		})
		if r.Name == "hub" {
			var o app.HubOptions
			command.Flags().BoolVar(&o.Force, "force", false, "start in a restored home although the hub that it was restored from answers")
			r.Run = func(ctx context.Context, e *cli.Env) error { return app.RunHubWith(ctx, e, o) }
		}
		if r.Name == "store" {
			command.AddCommand(newStoreVerifyCommand(e))
		}
		commands = append(commands, command)
	}
	return append(commands, endpoint.NewNodeCommand(e, "amoskys"), endpoint.NewAgentCommand(e, "amoskys"))
}
