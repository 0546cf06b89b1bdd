package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// publisher completes, encodes and spools events.
type publisher struct {
	origin event.Origin
	host   atomic.Pointer[pb.Host] // of origin; events that were published share older ones
	spool  *spool.Spool
	meter  *meter
	unfit  unfit
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
	encoded, urgent := make([][]byte, 0, len(events)), false
	for _, ev := range events {
		b, err := p.encode(ev)
		if err != nil {
			p.unfit.note(ev.GetType(), err)
			continue
		}
		encoded = append(encoded, b)
		urgent = urgent || isUrgent(ev)
	}
	spooled := p.spool.Append
	if urgent {
		spooled = p.spool.AppendUrgent
	}
	// What a full or failing disk costs, the spool counts; the runtime reports it.
	if err := spooled(encoded...); errors.Is(err, spool.ErrClosed) {
		return fmt.Errorf("publish: %w", err)
	}
	p.meter.add(len(events), p.now())
	return nil
}

// isUrgent says that an event does not wait in the spool for others to be sent with:
// somebody may have to act on it, or judges by it whether the agent lives.
func isUrgent(ev *pb.Event) bool {
	return ev.GetSeverity() >= pb.Severity_SEVERITY_MEDIUM || ev.GetType() == event.TypeAgentHealth ||
		strings.HasPrefix(ev.GetType(), "finding.")
}

// encode completes one event and returns its wire form, which the spool takes
// and a hub finds well formed.
func (p *publisher) encode(ev *pb.Event) ([]byte, error) {
	if ev == nil {
		return nil, errNoEvent
	}
	ev.Agent, ev.Publisher = nil, "" // nobody publishes as another
	origin := p.origin
	origin.Host = p.host.Load()
	if err := origin.Complete(ev); err != nil {
		return nil, err
	}
	b, err := event.Encode(ev)
	if err != nil {
		return nil, err
	}
	if len(b) > spool.MaxEventBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", spool.ErrTooLarge, len(b), spool.MaxEventBytes)
	}
	envelope, err := event.Inspect(b)
	if err != nil {
		return nil, err
	}
	return b, envelope.CheckType(event.MakerAgent)
}
