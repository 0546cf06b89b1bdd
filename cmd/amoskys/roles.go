package main

import (
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/cli"
)

func newHubCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "hub",
		Short: "Run the hub: the bus, its log, and queries",
		Long: `Runs the hub until SIGTERM or Ctrl-C. It takes events over mutual TLS, makes them
durable before it acknowledges them, and answers the dashboard and these tools.
Configuration: config/eventbus_config.yaml. Log: logs/eventbus.log.`,
		Example: "  amoskys hub\n  AMOSKYS_SERVER_PORT=6000 amoskys hub --home /var/lib/amoskys",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return app.RunHub(cmd.Context(), e) },
	}
}

func newDashboardCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "dashboard",
		Short: "Run the dashboard: web page, REST API, live stream",
		Long: `Runs the dashboard until SIGTERM or Ctrl-C. It reads from the hub alone, so any
number of them can run anywhere. Configuration: config/dashboard_config.yaml.
Log: logs/dashboard.log.`,
		Example: "  amoskys dashboard\n  EVENTBUS_HOST=hub.example.org amoskys dashboard",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return app.RunDashboard(cmd.Context(), e) },
	}
}
