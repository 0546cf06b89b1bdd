package console

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/vfs"
)

// LossOptions say which losses of the log to accept.
type LossOptions struct {
	// Dir is the log's folder; ByDir says that it was named, so that the hub is not
	// asked in its place.
	Dir   string
	ByDir bool
	// IDs are those to accept; none means all that are open.
	IDs  []uint64
	Note string
	// Confirm is shown what would be accepted, unless that is nothing.
	Confirm func([]*pb.LogLoss) error
}

// AcceptLoss takes note of losses: of a log that nobody has open directly, under its
// lock, else through the hub that has it. No loss is accepted that Confirm was not shown.
func AcceptLoss(ctx context.Context, e *cli.Env, o LossOptions) (accepted []*pb.LogLoss, byHub bool, err error) {
	stopped, err := app.OpenStoppedLog(ctx, e, o.Dir, actor())
	if _, locked := errors.AsType[*vfs.LockedError](err); locked && !o.ByDir {
		accepted, err = acceptByHub(ctx, e, o)
		return accepted, true, err
	}
	if err != nil {
		return nil, false, err
	}
	req, err := o.request(stopped.Losses())
	if err == nil && req != nil {
		var resp *pb.AcceptLossResponse
		if resp, err = stopped.AcceptLoss(ctx, req); err != nil {
			err = errors.New(status.Convert(err).Message())
		}
		accepted = resp.GetAccepted()
	}
	return accepted, false, errors.Join(err, stopped.Close())
}

// acceptByHub asks the hub twice, since whoever is asked in between may think for longer
// than a call may take.
func acceptByHub(ctx context.Context, e *cli.Env, o LossOptions) (accepted []*pb.LogLoss, err error) {
	var open []*pb.LogLoss
	err = withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Query.Status(ctx, &pb.StatusRequest{})
		open = resp.GetLog().GetLosses()
		return c.Explain(err)
	})
	if err != nil {
		return nil, err
	}
	req, err := o.request(open)
	if err != nil || req == nil {
		return nil, err
	}
	err = withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Log.AcceptLoss(ctx, req)
		accepted = resp.GetAccepted()
		return c.Explain(err)
	})
	return accepted, err
}

// request asks whether to accept what is wanted of the open losses. It is nil when
// nothing is open and all is wanted.
func (o *LossOptions) request(open []*pb.LogLoss) (*pb.AcceptLossRequest, error) {
	wanted := slices.DeleteFunc(slices.Clone(open), func(l *pb.LogLoss) bool {
		return len(o.IDs) > 0 && !slices.Contains(o.IDs, l.GetId())
	})
	if len(wanted) == 0 && len(o.IDs) == 0 {
		return nil, nil //nolint:nilnil // there is nothing to ask for, and that is no error
	}
	ids := o.IDs
	if len(ids) == 0 {
		for _, l := range wanted {
			ids = append(ids, l.GetId())
		}
	}
	if len(wanted) > 0 {
		if err := o.Confirm(wanted); err != nil {
			return nil, err
		}
	}
	return &pb.AcceptLossRequest{Ids: ids, Note: o.Note}, nil
}
