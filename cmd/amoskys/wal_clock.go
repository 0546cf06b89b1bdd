package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/clock"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/wal"
)

func newWALTrustClockCommand(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "trust-clock",
		Short: "Believe the wall clock, so that retention by age goes by it",
		Long: "After the wall clock jumped by more than a day, retention by age waits until both clocks have agreed for\n" +
			"an hour. This believes it at once: say it when date shows the right time. What came before the jump is as\n" +
			"old then as the dates say, and what is older than wal.retention_days is removed. With the hub running the\n" +
			"hub does it, and records who asked.",
		Example: "  amoskys wal trust-clock\n  amoskys wal trust-clock --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return trustClock(cmd.Context(), env, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// trustedOutput is what `amoskys wal trust-clock --json` prints.
type trustedOutput struct {
	Time        time.Time `json:"time"`
	JumpSeconds float64   `json:"jump_seconds"` // how far the wall clock was ahead
	ByHub       bool      `json:"by_hub"`       // the hub was running
}

func trustClock(ctx context.Context, env *cli.Env, asJSON bool) error {
	cfg, err := app.LoadHubConfig(env)
	if err != nil {
		return err
	}
	if err := env.Home.Check(); err != nil {
		return err
	}
	off, now, err := trustStopped(env, filepath.Clean(env.Home.Path(cfg.WAL.Path)))
	_, running := errors.AsType[*vfs.LockedError](err)
	if running = running || errors.Is(err, syscall.EROFS); running { // a hub may serve a read-only home
		off, now, err = console.TrustClock(ctx, env)
	}
	switch {
	case err != nil:
		return err
	case asJSON:
		return cli.WriteJSON(env.Stdout, trustedOutput{Time: now.UTC(), JumpSeconds: off.Seconds(), ByHub: running})
	}
	if off = off.Round(time.Second); off == 0 {
		_, err = fmt.Fprintf(env.Stdout, "retention goes by the wall clock, %s, as it did before\n", now.UTC().Format("2006-01-02 15:04:05 UTC"))
		return err
	}
	way := "ahead of"
	if off < 0 {
		off, way = -off, "behind"
	}
	_, err = fmt.Fprintf(env.Stdout, "retention goes by the wall clock, %s; it was %s %s what the hub went by\n",
		now.UTC().Format("2006-01-02 15:04:05 UTC"), cli.Duration(off), way)
	return err
}

// trustStopped believes the clock under the lock that keeps a hub from starting.
func trustStopped(env *cli.Env, dir string) (off time.Duration, now time.Time, err error) {
	lock, err := wal.Lock(vfs.OS{}, dir)
	if err != nil {
		return 0, now, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	off, now, err = clock.Open(clock.Options{File: env.Home.Clock()}).Trust()
	if err != nil {
		err = fmt.Errorf("keep the time that is believed: %w", err)
	}
	return off, now, err
}
