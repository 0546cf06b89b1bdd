package vlogs

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// DayFormat is how partitions are named: a day in UTC.
const DayFormat = "20060102"

// deletePause is how often Delete looks whether it is done; the first looks are sooner.
const deletePause = 100 * time.Millisecond

// Delete removes the rows for which filter holds, and returns when they are gone from
// disk and answers. The engine goes on with a deletion after a crash. It rewrites every
// part that has such a row, so the filter should have a time range or hit few parts.
func (c *Client) Delete(ctx context.Context, filter string) error {
	var task struct {
		ID string `json:"task_id"`
	}
	if err := c.getJSON(ctx, "/delete/run_task", url.Values{"filter": {filter}}, &task); err != nil {
		return fmt.Errorf("delete from the store: %w", err)
	}
	for wait := time.Millisecond; ; wait = min(2*wait, deletePause) {
		var active []struct {
			ID string `json:"task_id"`
		}
		if err := c.getJSON(ctx, "/delete/active_tasks", nil, &active); err != nil {
			return fmt.Errorf("wait until the store has deleted: %w", err)
		}
		if !slices.ContainsFunc(active, func(t struct {
			ID string `json:"task_id"`
		},
		) bool {
			return t.ID == task.ID
		}) {
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("wait until the store has deleted: %w", err)
		}
	}
}

// Days are the partitions that the engine has open, oldest first, as YYYYMMDD.
func (c *Client) Days(ctx context.Context) ([]string, error) {
	var days []string
	if err := c.getJSON(ctx, "/internal/partition/list", nil, &days); err != nil {
		return nil, fmt.Errorf("list the store's days: %w", err)
	}
	slices.Sort(days)
	return days, nil
}

// Detach has the engine close a day: its files may be moved away then. Queries that read
// it are waited for. Rows for that day are lost in silence as long as its folder stays.
func (c *Client) Detach(ctx context.Context, day string) error {
	_, err := c.get(ctx, "/internal/partition/detach", url.Values{"name": {day}})
	return err
}

// Attach has the engine open the day that lies in its folder again.
func (c *Client) Attach(ctx context.Context, day string) error {
	_, err := c.get(ctx, "/internal/partition/attach", url.Values{"name": {day}})
	return err
}

// ForceMerge starts merging all parts of the days that begin with prefix, and does not
// wait: the metric vl_active_force_merges is 0 when it is done.
func (c *Client) ForceMerge(ctx context.Context, prefix string) error {
	_, err := c.get(ctx, "/internal/force_merge", url.Values{"partition_prefix": {prefix}})
	return err
}

// Metrics are the engine's metrics by name with labels, as it writes them.
func (c *Client) Metrics(ctx context.Context) (map[string]float64, error) {
	text, err := c.get(ctx, "/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read the metrics of the store's engine: %w", err)
	}
	return ParseMetrics(text), nil
}

// ReadOnly reports whether the engine takes no rows for want of space.
func (c *Client) ReadOnly(ctx context.Context) (bool, error) {
	m, err := c.Metrics(ctx)
	if err != nil {
		return false, err
	}
	for name, value := range m {
		if value == 1 && len(name) > len(readOnlyMetric) && name[:len(readOnlyMetric)] == readOnlyMetric {
			return true, nil
		}
	}
	return false, nil
}

const readOnlyMetric = "vl_storage_is_read_only{"

// ParseMetrics reads Prometheus' text format. Lines that are none are left out.
func ParseMetrics(text []byte) map[string]float64 {
	m := map[string]float64{}
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		at := bytes.LastIndexByte(line, ' ')
		if at <= 0 || line[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(string(line[at+1:]), 64); err == nil && !math.IsNaN(v) {
			m[string(line[:at])] = v
		}
	}
	return m
}
