package vlogs

import (
	"context"
	"errors"
	"io"
	"net/url"
	"time"
)

// everyDay in Client.dirty stands for all partitions.
const everyDay = ""

// Insert gives rows to the engine. When it returns nil they are in the engine's memory:
// visible to queries within a second or two, and durable behind the next Barrier. With an
// error some of them may be stored. ErrReadOnly says that none was, for want of space.
func (c *Client) Insert(ctx context.Context, rows *Rows) error {
	if rows.Len() == 0 {
		return nil
	}
	c.noteDirty(rows)
	ctx, cancel := c.soon(ctx)
	defer cancel()
	body, err := c.open(ctx, "/insert/native", url.Values{"version": {"v1"}}, "application/octet-stream", rows.buf)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	_ = body.Close()
	if err != nil {
		return broken(ctx, err)
	}
	return nil
}

// TakesRows asks whether the engine takes rows at all: it is given none.
func (c *Client) TakesRows(ctx context.Context) error {
	ctx, cancel := c.soon(ctx)
	defer cancel()
	body, err := c.open(ctx, "/insert/native", url.Values{"version": {"v1"}}, "application/octet-stream", []byte{})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return errors.Join(err, body.Close())
}

// noteDirty remembers the partitions that the next Barrier has to make durable.
func (c *Client) noteDirty(rows *Rows) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, day := range rows.days {
		c.dirty[dayName(day)] = struct{}{}
	}
	if rows.many {
		c.dirty[everyDay] = struct{}{}
	}
}

// dayName is the name of a partition, from days since 1970.
func dayName(day int64) string { return time.Unix(day*86400, 0).UTC().Format(DayFormat) }
