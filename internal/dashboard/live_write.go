package dashboard

import (
	"context"
	"encoding/json"
	"time"

	"github.com/coder/websocket"
)

// write sends answers at once, and what subscriptions gathered at most ten
// times a second.
func (c *liveConn) write(ctx context.Context) error {
	flush := time.NewTimer(0)
	defer flush.Stop()
	resting := true // after a flush, until flushEvery has passed
	due := false
	if err := c.send(ctx, helloMessage{"hello", c.server.o.Now().UTC(), c.server.static.script}); err != nil {
		return err
	}
	connected, since, changed := c.server.hub.state()
	if !connected {
		if err := c.send(ctx, hubMessage{"hub", false, since.UTC(), c.server.hub.reason()}); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.server.stopping:
			return errStopping
		case message := <-c.control:
			if err := c.send(ctx, message); err != nil {
				return err
			}
		case <-changed:
			connected, since, changed = c.server.hub.state()
			if err := c.send(ctx, hubMessage{"hub", connected, since.UTC(), c.server.hub.reason()}); err != nil {
				return err
			}
		case <-c.ready:
			due = true
		case <-flush.C:
			resting = false
		}
		if due && !resting {
			if err := c.flush(ctx); err != nil {
				return err
			}
			due, resting = false, true
			flush.Reset(flushEvery)
		}
	}
}

// flush sends what all subscriptions have gathered.
func (c *liveConn) flush(ctx context.Context) error {
	c.mu.Lock()
	subs := make([]*subscription, 0, len(c.subs))
	for _, sub := range c.subs {
		subs = append(subs, sub)
	}
	c.mu.Unlock()
	for _, sub := range subs {
		for _, message := range sub.topic.take() {
			if err := c.send(ctx, message); err != nil {
				return err
			}
		}
	}
	return nil
}

// send writes one message. The end of ctx does not cut it short: that would break
// the connection before the tab has been told why it ends.
func (c *liveConn) send(ctx context.Context, message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		c.server.o.Logger.WarnContext(ctx, "live message not sent", "error", err)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, text)
}
