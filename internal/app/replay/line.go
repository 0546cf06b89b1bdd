package replay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// silentAfter is how long the hub may leave batches without an answer.
const silentAfter = 30 * time.Second

// Bounds of the pause that a RETRY asks for.
const (
	shortestRetry = 50 * time.Millisecond
	longestRetry  = 10 * time.Second
)

// line is the way to the hub, over one connection after another.
type line struct {
	p       *Publisher
	tls     *tls.Config
	pending []*batch  // sent, or to be sent again, in order; at most window
	heard   time.Time // when the hub answered last
	over    bool      // the queue is closed
	told    bool      // that the hub is away
}

// refused is an error that no other try mends.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// passes reports whether the hub may take what is sent some time later.
func passes(err error) bool {
	_, never := errors.AsType[refused](err)
	return !never
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// explain says in words what a connection ended with.
func (l *line) explain(err error) error {
	_, rejected := errors.AsType[*identity.Rejection](identity.ExplainHandshake(err, l.p.o.Files, l.p.o.Now()))
	code := status.Code(err)
	said := remote.Explain(err, l.p.o.Hub, "", l.p.o.Files, l.p.o.Now())
	switch code {
	case codes.PermissionDenied, codes.Unauthenticated, codes.InvalidArgument, codes.Unimplemented, codes.FailedPrecondition:
		return refused{said}
	default:
	}
	if rejected {
		return refused{fmt.Errorf("%w; without certs/%s.crt another is got", said, identity.AgentName(event.KindReplay))}
	}
	return said
}

// answer is what came of the hub's side.
type answer struct {
	ack *pb.PublishAck
	err error
}

// session is one connection. It returns nil when all is sent and answered.
func (l *line) session(ctx context.Context) error {
	if l.over && len(l.pending) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := dial.NewClient(l.p.o.Hub, l.p.o.Dial, credentials.NewTLS(l.tls),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: silentAfter, Timeout: 10 * time.Second}),
		grpc.WithUserAgent("amoskys-replay"), grpc.WithDisableRetry())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // What counts was answered.
	watch := time.AfterFunc(silentAfter, cancel)
	defer watch.Stop()
	s, err := pb.NewEventBusClient(conn).Publish(metadata.AppendToOutgoingContext(ctx, identity.MetadataAgent, event.KindReplay))
	if err != nil {
		return err
	}
	header, err := s.Header()
	if err != nil {
		return err
	}
	watch.Stop()
	l.heard, l.told = l.p.o.Now(), false
	packing := codec.Choose(header.Get(codec.Metadata)...)
	answers, heard := make(chan answer), make(chan struct{})
	defer func() { cancel(); <-heard }()
	go func() {
		defer close(heard)
		for {
			ack, err := s.Recv()
			select {
			case answers <- answer{ack, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	began := l.heard
	err = l.exchange(ctx, s, packing, answers)
	if now := l.p.o.Now(); now.Sub(began) > time.Second { // It was there until now, though it had nothing to answer.
		l.heard = now
	}
	return err
}

// exchange sends what has no answer, and then what comes.
func (l *line) exchange(ctx context.Context, s grpc.BidiStreamingClient[pb.PublishRequest, pb.PublishAck], packing codec.Codec, answers <-chan answer) error {
	for _, b := range l.pending {
		b.again = false
		if err := s.Send(b.request(packing)); err != nil {
			return ended(ctx, answers, err)
		}
	}
	silent, retry := time.NewTimer(silentAfter), time.NewTimer(time.Hour)
	defer silent.Stop()
	defer retry.Stop()
	retry.Stop()
	for !l.over || len(l.pending) > 0 {
		queue := l.p.queue
		if l.over || len(l.pending) >= window {
			queue = nil
		}
		select {
		case b, open := <-queue:
			if !open {
				l.over = true
				continue
			}
			if len(l.pending) == 0 {
				silent.Reset(silentAfter)
			}
			l.pending = append(l.pending, b)
			if err := s.Send(b.request(packing)); err != nil {
				return ended(ctx, answers, err)
			}
		case a := <-answers:
			if a.err != nil {
				return a.err
			}
			silent.Reset(silentAfter)
			l.heard = l.p.o.Now()
			if pause := l.take(a.ack); pause > 0 {
				retry.Reset(pause)
			}
		case <-retry.C:
			for _, b := range l.pending {
				if !b.again {
					continue
				}
				b.again = false
				if err := s.Send(b.request(packing)); err != nil {
					return ended(ctx, answers, err)
				}
			}
		case <-silent.C:
			if len(l.pending) > 0 {
				return fmt.Errorf("the hub at %s has not answered for %s", l.p.o.Hub, silentAfter)
			}
			silent.Reset(silentAfter)
		case <-ctx.Done():
			return fmt.Errorf("publish: %w", ctx.Err())
		}
	}
	return nil
}

// ended is why a stream broke: Recv's error says more than Send's.
func ended(ctx context.Context, answers <-chan answer, err error) error {
	for {
		select {
		case a := <-answers:
			if a.err != nil {
				return a.err
			}
		case <-ctx.Done():
			return err
		}
	}
}

// take notes an answer. It returns how long to wait before batches are sent again, 0
// where none is to be.
func (l *line) take(ack *pb.PublishAck) time.Duration {
	at := -1
	for i, b := range l.pending {
		if b.sequence == ack.GetSequence() {
			at = i
		}
	}
	if at < 0 {
		return 0
	}
	b := l.pending[at]
	if ack.GetStatus() != pb.PublishAck_STATUS_OK {
		b.again = true
		return min(max(ack.GetBackoff().AsDuration(), shortestRetry), longestRetry)
	}
	l.pending = append(l.pending[:at], l.pending[at+1:]...)
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.p.counts.take(b, ack)
	if l.p.refusal == "" && len(ack.GetRefused()) > 0 {
		l.p.refusal = ack.GetRefused()[0].GetDetail()
	}
	return 0
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

// request is the message for a batch, packed if the hub takes that.
func (b *batch) request(packing codec.Codec) *pb.PublishRequest {
	r := &pb.PublishRequest{ProducerId: b.producer[:], Sequence: b.sequence}
	if packing == codec.None {
		r.Events = b.events
		return r
	}
	var run []byte
	for _, e := range b.events {
		run = codec.AppendEvent(run, e)
	}
	r.Compressed, r.Codec = packing.Pack(nil, run), pb.Codec(packing)
	return r
}
