package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/wal"
)

// walRewrite is one run of `amoskys wal rewrite`.
type walRewrite struct {
	walFlags
	format         int
	removeOld, yes bool
}

func newWALRewriteCommand(env *cli.Env) *cobra.Command {
	f := walRewrite{walFlags: walFlags{env: env}}
	cmd := &cobra.Command{
		Use:   "rewrite --format N",
		Short: "Write a stopped hub's log anew in another format",
		Long: "Format 1 is for a build that does not know packed events: they are unpacked, and take several times the room.\n" +
			"Format 2 packs what is not. Events, offsets, times, senders, cursors and losses on record stay; the hash chain is\n" +
			"made anew. The new segments are compared with the old ones before they take their place, and the bytes needed\n" +
			"are said before anything is written. What is interrupted is begun again, or finished, by the same command. The\n" +
			"old segments stay in the folder \"replaced\" of the log's until you remove it, or say --remove-old. Run it as\n" +
			"the user that the hub runs as.",
		Example: "  amoskys wal rewrite --format 1\n  amoskys wal rewrite --format 2 --remove-old --yes --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	f.bind(cmd)
	cmd.Flags().IntVar(&f.format, "format", 0, "the format to write: 1 or 2")
	cmd.Flags().BoolVar(&f.removeOld, "remove-old", false, "do not keep the segments that are replaced, nor those of an earlier rewrite, unless some could not be read in full")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask; a script, which cannot be asked, needs it")
	return cmd
}

// rewriteOutput is what `amoskys wal rewrite --json` prints.
type rewriteOutput struct {
	Format    int    `json:"format"`
	Finished  bool   `json:"finished_earlier"` // an earlier one had been interrupted
	Segments  int    `json:"segments"`         // written anew
	Kept      int    `json:"kept_segments"`    // were of the format
	Records   int    `json:"records"`
	Events    uint64 `json:"events"`
	OldBytes  int64  `json:"old_bytes"`
	NewBytes  int64  `json:"new_bytes"`
	BadPlaces int    `json:"bad_places"`
	Replaced  string `json:"replaced,omitempty"` // folder of the old segments
}

func (f *walRewrite) run(ctx context.Context) error {
	if f.format < 1 || f.format > 2 {
		return cli.Usagef("--format must be 1 or 2")
	}
	dir, err := f.folder()
	if err != nil {
		return err
	}
	progress := cli.NewProgress(f.env.Stderr, f.env.Now)
	plan, err := wal.Rewrite(ctx, wal.RewriteOptions{
		Dir: dir, FS: vfs.OS{}, Format: f.format, RemoveOld: f.removeOld,
		Agree:    func(p *wal.RewritePlan) error { progress.Done(); return f.agree(p) },
		Progress: func(step string, done, total int64) { progress.Update(step, done, total) },
	})
	progress.Done()
	_, locked := errors.AsType[*vfs.LockedError](err)
	switch {
	case locked:
		return fmt.Errorf("%w. The log must be at rest: amoskys down ends the hub", err)
	case err != nil:
		return err
	}
	f.note(ctx, &plan)
	if f.asJSON {
		return cli.WriteJSON(f.env.Stdout, rewriteOutput{
			Format: f.format, Finished: plan.Finished, Segments: plan.Segments, Kept: plan.Kept, Records: plan.Records, Events: plan.Events,
			OldBytes: plan.OldBytes, NewBytes: plan.NewBytes, BadPlaces: plan.BadPlaces, Replaced: plan.Replaced,
		})
	}
	return f.describe(&plan)
}

// note audits what was done to the log of a home. A log that --dir names has no trail.
func (f *walRewrite) note(ctx context.Context, p *wal.RewritePlan) {
	if f.dir != "" || p.Segments == 0 && !p.Finished {
		return
	}
	detail := fmt.Sprintf("%s with %s are of format %d, %s instead of %s, with a new hash chain", cli.Counted(p.Segments, "segment", "segments"),
		cli.Counted(p.Events, "event", "events"), f.format, cli.Bytes(p.NewBytes), cli.Bytes(p.OldBytes))
	if p.Finished {
		detail += "; an earlier rewrite, which was interrupted, was finished"
	}
	if p.BadPlaces > 0 {
		detail += fmt.Sprintf("; %s of the old ones could not be read", cli.Counted(p.BadPlaces, "place", "places"))
	}
	if err := console.NoteRewrite(ctx, f.env, detail); err != nil {
		fmt.Fprintf(f.env.Stderr, "the log is written anew, but that is not in the audit trail: %v\n", err)
	}
}

// agree says what is about to be done, and asks.
func (f *walRewrite) agree(p *wal.RewritePlan) error {
	fmt.Fprintf(f.env.Stderr, "%s with %s, %s: in format %d they take %s, beside the old ones as long as those stay; %s are free\n",
		cli.Counted(p.Segments, "segment", "segments"), cli.Counted(p.Events, "event", "events"), cli.Bytes(p.OldBytes), f.format, cli.Bytes(p.NewBytes), cli.Bytes(p.Free))
	if p.BadPlaces > 0 {
		fmt.Fprintf(f.env.Stderr, "%s of the old segments cannot be read; the old segments are kept\n", cli.Counted(p.BadPlaces, "place", "places"))
	}
	if f.yes {
		return nil
	}
	return f.env.Confirm("Write them anew?")
}

// describe says what was done.
func (f *walRewrite) describe(p *wal.RewritePlan) error {
	if p.Finished {
		fmt.Fprintln(f.env.Stdout, "finished what had been interrupted")
	}
	if p.Segments == 0 {
		fmt.Fprintf(f.env.Stdout, "all segments (%d) are of format %d\n", p.Kept, f.format)
	} else {
		fmt.Fprintf(f.env.Stdout, "%s with %s are of format %d now, %s instead of %s; their hash chain is new\n", cli.Counted(p.Segments, "segment", "segments"),
			cli.Counted(p.Events, "event", "events"), f.format, cli.Bytes(p.NewBytes), cli.Bytes(p.OldBytes))
	}
	if p.Replaced != "" {
		fmt.Fprintf(f.env.Stdout, "the old segments are in %s: remove that folder when you do not need them any more\n", cli.Clean(p.Replaced))
	}
	return nil
}
