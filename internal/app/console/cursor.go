package console

import (
	"context"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// RemoveCursor has the hub remove a cursor, and returns where it stood.
func RemoveCursor(ctx context.Context, e *cli.Env, name string) (offset uint64, err error) {
	err = withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Cursors.RemoveCursor(ctx, &pb.RemoveCursorRequest{Name: name})
		if err != nil {
			return c.Explain(err)
		}
		offset = resp.GetOffset()
		return nil
	})
	return offset, err
}
