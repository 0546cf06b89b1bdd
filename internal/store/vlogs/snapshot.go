package vlogs

import (
	"context"
	"fmt"
	"net/url"
)

// Snapshot makes a snapshot of each day: a folder with its parts, of hard links, which
// neither merges nor retention change. It returns their folders, as the engine names them:
// …/partitions/DAY/snapshots/NAME.
func (c *Client) Snapshot(ctx context.Context) (folders []string, err error) {
	if err := c.Flush(ctx); err != nil {
		return nil, err
	}
	if err := c.getJSON(ctx, "/internal/partition/snapshot/create", url.Values{"partition_prefix": {everyDay}}, &folders); err != nil {
		return nil, fmt.Errorf("take a snapshot of the store: %w", err)
	}
	return folders, nil
}
