package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// MetadataAgent is the key under which a stream names its agent.
const MetadataAgent = "amoskys-agent-id"

// Bounds of the pause that a RETRY asks for.
const (
	minRetryPause = 50 * time.Millisecond
	maxRetryPause = 30 * time.Second
)

type stream = grpc.BidiStreamingClient[pb.PublishRequest, pb.PublishAck]

// session is one connection from dialling to its end. It reports how many
// batches were answered; the error is never nil.
func (u *Uplink) session(ctx context.Context, r *reporter) (acks int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conn, seen, err := u.dial()
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	ctx = metadata.AppendToOutgoingContext(ctx, MetadataAgent, u.o.AgentID)
	s, err := pb.NewEventBusClient(conn).Publish(ctx)
	if err != nil {
		return 0, seen.explain(err, u.o.Explain)
	}
	u.setUp()

	silent := time.AfterFunc(u.o.AckTimeout, func() { cancel(errSilent) })
	silent.Stop()
	defer silent.Stop()
	x := &exchange{u: u, silent: silent, answered: make(chan struct{}, 1)}
	group, ctx := errgroup.WithContext(ctx)
	more, enough := context.WithCancel(ctx)
	defer enough()
	x.enough = enough
	// Whoever ends first ends the other: one may be blocked in the spool, one in gRPC.
	group.Go(func() error {
		err := x.send(ctx, more, s)
		cancel(err)
		return err
	})
	group.Go(func() error {
		err := seen.explain(x.receive(s, r), u.o.Explain)
		cancel(err)
		return err
	})
	err = group.Wait()
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		err = cause
	}
	if x.over || status.Code(err) == codes.FailedPrecondition {
		u.renew(err)
	}
	u.blame(err, x)
	return x.acks, err
}

// exchange is what the two directions of a stream share.
type exchange struct {
	u        *Uplink
	silent   *time.Timer
	answered chan struct{} // capacity 1; signals an answer to a careful sender
	acks     int           // only the receiver writes
	last     uint64        // the last sequence sent; only the sender writes
	waiting  bool          // RETRY was logged; only the receiver uses it
	enough   func()        // ends sending, but not what is on its way
	over     bool          // it was called; only the receiver uses it
}

// send hands batches to gRPC until the context or the stream ends, or more does.
// The stream's own error comes from receive.
func (x *exchange) send(ctx, more context.Context, s stream) error {
	for {
		b, err := x.u.o.Spool.Next(more)
		if more.Err() != nil && ctx.Err() == nil {
			_ = s.CloseSend() // what is on its way is answered before the stream ends
			<-ctx.Done()
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		careful := x.u.noteSent(b.Sequence, x.silent)
		x.last = b.Sequence
		err = s.Send(&pb.PublishRequest{ProducerId: b.Producer[:], Sequence: b.Sequence, Events: b.Events})
		if err != nil {
			// io.EOF: the stream is broken and receive learns why.
			<-ctx.Done()
			return context.Cause(ctx)
		}
		if !careful {
			continue
		}
		select {
		case <-x.answered:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// receive handles answers until the stream ends.
func (x *exchange) receive(s stream, r *reporter) error {
	for {
		ack, err := s.Recv()
		switch {
		case x.over && errors.Is(err, io.EOF):
			return errReused
		case err != nil:
			return err
		}
		if x.acks == 0 {
			r.up()
		}
		x.acks++
		x.u.noteAnswer(ack.GetSequence(), x.silent)
		switch ack.GetStatus() {
		case pb.PublishAck_STATUS_OK:
			x.waiting = false
			x.accept(ack)
		case pb.PublishAck_STATUS_RETRY:
			x.retry(ack)
		case pb.PublishAck_STATUS_UNSPECIFIED:
			fallthrough
		default:
			return fmt.Errorf("the hub answered batch %d with the unknown status %d", ack.GetSequence(), ack.GetStatus())
		}
		if x.over {
			x.silent.Reset(x.u.o.AckTimeout) // until the stream ends
		}
		select {
		case x.answered <- struct{}{}:
		default:
		}
	}
}

// noteSent starts the clock of a batch. It reports whether batches go one by one.
func (u *Uplink) noteSent(seq uint64, silent *time.Timer) (careful bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.sent) == 0 {
		silent.Reset(u.o.AckTimeout)
	}
	u.sent[seq] = time.Now()
	return u.careful
}

func (u *Uplink) noteAnswer(seq uint64, silent *time.Timer) {
	u.mu.Lock()
	at, ok := u.sent[seq]
	delete(u.sent, seq)
	if len(u.sent) == 0 {
		silent.Stop()
	} else {
		silent.Reset(u.o.AckTimeout)
	}
	u.mu.Unlock()
	if ok {
		u.o.OnAck(time.Since(at))
	}
}

// accept forgets a batch, unless the answer is about another with its number.
func (x *exchange) accept(ack *pb.PublishAck) {
	if !ack.GetDuplicate() || !x.u.o.Spool.FirstTry(ack.GetSequence()) {
		x.u.accept(ack)
		return
	}
	x.over = true
	x.enough()
}

func (u *Uplink) accept(ack *pb.PublishAck) {
	u.o.Spool.Ack(ack.GetSequence())
	u.mu.Lock()
	u.careful = false
	u.state.Batches++
	if ack.GetSequence() == u.waits {
		u.state.WaitSince, u.state.WaitReason = time.Time{}, ""
	}
	if ack.GetDuplicate() {
		u.state.Duplicates++
	}
	for _, refused := range ack.GetRefused() {
		u.state.Refused[reasonName(refused.GetReason())]++
	}
	u.mu.Unlock()
	for _, refused := range ack.GetRefused() {
		reason := reasonName(refused.GetReason())
		if u.logged[reason] {
			continue
		}
		u.logged[reason] = true
		u.o.Logger.Warn("hub refused an event; further ones for this reason are only counted",
			obs.KeyReason, reason, "detail", refused.GetDetail())
	}
}

func (x *exchange) retry(ack *pb.PublishAck) {
	pause := min(max(ack.GetBackoff().AsDuration(), minRetryPause), maxRetryPause)
	pause += rand.N(pause/4 + 1) //nolint:gosec // jitter needs no secrecy
	x.u.o.Spool.Retry(ack.GetSequence(), pause)
	x.u.putOff(ack)
	if !x.waiting {
		x.waiting = true
		x.u.o.Logger.Warn("hub asks to wait", obs.KeyReason, ack.GetReason(), obs.KeyBackoff, pause)
	}
}

// putOff notes that the hub wants a batch later. The time counts from the first
// such answer until that batch is stored or gone: smaller ones may get through
// in between, on a disk that is nearly full.
func (u *Uplink) putOff(ack *pb.PublishAck) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state.Retries++
	if u.state.WaitSince.IsZero() || !u.o.Spool.Holds(u.waits) {
		u.state.WaitSince, u.waits = time.Now(), ack.GetSequence()
	}
	u.state.WaitReason = ack.GetReason()
}

// renew gives up the numbers of a spool that the hub cannot go by any more, or
// would take for those of other events: the spool was put back from a copy.
func (u *Uplink) renew(why error) {
	u.o.Logger.Warn("hub cannot tell what it has of the spool, what waits is sent under a new producer id", obs.KeyError, why)
	if err := u.o.Spool.Renew(); err != nil && !errors.Is(err, spool.ErrClosed) {
		u.o.Logger.Warn("new producer id not saved", obs.KeyError, err)
	}
}

// blame deals with a hub that ends the stream over a batch, which a hub of ours
// never does to one of ours: the next session sends one batch at a time, and one
// that ends a stream alone is given up, so that it cannot block all others.
func (u *Uplink) blame(err error, x *exchange) {
	code := status.Code(err)
	tooLarge := code == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max")
	if code != codes.InvalidArgument && code != codes.OutOfRange && !tooLarge {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.careful || x.last == 0 {
		u.careful = true
		return
	}
	n := u.o.Spool.Ack(x.last)
	u.state.Refused["batch"] += uint64(n)
	u.o.Logger.Error("hub refused a whole batch; its events are lost", obs.KeySequence, x.last, obs.KeyEvents, n, obs.KeyError, err)
}
