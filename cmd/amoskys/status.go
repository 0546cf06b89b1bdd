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
		Short: "Show hub, store and every agent",
		Long: `Asks hub and store, over mutual TLS with certs/operator.crt. Exit code 1 when the hub
does not answer. EVENTBUS_HOST and EVENTBUS_PORT name a hub elsewhere, STORE_HOST and
STORE_PORT a store.`,
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
		Short:   "List, start, stop, read and revoke agents, on every host",
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
	cmd.AddCommand(newHostsCommand(e), newForgetCommand(e))
	for _, c := range []struct{ name, short string }{
		{"start", "Start an agent that was stopped or has crashed"},
		{"stop", "Stop an agent; it stays stopped until it is started again"},
		{"restart", "Stop an agent and start it again"},
	} {
		cmd.AddCommand(newAgentCommand(e, c.name, c.short))
	}
	cmd.AddCommand(newAgentLogsCommand(e), newAgentsRevoke(e))
	cmd.AddCommand(newAgentTasksCommand(e), newAgentTaskCommand(e), newAgentResultCommand(e))
	return cmd
}

func newHostsCommand(e *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "hosts", Short: "List hosts, also those that are gone", Args: cobra.NoArgs,
		Long: `Lists every host that has or had a node: connected, reconnecting (gone for some
seconds), away, or silent (gone for fleet.silent_host_minutes of the hub).`,
		Example: "  amoskys agents hosts\n  amoskys agents hosts --json | jq 'select(.state == \"silent\")'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return console.ListHosts(cmd.Context(), e, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per line")
	return cmd
}

func newForgetCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use: "forget HOST...", Short: "Take hosts that are gone for good off the lists", Args: cobra.MinimumNArgs(1),
		Long: `Takes hosts and their agents off what is shown and watched. Events and certificates
stay, and a host that comes back is shown again: amoskys agents revoke keeps it out.
A host whose node is connected is not forgotten.`,
		Example: "  amoskys agents forget web-1\n  amoskys agents forget web-1 web-2",
		RunE:    func(cmd *cobra.Command, args []string) error { return console.ForgetHosts(cmd.Context(), e, args) },
	}
}

func newAgentCommand(e *cli.Env, name, short string) *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use: name + " [HOST/]AGENT", Short: short, Args: cobra.ExactArgs(1),
		Example: "  amoskys agents " + name + " proc_agent\n  amoskys agents " + name + " web-1/proc_agent",
		RunE: func(cmd *cobra.Command, args []string) error {
			agent, host := console.SplitAgent(args[0], host)
			return console.CommandAgent(cmd.Context(), e, name, agent, host)
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "host of the agent, when several have one of this name")
	return cmd
}

func newAgentLogsCommand(e *cli.Env) *cobra.Command {
	var host string
	var lines int
	cmd := &cobra.Command{
		Use: "logs [HOST/]AGENT", Short: "Show the last lines of an agent's log", Args: cobra.ExactArgs(1),
		Example: "  amoskys agents logs proc_agent\n  amoskys agents logs web-1/proc_agent --lines 500",
		RunE: func(cmd *cobra.Command, args []string) error {
			if lines < 1 || lines > 2000 {
				return cli.Usagef("--lines must be from 1 to 2000")
			}
			agent, host := console.SplitAgent(args[0], host)
			return console.AgentLogs(cmd.Context(), e, agent, host, lines)
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "host of the agent, when several have one of this name")
	cmd.Flags().IntVar(&lines, "lines", 100, "how many lines")
	return cmd
}
