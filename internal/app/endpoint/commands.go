package endpoint

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
)

// NewNodeCommand is "node" of the program called name.
func NewNodeCommand(e *cli.Env, name string) *cobra.Command {
	var agents []string
	cmd := cli.AsRole(&cobra.Command{
		Use:   "node",
		Short: "Run, watch and steer this host's agents",
		Long: `Starts the agents that config/node_config.yaml lists, starts them again when they
crash, reports their state to the hub and carries out its commands. Without a hub
the agents keep running and spool. It ends on SIGTERM or Ctrl-C, agents first.`,
		Example: "  " + name + " node\n  " + name + " node --home /var/lib/amoskys --agents proc,synth",
		Args:    cobra.NoArgs,
	})
	cmd.Flags().StringSliceVar(&agents, "agents", nil, "kinds of agents to run instead of those in the file: "+kinds())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o := NodeOptions{}
		if cmd.Flags().Changed("agents") {
			o.Agents = agents
		}
		for _, kind := range o.Agents {
			if _, err := Find(kind); err != nil {
				return &cli.UsageError{Err: err}
			}
		}
		return RunNode(cmd.Context(), e, o)
	}
	return cmd
}

// NewAgentCommand is "agent KIND" of the program called name.
func NewAgentCommand(e *cli.Env, name string) *cobra.Command {
	var file string
	var synthetic bool
	cmd := &cobra.Command{
		Use:   "agent KIND",
		Short: "Run one agent",
		Long: "Runs one agent until SIGTERM or Ctrl-C. Usually the node does this.\n\nKinds:\n" + kindTable() +
			"\nEach serves /healthz, /metrics and /status on its port.",
		Example: "  " + name + " agent proc\n  " + name + " agent proc --config /etc/amoskys/proc.yaml\n  " +
			name + " agent macos --synthetic",
		Args:      cobra.ExactArgs(1),
		ValidArgs: kindList(),
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file (default config/agents/NAME_config.yaml under the home folder)")
	cmd.Flags().BoolVar(&synthetic, "synthetic", false, "with macos: generated telemetry, on any system")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		kind := args[0]
		if synthetic {
			if kind != "macos" && kind != "synth" {
				return cli.Usagef("--synthetic is for the kind macos")
			}
			e = generating(e)
		}
		return RunAgent(cmd.Context(), e, kind, file)
	}
	return cmd
}

// generating is e with synthetic.enabled set, which beats the file.
func generating(e *cli.Env) *cli.Env {
	with := *e
	with.Lookup = func(name string) (string, bool) {
		if name == config.Variable("synthetic.enabled") {
			return "true", true
		}
		return e.Lookup(name)
	}
	return &with
}

// NewStatusCommand is "status" of amoskys-agent: this host, without the hub.
func NewStatusCommand(e *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show this host's agents",
		Long:    "Asks every agent of this host on its own port. Exit code 1 when one does not answer.",
		Example: "  amoskys-agent status\n  amoskys-agent status --json",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := e.Home.Check(); err != nil {
			return err
		}
		agents, err := LocalStatus(cmd.Context(), e)
		if err != nil {
			return err
		}
		if asJSON {
			err = cli.WriteJSON(e.Stdout, map[string]any{"agents": agents})
		} else {
			err = statusTable(agents).Write(e.Stdout)
		}
		if err != nil {
			return err
		}
		for _, a := range agents {
			if a.Error != "" {
				return cli.ErrSilent
			}
		}
		return nil
	}
	return cmd
}

func statusTable(agents []Local) *cli.Table {
	t := cli.NewTable("AGENT", "STATE", ">PID", ">PORT", ">EV/S", ">SPOOLED", ">RSS", ">CPU", "NOTE")
	for _, a := range agents {
		note := a.Detail
		if a.Error != "" {
			t.Row(a.ID, a.State, "", "", "", "", "", "", a.Error)
			continue
		}
		t.Row(a.ID, a.State, a.PID, a.Port, cli.Rate(a.EventsPerSecond), cli.Count(a.SpoolEvents),
			cli.Bytes(a.RSSBytes), fmt.Sprintf("%.1f%%", a.CPUPercent), note)
	}
	return t
}

func kindList() []string {
	list := make([]string, 0, 8)
	for _, d := range Definitions() {
		list = append(list, d.Kind)
	}
	return list
}

func kinds() string { return strings.Join(kindList(), ", ") }

func kindTable() string {
	var b strings.Builder
	for _, d := range Definitions() {
		fmt.Fprintf(&b, "  %-10s port %d  %s\n", d.Kind, d.Port, d.Summary)
	}
	return b.String()
}
