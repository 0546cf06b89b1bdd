package main

import (
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
)

func newStatusCommand(e *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the hub and every agent",
		Long: `Asks the hub, over mutual TLS with certs/operator.crt. Exit code 1 when the hub does
not answer. EVENTBUS_HOST and EVENTBUS_PORT name a hub elsewhere.`,
		Example: "  amoskys status\n  amoskys status --json | jq '.agents[] | select(.state != \"running\")'",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return console.Status(cmd.Context(), e, asJSON) }
	return cmd
}

func newAgentsCommand(e *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "agents",
		Short:   "List, start, stop and read agents, on every host",
		Example: "  amoskys agents list\n  amoskys agents restart proc_agent\n  amoskys agents logs proc_agent --lines 50",
	}
	var asJSON bool
	list := &cobra.Command{
		Use: "list", Short: "List agents", Args: cobra.NoArgs,
		Example: "  amoskys agents list\n  amoskys agents list --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return console.ListAgents(cmd.Context(), e, asJSON) },
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per line")
	cmd.AddCommand(list)
	for _, c := range []struct{ name, short string }{
		{"start", "Start an agent that was stopped or has crashed"},
		{"stop", "Stop an agent; it stays stopped until it is started again"},
		{"restart", "Stop an agent and start it again"},
	} {
		cmd.AddCommand(newAgentCommand(e, c.name, c.short))
	}
	cmd.AddCommand(newAgentLogsCommand(e))
	return cmd
}

func newAgentCommand(e *cli.Env, name, short string) *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use: name + " AGENT", Short: short, Args: cobra.ExactArgs(1),
		Example: "  amoskys agents " + name + " proc_agent\n  amoskys agents " + name + " proc_agent --host web-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			return console.CommandAgent(cmd.Context(), e, name, args[0], host)
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "host of the agent, when several have one of this name")
	return cmd
}

func newAgentLogsCommand(e *cli.Env) *cobra.Command {
	var host string
	var lines int
	cmd := &cobra.Command{
		Use: "logs AGENT", Short: "Show the last lines of an agent's log", Args: cobra.ExactArgs(1),
		Example: "  amoskys agents logs proc_agent\n  amoskys agents logs proc_agent --lines 500 --host web-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			if lines < 1 || lines > 2000 {
				return cli.Usagef("--lines must be from 1 to 2000")
			}
			return console.AgentLogs(cmd.Context(), e, args[0], host, lines)
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "host of the agent, when several have one of this name")
	cmd.Flags().IntVar(&lines, "lines", 100, "how many lines")
	return cmd
}
