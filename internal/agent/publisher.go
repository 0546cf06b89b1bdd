package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// publisher completes, encodes and spools events.
type publisher struct {
	origin event.Origin
	spool  *spool.Spool
	meter  *meter
	now    func() time.Time
}

var _ Publisher = (*publisher)(nil)

// Publish implements Publisher.
func (p *publisher) Publish(ctx context.Context, events ...*pb.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.publish(events...)
}

// publish is Publish for the runtime's own events, which are sent while it stops.
func (p *publisher) publish(events ...*pb.Event) error {
	encoded := make([][]byte, len(events))
	for i, ev := range events {
		ev.Agent = nil // nobody publishes as another agent
		if err := p.origin.Complete(ev); err != nil {
			return fmt.Errorf("publish %s: %w", ev.GetType(), err)
		}
		b, err := event.Encode(ev)
		if err != nil {
			return fmt.Errorf("publish %s: %w", ev.GetType(), err)
		}
		if _, err := event.Inspect(b); err != nil {
			return fmt.Errorf("publish %s: %w", ev.GetType(), err)
		}
		encoded[i] = b
	}
	err := p.spool.Append(encoded...)
	switch {
	case err == nil:
	case errors.Is(err, spool.ErrTooLarge), errors.Is(err, spool.ErrClosed):
		return fmt.Errorf("publish: %w", err)
	default: // lost and counted by the spool; the runtime reports it
	}
	p.meter.add(len(events), p.now())
	return nil
}
