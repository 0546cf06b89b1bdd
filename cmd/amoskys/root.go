package main

import (
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
)

// newRoot is the whole command tree.
func newRoot(e *cli.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "amoskys",
		Short: "Collect what happens on your machines, keep it, and see it live",
		Long: `AMOSKYS collects what happens on your machines, keeps every event in a
tamper-evident log, and shows it live. Start with: amoskys up`,
		Example: `  amoskys up
  amoskys status
  amoskys down`,
	}
	e.BindHome(root)
	groups := []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"run", "Run everything:", []*cobra.Command{newUpCommand(e), newDownCommand(e), newStatusCommand(e), newSetupCommand(e)}},
		{"roles", "Run one role:", newRoleCommands(e)},
		{"join", "Let hosts join:", []*cobra.Command{newTokenCommand(e), endpoint.NewEnrollCommand(e, "amoskys")}},
		{"people", "People:", []*cobra.Command{newUserCommand(e)}},
		{"look", "Look and steer:", []*cobra.Command{newAgentsCommand(e), newDevicesCommand(e), newWhereCommand(e), newQueryCommand(e), newRulesCommand(e), newTailCommand(e), newReplayCommand(e), newPacketsCommand(e), newScanCommand(e), newSNMPCommand(e), newWALCommand(e), newStateCommand(e), newBackupCommand(e), newRestoreCommand(e), newConfigCommand(e), newCertsCommand(e), endpoint.NewDoctorCommand(e, "amoskys", endpoint.More{Checks: console.CheckStore, Settings: app.OtherSettings})}},
		{"more", "More:", []*cobra.Command{newBenchCommand(e), newHealthcheckCommand(e), endpoint.NewLogLevelCommand(e, "amoskys"), endpoint.NewProfileCommand(e, "amoskys"), cli.NewVersionCommand(e, "amoskys")}},
	}
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
		}
		root.AddCommand(g.commands...)
	}
	root.AddCommand(newStoreEngineCommand(), cli.NewManualCommand())
	root.SetHelpCommandGroupID("more")
	root.SetCompletionCommandGroupID("more")
	return root
}
