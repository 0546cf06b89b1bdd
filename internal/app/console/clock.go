package console

import (
	"context"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TrustClock has the hub believe the wall clock, and returns how far that was ahead of
// what the hub went by, and the time.
func TrustClock(ctx context.Context, e *cli.Env) (off time.Duration, now time.Time, err error) {
	err = withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Log.TrustClock(ctx, &pb.TrustClockRequest{})
		if err != nil {
			return c.Explain(err)
		}
		off, now = resp.GetJump().AsDuration(), resp.GetTime().AsTime()
		return nil
	})
	return off, now, err
}
