package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/wal"
)

// acceptLoss is one run of `amoskys wal accept-loss`.
type acceptLoss struct {
	walFlags
	all, yes bool
	note     string
}

func newWALAcceptLossCommand(env *cli.Env) *cobra.Command {
	f := acceptLoss{walFlags: walFlags{env: env}}
	cmd := &cobra.Command{
		Use:   "accept-loss [ID...]",
		Short: "Take note of what the log has lost, so that health and verify are ok again",
		Long: "What is gone from the log, and retention did not remove, makes health and wal verify complain until somebody\n" +
			"says here that it is known. It stays on record as accepted, and readers are told of the gap for ever; with the\n" +
			"last open loss, what lies in the quarantine folder moves to accepted/ in it. With the hub running the hub does\n" +
			"it, else this command, under the lock that keeps a hub from starting meanwhile. Both audit it.",
		Example: "  amoskys wal verify\n  amoskys wal accept-loss 1 --note 'disk replaced'\n  amoskys wal accept-loss --all --yes --json",
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), args) },
	}
	f.bind(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "every loss that is open")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask; a script, which cannot be asked, needs it")
	cmd.Flags().StringVar(&f.note, "note", "", "why, for the audit trail")
	return cmd
}

// lossOutput is a loss as the wal commands print it as JSON.
type lossOutput struct {
	ID         uint64     `json:"id"`
	FromOffset wal.Offset `json:"from_offset"`
	ToOffset   wal.Offset `json:"to_offset"` // behind it, from_offset when not known
	NoticedAt  time.Time  `json:"noticed_at"`
	AcceptedAt *time.Time `json:"accepted_at,omitempty"`
	Reason     string     `json:"reason"`
}

func (f *acceptLoss) run(ctx context.Context, args []string) error {
	if f.all == (len(args) > 0) {
		return cli.Usagef("name the losses by their ids, which amoskys wal verify lists, or say --all")
	}
	o := console.LossOptions{ByDir: f.dir != "", Note: f.note, Confirm: f.confirm}
	for _, arg := range args {
		id, err := strconv.ParseUint(arg, 10, 64)
		if err != nil || id == 0 {
			return cli.Usagef("%q is no id of a loss: amoskys wal verify lists them", cli.Clean(arg))
		}
		o.IDs = append(o.IDs, id)
	}
	if err := f.env.Home.Check(); err != nil {
		return err // its state database and configuration take part, whatever folder --dir names
	}
	var err error
	if o.Dir, err = f.folder(); err != nil {
		return err
	}
	accepted, byHub, err := console.AcceptLoss(ctx, f.env, o)
	if err != nil {
		return err
	}
	out := make([]lossOutput, 0, len(accepted))
	for _, l := range accepted {
		out = append(out, lossOutput{
			ID: l.GetId(), FromOffset: l.GetFromOffset(), ToOffset: l.GetToOffset(), NoticedAt: l.GetNoticedTime().AsTime(), Reason: l.GetReason(),
		})
	}
	switch {
	case f.asJSON:
		return cli.WriteJSON(f.env.Stdout, map[string]any{"accepted": out, "by_hub": byHub})
	case len(out) == 0:
		_, err := fmt.Fprintln(f.env.Stdout, "no loss is open")
		return err
	}
	for _, l := range accepted {
		fmt.Fprintf(f.env.Stdout, "accepted: loss %d, %s\n", l.GetId(), describeLoss(l))
	}
	return nil
}

// confirm asks whether to take note of the losses.
func (f *acceptLoss) confirm(losses []*pb.LogLoss) error {
	if f.yes {
		return nil
	}
	for _, l := range losses {
		fmt.Fprintf(f.env.Stderr, "loss %d, %s\n", l.GetId(), describeLoss(l))
	}
	return f.env.Confirm("Take note of " + cli.Counted(len(losses), "loss", "losses") + ", so that nobody is told any more?")
}

func describeLoss(l *pb.LogLoss) string {
	loss := wal.Loss{
		From: l.GetFromOffset(), To: l.GetToOffset(), Reason: cli.Clean(l.GetReason()),
	}
	return fmt.Sprintf("%s (noticed %s)", loss, l.GetNoticedTime().AsTime().Format(time.RFC3339))
}
