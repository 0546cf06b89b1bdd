package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/bench"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
)

// newBenchCommand builds `amoskys bench`, which measures parts of the system on
// this machine.
func newBenchCommand(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure what this machine can do"}
	cmd.AddCommand(newBenchHub(env), newBenchHubChild(env))
	return cmd
}

func newBenchHub(env *cli.Env) *cobra.Command {
	var o bench.HubOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "hub",
		Short: "Measure how many events a hub takes, and how fast it acknowledges them",
		Long: "Starts a hub of its own in a new folder on this machine's disk, connects clients to it over mutual TLS and\n" +
			"publishes as fast as the hub acknowledges. Each client waits when it has --inflight batches on their way.\n" +
			"With --target the load goes to a running hub instead, with the certificates of --home: the events stay there.",
		Example: "  amoskys bench hub --agents 100 --batch 100 --size 400\n" +
			"  amoskys bench hub --unary --agents 1 --json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			o.Command, o.Home = []string{self, "bench", childCommand}, env.Home
			if err := o.Check(); err != nil {
				return &cli.UsageError{Err: err}
			}
			result, err := bench.RunHub(cmd.Context(), o, benchProgress(env))
			if err != nil {
				return err
			}
			if asJSON {
				return cli.WriteJSON(env.Stdout, result)
			}
			return result.Write(env.Stdout)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Agents, "agents", 100, "clients, each with a connection of its own")
	f.IntVar(&o.Batch, "batch", 100, "events of a batch")
	f.IntVar(&o.Size, "size", 400, "bytes of an event")
	f.IntVar(&o.InFlight, "inflight", 4, "batches a client sends ahead of their acknowledgements")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "how long to measure")
	f.DurationVar(&o.Warmup, "warmup", 2*time.Second, "how long to run before measuring")
	f.BoolVar(&o.Unary, "unary", false, "send single events, one at a time, instead of batches")
	f.StringVar(&o.Target, "target", "", "address of a running hub; its log keeps the events (default: start one and remove it afterwards)")
	f.StringVar(&o.Dir, "dir", "", "folder under which the hub's files are made, on the disk to measure (default the system's for temporary files)")
	f.StringVar(&o.Profile, "profile", "", "file to write the hub's CPU profile to")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// childCommand is the command by which `bench hub` starts its hub.
const childCommand = "hub-child"

func newBenchHubChild(env *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use: childCommand + " HOME", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return bench.RunHubChild(cmd.Context(), config.Home(args[0]), env.Stdin, env.Stdout)
		},
	}
}

// benchProgress shows on a terminal how far the run is.
func benchProgress(env *cli.Env) func(time.Duration, uint64) {
	if _, _, ok := cli.Terminal(env.Stderr); !ok {
		return nil
	}
	return func(elapsed time.Duration, events uint64) {
		fmt.Fprintf(env.Stderr, "\r\x1b[K%s  %s", elapsed.Round(time.Second), cli.Counted(events, "event", "events"))
	}
}
