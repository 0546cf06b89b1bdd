package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/agent/uplink"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	// silentAfter is how long the hub may leave batches without an answer.
	silentAfter = 30 * time.Second
	// longestPause is the longest before the hub is dialled again.
	longestPause = 3 * time.Second
	// wasThere is how long a connection lasts by which the hub was there, though it may
	// have had nothing to answer.
	wasThere = time.Second
)

// line is the way to the hub: that of agents, with an end.
type line struct {
	p     *Publisher
	held  *held
	way   *uplink.Uplink
	heard time.Time // when the hub was there last
	told  bool      // that it is away
}

// run sends until the queue is closed and all is answered, until ctx ends, or until the
// hub refuses us or is away for too long.
func (p *Publisher) run(ctx context.Context) error {
	tlsConfig, err := identity.ClientConfig(p.o.Files, identity.ClientOptions{ServerName: hostOf(p.o.Hub)})
	if err != nil {
		return err
	}
	l := &line{p: p, held: newHeld(p.queue), heard: p.o.Now()}
	l.way = uplink.New(uplink.Options{
		Addr: p.o.Hub, AgentID: event.KindReplay, TLS: tlsConfig, Spool: l.held, Logger: obs.Discard(), Version: obs.ReadBuild().Version,
		Dial: p.o.Dial, MaxBackoff: longestPause, AckTimeout: silentAfter, OnAnswer: l.answered, GiveUp: l.giveUp,
		Explain: func(err error) error { return identity.ExplainHandshake(err, p.o.Files, p.o.Now()) },
	})
	switch err := l.way.Run(ctx); {
	case errors.Is(err, spool.ErrClosed):
		return l.held.failed()
	case err == nil:
		return fmt.Errorf("publish: %w", context.Cause(ctx))
	default:
		return err
	}
}

// answered counts what became of a batch.
func (l *line) answered(ack *pb.PublishAck) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.heard, l.told = l.p.o.Now(), false
	if b := l.held.find(ack.GetSequence()); b != nil {
		l.p.counts.take(b, ack)
	}
	if l.p.refusal == "" && len(ack.GetRefused()) > 0 {
		l.p.refusal = ack.GetRefused()[0].GetDetail()
	}
}

// giveUp says whether a connection that ended is the last.
func (l *line) giveUp(why error) error {
	never, said := l.explain(why)
	if never {
		return said
	}
	now := l.p.o.Now()
	l.p.mu.Lock()
	if s := l.way.State(); s.Connected && time.Since(s.Since) > wasThere {
		l.heard, l.told = now, false
	}
	away, told := now.Sub(l.heard), l.told
	l.told = true
	l.p.mu.Unlock()
	if away > l.p.o.Patience {
		return fmt.Errorf("%w for %s: %w", ErrGone, away.Round(time.Second), said)
	}
	if !told {
		l.p.o.Away(said)
	}
	return nil
}

// explain says whether no other try mends what a connection ended with, and what that is
// in words.
func (l *line) explain(err error) (never bool, said error) {
	_, rejected := errors.AsType[*identity.Rejection](identity.ExplainHandshake(err, l.p.o.Files, l.p.o.Now()))
	said = remote.Explain(err, l.p.o.Hub, "", l.p.o.Files, l.p.o.Now())
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument, codes.Unimplemented, codes.FailedPrecondition:
		return true, said
	default:
	}
	if rejected {
		return true, fmt.Errorf("%w; without certs/%s.crt another is got", said, identity.AgentName(event.KindReplay))
	}
	return false, said
}

// take counts what an answer says of the events of a batch.
func (c *Counts) take(b *batch, ack *pb.PublishAck) {
	if ack.GetDuplicate() {
		for _, finding := range b.finds {
			c.of(finding).Duplicates++
		}
		return
	}
	refused := make([]bool, len(b.finds))
	for _, r := range ack.GetRefused() {
		if at := int(r.GetIndex()); at < len(refused) {
			refused[at] = true
		}
	}
	for i, finding := range b.finds {
		if refused[i] {
			c.of(finding).Refused++
		} else {
			c.of(finding).Stored++
		}
	}
}

func (c *Counts) of(finding bool) *Outcome {
	if finding {
		return &c.Findings
	}
	return &c.Outcome
}
