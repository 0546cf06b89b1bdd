package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/bench"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/config"
)

// newBenchCommand builds `amoskys bench`, which measures parts of the system on
// this machine.
func newBenchCommand(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure what this machine can do",
		Example: "  amoskys bench hub\n  amoskys bench read\n  amoskys bench fleet --hosts 2000",
	}
	cmd.AddCommand(newBenchHub(env), newBenchHubChild(env), newBenchFleet(env), newBenchRead(env), newBenchStore(env), newBenchPipeline(env), newBenchBackup(env), newBenchFlow(env), newBenchSNMP(env))
	return cmd
}

func newBenchHub(env *cli.Env) *cobra.Command {
	var o bench.HubOptions
	var asJSON bool
	var packing, program string
	cmd := &cobra.Command{
		Use:   "hub",
		Short: "Measure how many events a hub takes, and how fast it acknowledges them",
		Long: "Starts a hub of its own in a new folder on this machine's disk, connects clients to it over mutual TLS and\n" +
			"publishes as fast as the hub acknowledges. Each client waits when it has --inflight batches on their way.\n" +
			"The events were recorded on a machine at ordinary work; batches of them are packed as agents do, on the same\n" +
			"processors. --precompressed packs them before, as for a hub whose agents run elsewhere.\n" +
			"With --target the load goes to a running hub instead, with the certificates of --home: the events stay there.",
		Example: "  amoskys bench hub --agents 100 --batch 100\n" +
			"  amoskys bench hub --precompressed --hub-program OTHER/amoskys\n" +
			"  amoskys bench hub --unary --agents 1 --json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			if program == "" {
				program = self
			}
			o.Command, o.Home = []string{program, "bench", childCommand}, env.Home
			if !cmd.Flags().Changed("compress") && (o.Size > 0 || o.Unary) {
				packing = codec.None.String()
			}
			if o.Codec, err = codec.Parse(packing); err != nil {
				return &cli.UsageError{Err: fmt.Errorf("--compress: %w", err)}
			}
			if err := o.Check(); err != nil {
				return &cli.UsageError{Err: err}
			}
			progress := cli.NewProgress(env.Stderr, env.Now)
			result, err := bench.RunHub(cmd.Context(), o, func(elapsed time.Duration, events uint64) {
				progress.Count(fmt.Sprintf("%s of %s, events acknowledged:", elapsed.Round(time.Second), o.Duration), events, 0)
			})
			progress.Done()
			if err != nil {
				return brokenOff(cmd.Context(), err)
			}
			return showBench(env, result, asJSON)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Agents, "agents", 100, "clients, each with a connection of its own")
	f.IntVar(&o.Batch, "batch", 100, "events of a batch")
	f.IntVar(&o.Size, "size", 0, "send synthetic events of so many bytes, which differ only by their ids (default: recorded ones)")
	f.StringVar(&packing, "compress", codec.S2.String(), "how batches are packed: s2 or none, which it is with --size and --unary")
	f.BoolVar(&o.Packed, "precompressed", false, "make the batches before it is measured, and send them round and round")
	f.IntVar(&o.InFlight, "inflight", 4, "batches a client sends ahead of their acknowledgements")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "how long to measure")
	f.DurationVar(&o.Warmup, "warmup", 2*time.Second, "how long to run before measuring")
	f.BoolVar(&o.Unary, "unary", false, "send single events, one at a time, instead of batches")
	f.StringVar(&o.Target, "target", "", "address of a running hub; its log keeps the events (default: start one and remove it afterwards)")
	f.StringVar(&program, "hub-program", "", "program of another build whose hub is measured (default this one)")
	f.StringVar(&o.Dir, "dir", "", "folder under which the hub's files are made, on the disk to measure (default the system's for temporary files)")
	f.StringVar(&o.Profile, "profile", "", "file to write the hub's CPU profile to")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	for _, own := range []string{"hub-program", "dir", "profile"} { // of a hub that is started here
		cmd.MarkFlagsMutuallyExclusive("target", own)
	}
	return cmd
}

func newBenchRead(env *cli.Env) *cobra.Command {
	o := bench.ReadOptions{}
	var asJSON bool
	var packing, baseline string
	cmd := &cobra.Command{
		Use:   "read",
		Short: "Measure how fast the log is read, and what that costs the hub and its readers",
		Long: "Starts a hub of its own, fills its log with recorded events, and reads it over mutual TLS: by Deliveries that\n" +
			"protobuf decodes, as readers did of old, by Deliveries of events, by whole blocks that the reader splits, by blocks\n" +
			"left as they are, and by several readers together. With --baseline-program Deliveries are those of another build.",
		Example: "  amoskys bench read --events 5000000\n  amoskys bench read --baseline-program OTHER/amoskys --rounds 5",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			o.Command = []string{self, "bench", childCommand}
			if baseline != "" {
				o.Baseline = []string{baseline, "bench", childCommand}
			}
			if o.Codec, err = codec.Parse(packing); err != nil {
				return &cli.UsageError{Err: fmt.Errorf("--compress: %w", err)}
			}
			if err := o.Check(); err != nil {
				return &cli.UsageError{Err: err}
			}
			progress := cli.NewProgress(env.Stderr, env.Now)
			o.Progress = func(step string) { progress.Count(step, 0, 0) }
			result, err := bench.RunRead(cmd.Context(), o)
			progress.Done()
			if err != nil {
				return brokenOff(cmd.Context(), err)
			}
			return showBench(env, result, asJSON)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&o.Events, "events", 2_000_000, "events of the log")
	f.IntVar(&o.Batch, "batch", 100, "events of a record")
	f.StringVar(&packing, "compress", codec.S2.String(), "how records are packed: s2 or none")
	f.IntVar(&o.Readers, "readers", 4, "readers of the last case, which read together")
	f.IntVar(&o.Rounds, "rounds", 1, "how often each case is measured; the median is shown")
	f.DurationVar(&o.Duration, "duration", 5*time.Second, "how long to measure each case")
	f.StringVar(&baseline, "baseline-program", "", "program of another build whose Deliveries the others are held against (default this one)")
	f.StringVar(&o.Dir, "dir", "", "folder under which the hub's files are made (default the system's for temporary files)")
	f.StringVar(&o.Profile, "profile", "", "file to write the hub's CPU profile to, while one reader splits blocks")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newBenchFleet(env *cli.Env) *cobra.Command {
	var o bench.FleetOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Measure how soon a fleet is back after its hub was killed, and what an idle connection costs",
		Long: "Starts a hub of its own, connects the nodes and agents of --hosts to it, each over a connection of its own with\n" +
			"mutual TLS, kills the hub, starts it again and waits until all are back. Clients pause between tries as real ones do.\n" +
			"Each connection takes a file descriptor of this program and one of the hub's.",
		Example: "  amoskys bench fleet --hosts 2000 --agents 3",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			o.Command = []string{self, "hub"}
			if err := o.Check(); err != nil {
				return &cli.UsageError{Err: err}
			}
			result, err := bench.RunFleet(cmd.Context(), o)
			if err != nil {
				return brokenOff(cmd.Context(), err)
			}
			return showBench(env, result, asJSON)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Hosts, "hosts", 2_000, "hosts, each with a node")
	f.IntVar(&o.Agents, "agents", 3, "agents of each host")
	f.DurationVar(&o.Timeout, "timeout", 2*time.Minute, "how long the fleet may take to be there, or back")
	f.StringVar(&o.Dir, "dir", "", "folder under which the hub's files are made (default the system's for temporary files)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newBenchStore(env *cli.Env) *cobra.Command {
	o := bench.StoreOptions{}
	var asJSON bool
	var rowsTo string
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Measure how fast the store takes events, what they take on disk, and how fast it answers",
		Long: "Starts engines of its own, as the store does, and stores recorded events of --hosts in them: once as rows that were\n" +
			"made ready before, and once made of events as the store makes them. Then it asks questions of what is stored.",
		Example: "  amoskys bench store --events 1000000\n  amoskys bench store --events 10000000 --span 72h --asks 50 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			o.Engine = []string{self, "store-engine"}
			if err := o.Check(); err != nil {
				return &cli.UsageError{Err: err}
			}
			if rowsTo != "" {
				return writeRows(cmd.Context(), o, rowsTo)
			}
			progress := cli.NewProgress(env.Stderr, env.Now)
			o.Progress = func(step string) { progress.Count(step, 0, 0) }
			result, err := bench.RunStore(cmd.Context(), o)
			progress.Done()
			if err != nil {
				return brokenOff(cmd.Context(), err)
			}
			return showBench(env, result, asJSON)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Events, "events", 500_000, "events that are stored in each case")
	f.IntVar(&o.Hosts, "hosts", 40, "hosts that they come from")
	f.DurationVar(&o.Span, "span", 24*time.Hour, "time over which they are spread, up to now")
	f.IntVar(&o.Asks, "asks", 20, "how often each question is asked; 0 asks none")
	f.IntVar(&o.Rounds, "rounds", 1, "how often each case is measured; the median is shown")
	f.StringVar(&rowsTo, "rows-to", "", "measure nothing: write the rows to a file as JSON lines, for others to be fed with (bench/peers)")
	f.StringVar(&o.Dir, "dir", "", "folder under which the engines' files are made (default the system's for temporary files)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// writeRows writes the rows that would be stored into a file.
func writeRows(ctx context.Context, o bench.StoreOptions, path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return bench.WriteStoreRows(ctx, o, f)
}

func newBenchPipeline(env *cli.Env) *cobra.Command {
	o := bench.PipelineOptions{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "pipeline",
		Short: "Measure what the whole system costs at a set rate, from publishing to the store and a live page",
		Long: "Starts hub, store with its engine and dashboard in a home of their own on free ports of the loopback, publishes\n" +
			"recorded events at --rate over mutual TLS, each agent with a certificate of its own, while a live page follows all\n" +
			"events. At the end it waits for the store and counts: each acknowledged event is to be stored once,\n" +
			"but the readings that their agents mark as ones for the metrics alone.",
		Example: "  amoskys bench pipeline --duration 1m\n  amoskys bench pipeline --rate 20000 --duration 10m --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			o.Command = []string{self}
			if err := o.Check(); err != nil {
				return &cli.UsageError{Err: err}
			}
			progress := cli.NewProgress(env.Stderr, env.Now)
			o.Progress = func(step string) { progress.Count(step, 0, 0) }
			result, err := bench.RunPipeline(cmd.Context(), o)
			progress.Done()
			if err != nil {
				return brokenOff(cmd.Context(), err)
			}
			return errors.Join(showBench(env, result, asJSON), result.Equal())
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Rate, "rate", 20_000, "events a second of all agents together")
	f.IntVar(&o.Agents, "agents", 8, "agents that publish")
	f.IntVar(&o.Batch, "batch", 100, "events of a batch")
	f.DurationVar(&o.Duration, "duration", time.Minute, "how long to measure")
	f.DurationVar(&o.Warmup, "warmup", 5*time.Second, "how long to run before measuring")
	f.DurationVar(&o.Patience, "patience", 5*time.Minute, "how long the store may take afterwards for what it has not got yet")
	f.BoolVar(&o.NoLive, "no-live", false, "run no dashboard, and follow nothing")
	f.BoolVar(&o.KeepReadings, "keep-readings", false, "publish as agents with event_interval_seconds 0 do: the store keeps every reading")
	f.StringVar(&o.Dir, "dir", "", "folder under which the home is made (default the system's for temporary files)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// showBench prints what was measured.
func showBench(env *cli.Env, result interface{ Write(w io.Writer) error }, asJSON bool) error {
	if asJSON {
		return cli.WriteJSON(env.Stdout, result)
	}
	return result.Write(env.Stdout)
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

// brokenOff is err, or why ctx has ended: what then fails in the middle of a measurement
// says nothing of the hub.
func brokenOff(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("nothing was measured: %w", ctx.Err())
	}
	return err
}
