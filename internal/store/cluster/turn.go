package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/store/ingest"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// turnProject is the part of the cluster (ProjectID) in which stores write down whose turn
// it is: no question about events finds it.
const turnProject = 41

// Turn is where stores that may feed one cluster agree on which of them does.
type Turn struct {
	c     *Cluster
	query *vlogs.Client
	nodes []*vlogs.Client

	mu     sync.Mutex // guards what follows
	newest int64      // time of the newest that was read, ns: what is written is newer, whatever our clock says
	swept  time.Time  // when what is old was last deleted
}

var _ ingest.Turn = (*Turn)(nil)

// Turn returns it. Close lets it go.
func (c *Cluster) Turn() *Turn {
	o := c.o.Select
	o.Project = turnProject
	t := &Turn{c: c, query: vlogs.NewClient(o)}
	for _, n := range c.o.Nodes {
		n.Project = turnProject
		t.nodes = append(t.nodes, vlogs.NewClient(n))
	}
	return t
}

// Close lets go of idle connections.
func (t *Turn) Close() {
	t.query.Close()
	for _, n := range t.nodes {
		n.Close()
	}
}

// Fields of what is written down.
const (
	ownerField = "owner"
	placeField = "place"
	claimField = "claim"
)

// turnKept is how long what was written down is kept: the newest alone counts.
const turnKept = 24 * time.Hour

// stillPatience is how long Publish waits for a barrier, which goes on to the next round
// with what is written. It is far below ingest.TurnOptions.Lasts.
const stillPatience = 2 * time.Second

// afterBarrier returns when no barrier is under way, or after stillPatience.
func (t *Turn) afterBarrier(ctx context.Context) (end func()) {
	timer := time.NewTimer(stillPatience)
	defer timer.Stop()
	select {
	case t.c.still <- struct{}{}:
		return func() { <-t.c.still }
	case <-timer.C:
	case <-ctx.Done():
	}
	return func() {}
}

// Publish implements ingest.Turn.
func (t *Turn) Publish(ctx context.Context, owner string, place []byte) error {
	defer t.afterBarrier(ctx)()
	t.mu.Lock()
	now := time.Unix(0, max(time.Now().UnixNano(), t.newest+int64(time.Millisecond)))
	t.mu.Unlock()
	var rows vlogs.Rows
	rows.Begin([]vlogs.Field{{Name: ownerField, Value: owner}}, now.UnixNano())
	rows.Text(ownerField, owner)
	rows.Text(claimField, strconv.FormatInt(now.UnixNano(), 36)+owner)
	rows.Text(placeField, string(place))
	var errs []error
	for _, n := range t.nodes {
		err := n.Insert(ctx, &rows)
		if err == nil {
			err = n.Flush(ctx)
		}
		if err == nil {
			t.sweep(ctx, now)
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("write into cluster %s whose turn it is: %w", t.c.o.Name, errors.Join(errs...))
}

// sweepPatience is how long a node may take to delete what is old. It goes on by itself
// when that is over: it may have more to delete before.
const sweepPatience = 2 * time.Second

// askPatience bounds a question whose turn it is: who does not answer is asked anew.
const askPatience = 20 * time.Second

// sweep deletes what is old, once a day.
func (t *Turn) sweep(ctx context.Context, now time.Time) {
	t.mu.Lock()
	due := now.Sub(t.swept) >= turnKept
	if due {
		t.swept = now
	}
	t.mu.Unlock()
	if !due {
		return
	}
	filter := "_time:<" + now.Add(-turnKept).UTC().Format(time.RFC3339)
	ctx, cancel := context.WithTimeout(ctx, sweepPatience)
	defer cancel()
	var sweeping sync.WaitGroup
	for _, n := range t.nodes {
		sweeping.Go(func() {
			if err := n.Delete(ctx, filter); err != nil && ctx.Err() == nil {
				t.c.logger.Warn("cannot delete what was written down long ago of whose turn it was", "error", err)
			}
		})
	}
	sweeping.Wait()
}

// Published implements ingest.Turn.
func (t *Turn) Published(ctx context.Context) (c ingest.Claim, err error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	// The newest is found at once where it is of the last hour, and else among all.
	lately := "_time:>=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for _, text := range []string{lately, "*"} {
		q := vlogs.Query{Text: text + " | sort by (_time desc, claim desc) | limit 1"}
		err = t.query.Query(ctx, q, func(row []vlogs.Field) error {
			for _, f := range row {
				switch f.Name {
				case ownerField:
					c.Owner = strings.Clone(f.Value)
				case placeField:
					c.Place = strings.Clone(f.Value)
				case "_time":
					at, err := time.Parse(time.RFC3339Nano, f.Value)
					if err != nil {
						return fmt.Errorf("read when it was written: %w", err)
					}
					t.mu.Lock()
					t.newest = max(t.newest, at.UnixNano())
					t.mu.Unlock()
				case claimField:
					c.ID = strings.Clone(f.Value)
				}
			}
			return nil
		})
		if err != nil || c.Owner != "" {
			return c, err //nolint:wrapcheck // the caller says what for
		}
	}
	return c, nil
}
