package main

import (
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
)

func newPacketsCommand(e *cli.Env) *cobra.Command {
	var o console.PacketsOptions
	var agent string
	cmd := &cobra.Command{
		Use: "packets", Short: "Save the packets of a flow as a capture file", Args: cobra.NoArgs,
		Long: "Has the flow agent that saw a flow save the packets that it still has of it, and fetches them as a pcap file.\n" +
			"The agent keeps packets where packets.ring_mb is set in its configuration. What is in the file, and what the\n" +
			"agent no longer has, is said on stderr. Who saved what is in the audit trail.",
		Example: "  amoskys packets --flow 1:wCb3OG7yAFWelaUydu0D+125CLM= --since 15m -o flow.pcap\n" +
			"  amoskys packets --agent web-1/flow_agent --address 192.0.2.7 --peer 198.51.100.9\n" +
			"  amoskys packets --flow 1:wCb3OG7yAFWelaUydu0D+125CLM= -o - | tcpdump -n -r -",
	}
	f := cmd.Flags()
	f.StringVar(&o.Flow, "flow", "", "Community ID of the flow")
	f.StringVar(&o.Address, "address", "", "IP address of one end, instead of a flow")
	f.StringVar(&o.Peer, "peer", "", "IP address of the other end")
	f.StringVar(&o.Since, "since", "", "from this long ago (15m, 24h, 7d) or this time on; all that there is without")
	f.StringVar(&o.Until, "until", "", "up to this long ago or this time")
	f.StringVarP(&o.Output, "output", "o", "", "file to write, - for stdout; without, one named after the time")
	f.StringVar(&agent, "agent", "flow", "the agent, as [HOST/]AGENT, where there are several")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Agent, o.Host = console.SplitAgent(agent, "")
		return console.Packets(cmd.Context(), e, o)
	}
	return cmd
}
