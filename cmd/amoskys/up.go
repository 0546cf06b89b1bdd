package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/app/standalone"
	"github.com/amoskys/amoskys/internal/cli"
)

func newUpCommand(e *cli.Env) *cobra.Command {
	var o standalone.Options
	var agents []string
	var detach bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start hub, dashboard and this host's agents, and show their state",
		Long: `Makes what is missing (certificates, configuration with comments, folders, the
first account, whose password is printed once), then runs hub, dashboard and a
node with this host's agents, and shows their state. Ctrl-C stops all in order:
agents, which write out their spools, node, dashboard, hub.`,
		Example: `  amoskys up
  amoskys up --home /var/lib/amoskys --agents proc,synth
  amoskys up --detach`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringSliceVar(&agents, "agents", nil, "kinds of agents to run (default those in config/node_config.yaml: proc,eventbus,flow,scanner,snmp)")
	cmd.Flags().BoolVar(&o.NoDashboard, "no-dashboard", false, "leave the dashboard out")
	cmd.Flags().BoolVar(&o.Force, "force", false, "start in a restored home although the hub that it was restored from answers")
	cmd.Flags().BoolVar(&o.Plain, "plain", false, "print lines as things change, instead of a screen")
	cmd.Flags().BoolVar(&detach, "detach", false, "return when all is ready, and leave it running in the background")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, kind := range agents {
			if _, err := endpoint.Find(kind); err != nil {
				return &cli.UsageError{Err: err}
			}
		}
		if cmd.Flags().Changed("agents") {
			o.Agents = agents
		}
		if detach {
			return standalone.Detach(cmd.Context(), e, o)
		}
		return standalone.Up(cmd.Context(), e, o)
	}
	return cmd
}

func newDownCommand(e *cli.Env) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop what up runs, in order, with every accepted event on disk",
		Long: `Stops what up runs under the home folder, says what ends, and returns when all
has. Nothing running is no error.`,
		Example: "  amoskys down\n  amoskys down --home /var/lib/amoskys",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long to wait")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return standalone.Down(cmd.Context(), e, timeout)
	}
	return cmd
}
