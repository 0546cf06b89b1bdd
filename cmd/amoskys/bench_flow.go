package main

import (
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/bench"
	"github.com/amoskys/amoskys/internal/cli"
)

func newBenchFlow(env *cli.Env) *cobra.Command {
	var o bench.FlowOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "flow [FILE...]",
		Short: "Measure how fast packets become flows and events",
		Long: "Reads captures as the flow agent does, in one goroutine: packets are decoded, counted in flows, identified, and each\n" +
			"flow is encoded as an event when it ends, which goes nowhere. With --generate the capture is made first, which does\n" +
			"not count: it is the same for the same --seed. --write keeps it, so that other programs can read the same.",
		Example: "  amoskys bench flow capture.pcap --json\n" +
			"  amoskys bench flow --generate --packets 200000 --flows 17000\n" +
			"  amoskys bench flow --generate --write trace.pcap --no-identify",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Files = args
			if err := o.Check(); err != nil {
				return &cli.UsageError{Err: err}
			}
			result, err := bench.RunFlow(cmd.Context(), o)
			if err != nil {
				return brokenOff(cmd.Context(), err)
			}
			return showBench(env, result, asJSON)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Generate, "generate", false, "make a capture instead of reading some")
	f.IntVar(&o.Packets, "packets", 2_000_000, "packets of the capture that is made")
	f.IntVar(&o.Flows, "flows", 170_000, "flows of it")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of it")
	f.StringVar(&o.Write, "write", "", "file in which the capture that is made is kept")
	f.BoolVar(&o.NoIdentify, "no-identify", false, "leave unread what flows speak")
	f.BoolVar(&o.NoEvents, "no-events", false, "make no events of flows")
	f.BoolVar(&o.Hold, "hold", false, "end no flow before the end, to see what so many at once take")
	f.StringVar(&o.Dir, "dir", "", "folder in which a capture is made that is not kept (default the system's for temporary files)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
