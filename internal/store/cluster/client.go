package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/store/ingest"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// Client does with a cluster what vlogs.Client does with one engine.
type Client struct {
	c *Cluster
	// whole says that no answer may lack the rows of a node: what is stored is counted by it.
	whole bool
}

// Insert gives rows to one of the storage nodes, the next one in turn: a batch is whole on
// its node. One that takes none for want of space is passed over; ErrReadOnly says that
// all are such.
func (l *Client) Insert(ctx context.Context, rows *vlogs.Rows) error {
	c := l.c
	c.mu.Lock()
	first := c.next
	c.next = (c.next + 1) % len(c.nodes)
	c.mu.Unlock()
	var full error
	for i := range c.nodes {
		n := c.nodes[(first+i)%len(c.nodes)]
		err := n.client.Insert(ctx, rows)
		switch {
		case err == nil:
			n.mu.Lock()
			n.given += uint64(rows.Len())
			n.mu.Unlock()
			return nil
		case !errors.Is(err, vlogs.ErrReadOnly):
			c.soon()
			return n.fault(err)
		}
		full = n.fault(err)
	}
	return full
}

// fault says which node it was.
func (n *node) fault(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("storage node %s: %w", n.known().Address, err)
}

// TakesRows asks whether any node takes rows: it is given none.
func (l *Client) TakesRows(ctx context.Context) error {
	var errs []error
	for _, n := range l.c.nodes {
		err := n.client.TakesRows(ctx)
		if err == nil {
			return nil
		}
		errs = append(errs, n.fault(err))
	}
	return errors.Join(errs...)
}

// Query asks the cluster's vlselect. While a node is known to be away the answer lacks
// its rows, and Absent says so for a while; else a node that is away fails it, and who
// counts by it what is stored (Engine) always gets all or an error.
func (l *Client) Query(ctx context.Context, q vlogs.Query, each func(row []vlogs.Field) error) error {
	c := l.c
	q.Partial = !l.whole && !c.allUp()
	if q.Partial {
		c.noteLacked()
		defer c.noteLacked() // the node may be back long before a long answer ends
	}
	err := c.query.Query(ctx, q, each)
	if errors.Is(err, vlogs.ErrAway) || errors.Is(err, vlogs.ErrBroken) {
		c.soon()
	}
	return err //nolint:wrapcheck // it says all
}

// noteLacked says that an answer may lack rows of a node now.
func (c *Cluster) noteLacked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lacked = time.Now()
}

func (c *Cluster) allUp() bool {
	return !slices.ContainsFunc(c.Nodes(), func(n Node) bool { return !n.Up })
}

// onAll does something on all nodes at once.
func (c *Cluster) onAll(do func(*node) error) error {
	errs := make([]error, len(c.nodes))
	var doing sync.WaitGroup
	for i, n := range c.nodes {
		doing.Go(func() { errs[i] = n.fault(do(n)) })
	}
	doing.Wait()
	err := errors.Join(errs...)
	if err != nil {
		c.soon()
	}
	return err
}

// Delete removes the rows for which filter holds from all nodes.
func (l *Client) Delete(ctx context.Context, filter string) error {
	return l.c.onAll(func(n *node) error { return n.client.Delete(ctx, filter) })
}

// Barrier makes what was inserted before it durable on all nodes. It looks at them then,
// so that State tells whether they are the processes that had the rows.
func (l *Client) Barrier(ctx context.Context) error {
	select {
	case l.c.still <- struct{}{}:
		defer func() { <-l.c.still }()
	case <-ctx.Done():
		return fmt.Errorf("wait for what is written into cluster %s: %w", l.c.o.Name, context.Cause(ctx))
	}
	if err := l.c.onAll(func(n *node) error { return n.client.Barrier(ctx) }); err != nil {
		return err
	}
	if !l.c.look(ctx, true) {
		return errUnseen // not of this process: the next barrier looks again
	}
	return nil
}

// errUnseen says that a barrier counts for nothing.
var errUnseen = errors.New("a storage node did not tell after the barrier whether it is the process that had the rows")

// Flush lets queries find all that was inserted before it. Nodes that are away have
// nothing to show.
func (l *Client) Flush(ctx context.Context) error {
	return l.c.onAll(func(n *node) error {
		if !n.known().Up {
			return nil
		}
		return n.client.Flush(ctx)
	})
}

// Days are the partitions of all nodes, oldest first, each once. Those of nodes that are
// away are not known.
func (l *Client) Days(ctx context.Context) ([]string, error) {
	var mu sync.Mutex
	var all []string
	err := l.c.onAll(func(n *node) error {
		if !n.known().Up {
			return nil
		}
		days, err := n.client.Days(ctx)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, days...)
		return err
	})
	slices.Sort(all)
	return slices.Compact(all), err
}

// Metrics are the sums of all nodes' metrics.
func (l *Client) Metrics(ctx context.Context) (map[string]float64, error) {
	var mu sync.Mutex
	sums := map[string]float64{}
	err := l.c.onAll(func(n *node) error {
		m, err := n.client.Metrics(ctx)
		mu.Lock()
		defer mu.Unlock()
		for name, value := range m {
			sums[name] += value
		}
		return err
	})
	return sums, err
}

// Days are the days that have events, oldest first. A cluster tells its bytes as a whole:
// each day has as much of them as of the events.
func (c *Cluster) Days() ([]keeper.Day, error) {
	bytes, _ := c.Bytes()
	var days []keeper.Day
	all := uint64(0)
	for name, n := range c.o.Events() {
		if n > 0 {
			days = append(days, keeper.Day{Name: name, Events: n})
			all += n
		}
	}
	for i := range days {
		days[i].Bytes = int64(float64(bytes) * float64(days[i].Events) / float64(all))
	}
	slices.SortFunc(days, func(a, b keeper.Day) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return days, nil
}

// Bytes are what all nodes' data take, and the least that a node's disk has free.
func (c *Cluster) Bytes() (used, free uint64) {
	for i, n := range c.Nodes() {
		used += n.Bytes
		if i == 0 || n.FreeBytes < free {
			free = n.FreeBytes
		}
	}
	return used, free
}

// Free is the least that a node's disk has free.
func (c *Cluster) Free() (uint64, error) {
	_, free := c.Bytes()
	return free, nil
}

// engine is a cluster as ingest.Engine.
type engine struct{ *Cluster }

// Engine is the cluster as what is fed.
func (c *Cluster) Engine() ingest.Engine { return engine{c} }

// Rows implements ingest.Engine.
func (e engine) Rows() ingest.Rows { return &Client{c: e.Cluster, whole: true} }

// Remove removes a day's events from all nodes. Its partition stays, empty.
func (c *Cluster) Remove(ctx context.Context, day string) error {
	at, err := time.Parse(vlogs.DayFormat, day)
	if err != nil {
		return fmt.Errorf("remove %q from cluster %s: it is no day", day, c.o.Name)
	}
	if err := c.Client().Delete(ctx, "_time:"+at.Format(time.DateOnly)+"Z"); err != nil {
		return fmt.Errorf("remove day %s from cluster %s: %w", day, c.o.Name, err)
	}
	return nil
}
