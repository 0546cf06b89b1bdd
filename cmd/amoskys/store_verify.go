package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/store/keeper"
)

// storeVerify is one run of `amoskys store verify`.
type storeVerify struct {
	env    *cli.Env
	dir    string
	asJSON bool
}

func newStoreVerifyCommand(env *cli.Env) *cobra.Command {
	v := storeVerify{env: env}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare every file of the store with its checksum",
		Long: "Reads all files of the store and compares them with the checksums that were made when they were written, day\n" +
			"by day. It changes nothing, and the store may be running: it does the same by itself, sets a day that is damaged\n" +
			"aside and builds it again from the log; what is found here has it look at once. Exit code 1 when anything is\n" +
			"damaged.",
		Example: "  amoskys store verify\n  amoskys store verify --dir /backup/store --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return v.run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&v.dir, "dir", "", "folder of the store (default store.path of the store's configuration)")
	cmd.Flags().BoolVar(&v.asJSON, "json", false, "print JSON")
	return cmd
}

// folder returns the folder that --dir names, or else the store's configuration.
func (v *storeVerify) folder() (string, error) {
	if v.dir != "" {
		return filepath.Abs(v.dir)
	}
	if err := v.env.Home.Check(); err != nil {
		return "", err
	}
	cfg, err := app.LoadStoreConfig(v.env)
	if err != nil {
		return "", fmt.Errorf("find the store (or name it with --dir): %w", err)
	}
	return v.env.Home.Path(cfg.Store.Path), nil
}

func (v *storeVerify) run(ctx context.Context) error {
	dir, err := v.folder()
	if err != nil {
		return err
	}
	progress := cli.NewProgress(v.env.Stderr, v.env.Now)
	report, err := keeper.Verify(ctx, dir, func(done, all int64) { progress.Update("verify", done, all) })
	progress.Done()
	if err != nil {
		return err
	}
	next := "a store that runs on these files sets damaged days aside, and builds them again from the log"
	if !report.OK && v.dir == "" {
		next = "a store that runs compares its files itself within half a minute, else when it starts, sets damaged days aside, and builds them again from the log"
		if err := keeper.AskToLook(dir); err != nil {
			next = "the store finds it when it next starts; it could not be asked to look now (" + err.Error() + ")"
		}
	}
	if v.asJSON {
		err = cli.WriteJSON(v.env.Stdout, report)
	} else {
		err = v.print(report, next)
	}
	if err == nil && !report.OK {
		return cli.ErrSilent
	}
	return err
}

// print writes the report; next is what happens about damage.
func (v *storeVerify) print(report keeper.Report, next string) error {
	table := cli.NewTable("DAY", ">PARTS", ">EVENTS", ">BYTES", ">NEW", "STATE")
	for _, d := range report.Days {
		state := "ok"
		if len(d.Damage) > 0 {
			state = "damaged"
		}
		table.Row(d.Day, cli.Count(d.Parts), cli.Count(d.Events), cli.Bytes(d.Bytes), cli.Count(d.Unknown), state)
	}
	if err := table.Write(v.env.Stdout); err != nil {
		return err
	}
	for _, d := range report.Days {
		for _, damage := range d.Damage {
			fmt.Fprintf(v.env.Stdout, "DAMAGED: day %s, %s: %s\n", d.Day, cli.Clean(damage.Part), cli.Clean(damage.Why))
		}
	}
	for _, a := range report.SetAside {
		rebuilt := "to be rebuilt from the log"
		if !a.Rebuilt.IsZero() {
			rebuilt = "rebuilt on " + a.Rebuilt.Format(time.RFC3339)
		}
		fmt.Fprintf(v.env.Stdout, "set aside on %s: day %s, %s; %s\n", a.Time.Format(time.RFC3339), cli.Clean(a.Day), cli.Clean(a.Why), rebuilt)
	}
	if report.OK {
		fmt.Fprintln(v.env.Stdout, "ok: every file is as it was written")
	} else {
		fmt.Fprintln(v.env.Stdout, "NOT OK: "+next)
	}
	return nil
}
