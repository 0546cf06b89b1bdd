package vlogs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"
)

// Bounds on a barrier.
const (
	barrierRounds = 100
	barrierPause  = 20 * time.Millisecond // between rounds: a merge may be under way
)

// ErrBarrier says that rows would not leave the engine's memory, as when others insert
// all the time.
var ErrBarrier = errors.New("the store's engine keeps rows in memory")

// Barrier makes all that was inserted before it durable: behind it neither a crash nor a
// power cut takes anything of it away. Whoever inserts waits meanwhile, or the barrier
// may never end.
//
// The engine has no call for it. A snapshot of a partition writes what is in memory to
// disk and syncs it, so one is made of each day that was inserted into, and deleted,
// until the engine's counters say that nothing is in memory. A snapshot takes what was
// flushed; hence the flush before. The counters must be of now: VictoriaLogs' own server
// gives them from a copy of up to a second ago, which is waited for; ours does not.
func (c *Client) Barrier(ctx context.Context) error {
	c.mu.Lock()
	days := slices.Sorted(maps.Keys(c.dirty))
	c.dirty = map[string]struct{}{}
	c.mu.Unlock()
	if len(days) > 0 && days[0] == everyDay {
		days = days[:1]
	}
	var err error
	for round := range barrierRounds {
		var left float64
		if left, err = c.writeOut(ctx, days); err != nil || left == 0 {
			break
		}
		err = fmt.Errorf("%w: %.0f after %d rounds", ErrBarrier, left, round+1)
		if round > 0 || len(days) == 0 { // rows of days that this client does not know of
			days = []string{everyDay}
			if pause(ctx, barrierPause) != nil {
				err = context.Cause(ctx)
				break
			}
		}
	}
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, day := range days {
			c.dirty[day] = struct{}{}
		}
		return fmt.Errorf("make events durable: %w", err)
	}
	return nil
}

// Flush lets queries find all that was inserted before it. It makes nothing durable.
func (c *Client) Flush(ctx context.Context) error {
	_, err := c.get(ctx, "/internal/force_flush", nil)
	return err
}

// writeOut flushes once and returns how much is in memory still.
func (c *Client) writeOut(ctx context.Context, days []string) (left float64, err error) {
	if err := c.Flush(ctx); err != nil {
		return 0, err
	}
	for _, day := range days {
		var made []string
		if err := c.getJSON(ctx, "/internal/partition/snapshot/create", url.Values{"partition_prefix": {day}}, &made); err != nil {
			return 0, err
		}
		for _, path := range made {
			if _, err := c.get(ctx, "/internal/partition/snapshot/delete", url.Values{"path": {path}}); err != nil {
				return 0, err
			}
		}
	}
	m, err := c.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	if _, cached := m[cachedMetric]; cached {
		if err := pause(ctx, cachedFor); err != nil {
			return 0, err
		}
		if m, err = c.Metrics(ctx); err != nil {
			return 0, err
		}
	}
	for _, name := range []string{`vl_storage_parts{type="storage/inmemory"}`, `vl_pending_rows{type="storage"}`, `vl_pending_rows{type="indexdb"}`} {
		n, ok := m[name]
		if !ok {
			return 0, fmt.Errorf("%w: it does not say its %s", ErrBarrier, name)
		}
		left += n
	}
	return left, nil
}

// VictoriaLogs' own server is known by a metric that ours has not; its page is a copy of
// up to a second ago (lib/appmetrics).
const (
	cachedMetric = "vm_app_start_timestamp"
	cachedFor    = 1100 * time.Millisecond
)

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
