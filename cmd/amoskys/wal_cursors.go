package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/wal"
)

func newWALCursorsCommand(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cursors",
		Short: "List and remove the places of subscribers in the log",
		Long: "A cursor is a subscriber's durable place in the log, under the name ROLE@NAME@CURSOR. One with a hold\n" +
			"keeps the log from removing what it has not passed: forgotten, it fills the disk.",
		Example: "  amoskys wal cursors list\n  amoskys wal cursors remove subscriber@old-siem@main",
	}
	cmd.AddCommand(newWALCursorsListCommand(env), newWALCursorsRemoveCommand(env))
	return cmd
}

// cursorOutput is one cursor as `amoskys wal cursors … --json` prints it.
type cursorOutput struct {
	Name       string     `json:"name"`
	Offset     wal.Offset `json:"offset"`
	LagEvents  uint64     `json:"lag_events"`
	Hold       bool       `json:"hold"`
	Updated    time.Time  `json:"updated"` // last commit
	AgeSeconds float64    `json:"age_seconds"`
}

func newWALCursorsListCommand(env *cli.Env) *cobra.Command {
	f := walFlags{env: env}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show where each cursor stands, how far behind it is, and when it last moved",
		Long: "Shows the cursors in the log's folder, those that are furthest behind first. The hub may be running:\n" +
			"each commit is in these files before the subscriber is told.",
		Example: "  amoskys wal cursors list\n  amoskys wal cursors list --json | jq '.cursors[] | select(.hold and .age_seconds > 86400)'",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.listCursors(cmd.Context()) },
	}
	f.bind(cmd)
	return cmd
}

func (f *walFlags) listCursors(ctx context.Context) error {
	dir, err := f.folder()
	if err != nil {
		return err
	}
	sum, err := wal.Inspect(ctx, vfs.OS{}, dir)
	if err != nil {
		return err
	}
	now := f.env.Now()
	list := make([]cursorOutput, 0, len(sum.Cursors))
	for _, c := range sum.Cursors {
		list = append(list, cursorOutput{
			Name: c.Name, Offset: c.Offset, LagEvents: sum.NextOffset - min(c.Offset, sum.NextOffset), Hold: c.Hold,
			Updated: c.Updated, AgeSeconds: max(0, now.Sub(c.Updated).Seconds()),
		})
	}
	switch {
	case f.asJSON:
		return cli.WriteJSON(f.env.Stdout, map[string]any{"dir": dir, "next_offset": sum.NextOffset, "cursors": list})
	case len(list) == 0:
		_, err := fmt.Fprintln(f.env.Stdout, "there are no cursors")
		return err
	}
	table := cli.NewTable("CURSOR", ">OFFSET", ">BEHIND", "HOLD", "LAST COMMIT", ">AGE")
	for _, c := range list {
		hold := "no"
		if c.Hold {
			hold = "yes"
		}
		age := time.Duration(c.AgeSeconds * float64(time.Second)).Round(time.Second)
		table.Row(c.Name, c.Offset, cli.Count(c.LagEvents), hold, c.Updated.Local().Format("2006-01-02 15:04:05"), cli.Duration(age))
	}
	return table.Write(f.env.Stdout)
}

func newWALCursorsRemoveCommand(env *cli.Env) *cobra.Command {
	f := walFlags{env: env}
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a cursor and its hold",
		Long: "Removes a cursor for good. If its subscriber comes back, it starts at the oldest event kept. With the hub\n" +
			"running the hub removes it, if the subscriber is not connected, and records who asked; else the file goes,\n" +
			"under the lock that keeps a hub from starting meanwhile.",
		Example: "  amoskys wal cursors remove subscriber@old-siem@main\n  amoskys wal cursors remove subscriber@old-siem@main --yes --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				if err := env.Confirm(fmt.Sprintf("Remove cursor %s for good?", cli.Clean(args[0]))); err != nil {
					return err
				}
			}
			return f.removeCursor(cmd.Context(), args[0])
		},
	}
	f.bind(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// removedOutput is what `amoskys wal cursors remove --json` prints.
type removedOutput struct {
	Removed string     `json:"removed"`
	Offset  wal.Offset `json:"offset"` // where it stood
	ByHub   bool       `json:"by_hub"` // the hub was running
}

// removeCursor removes the file, or asks the hub when that has the log.
func (f *walFlags) removeCursor(ctx context.Context, name string) error {
	dir, err := f.folder()
	if err != nil {
		return err
	}
	out := removedOutput{Removed: name}
	gone, err := wal.RemoveCursor(vfs.OS{}, dir, name)
	out.Offset = gone.Offset
	if _, locked := errors.AsType[*vfs.LockedError](err); locked && f.dir == "" {
		out.ByHub = true
		out.Offset, err = console.RemoveCursor(ctx, f.env, name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no cursor %s: amoskys wal cursors list shows them", cli.Clean(name))
	case err != nil:
		return err
	case f.asJSON:
		return cli.WriteJSON(f.env.Stdout, out)
	}
	_, err = fmt.Fprintf(f.env.Stdout, "cursor %s is removed; it stood at offset %d\n", cli.Clean(name), out.Offset)
	return err
}
