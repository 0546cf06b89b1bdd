package main

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/bench"
	"github.com/amoskys/amoskys/internal/cli"
)

func newBenchSNMP(env *cli.Env) *cobra.Command {
	var o bench.SNMPOptions
	var asJSON bool
	var serve string
	cmd := &cobra.Command{
		Use: "snmp", Short: "Measure how fast network devices are polled by SNMP", Args: cobra.NoArgs,
		Long: "Polls simulated switches as the SNMP agent does. Without --target they are played by this process, within what is\n" +
			"measured; with --serve another process plays them, for this and for other programs: device n has the community\n" +
			"device-n, counted from 0. At --serve 0.0.0.0:PORT device n answers at 127.1.0.0 and on instead, all with the community\n" +
			"device, as an agent wants them.",
		Example: "  GOMAXPROCS=1 amoskys bench snmp --devices 1000 --ports 48\n" +
			"  amoskys bench snmp --serve 127.0.0.1:11161 --devices 1000\n" +
			"  amoskys bench snmp --target 127.0.0.1:11161 --devices 1000 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return &cli.UsageError{Err: err}
			}
			if serve != "" {
				return bench.ServeSNMP(cmd.Context(), o, serve, func(at netip.AddrPort) {
					fmt.Fprintf(env.Stderr, "%s at %s until Ctrl-C\n", cli.Counted(uint64(o.Devices), "device", "devices"), at)
				})
			}
			result, err := bench.RunSNMP(cmd.Context(), o)
			if err != nil {
				return brokenOff(cmd.Context(), err)
			}
			return showBench(env, result, asJSON)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Devices, "devices", 1000, "devices that are polled")
	f.IntVar(&o.Ports, "ports", 48, "interfaces of each")
	f.IntVar(&o.Cycles, "cycles", 3, "how often all are polled")
	f.IntVar(&o.Workers, "workers", 32, "devices that are asked at once")
	f.BoolVar(&o.PortsOnly, "ports-only", false, "read the columns of interfaces alone, without making readings")
	f.StringVar(&o.Target, "target", "", "address of devices that another process plays")
	f.StringVar(&serve, "serve", "", "play the devices at this address, and poll nothing")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("target", "serve")
	return cmd
}
