package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/bench"
	"github.com/amoskys/amoskys/internal/cli"
)

func newBenchBackup(env *cli.Env) *cobra.Command {
	o := bench.BackupOptions{}
	var sizeMB int64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Measure a backup under load, and a restore of it",
		Long: "Starts hub and store in a home of their own, fills them up to --size MiB, publishes at --rate and counts what is\n" +
			"acknowledged before, during and after a backup with keys. Then restores it to another home, verifies the log there,\n" +
			"starts it, and asks both systems 25 questions: each answer is to be the same.",
		Example: "  amoskys bench backup --size 1024\n  amoskys bench backup --size 64 --rate 5000 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			o.Command, o.Bytes = []string{self}, sizeMB<<20
			if err := o.Check(); err != nil {
				return &cli.UsageError{Err: err}
			}
			progress := cli.NewProgress(env.Stderr, env.Now)
			o.Progress = func(step string) { progress.Count(step, 0, 0) }
			result, err := bench.RunBackup(cmd.Context(), o)
			progress.Done()
			if err != nil {
				return brokenOff(cmd.Context(), err)
			}
			if err := showBench(env, result, asJSON); err != nil {
				return err
			}
			return result.Same()
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Agents, "agents", 20, "publishers, each with a certificate and a connection of its own")
	f.IntVar(&o.Batch, "batch", 100, "events of a batch")
	f.IntVar(&o.Rate, "rate", 20_000, "events a second of all of them")
	f.Int64Var(&sizeMB, "size", 1024, "MiB of log, store and metrics before the backup")
	f.DurationVar(&o.Before, "before", 10*time.Second, "how long acknowledgements are counted without a backup, before it and after it")
	f.IntVar(&o.ReadRate, "read-rate", -1, "MiB that the backup reads a second, 0 for as fast as it goes (default that of the command)")
	f.DurationVar(&o.Patience, "patience", 10*time.Minute, "how long the store may take to have everything")
	f.StringVar(&o.Dir, "dir", "", "folder under which homes and backup are made, on the disk to measure (default the system's for temporary files)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
