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
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// MetadataUnsupervised is the key of Options.Unsupervised.
const MetadataUnsupervised = "amoskys-unsupervised-bin"

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
	ctx = metadata.AppendToOutgoingContext(ctx, identity.MetadataAgent, u.o.AgentID)
	if u.o.Unsupervised != nil {
		ctx = metadata.AppendToOutgoingContext(ctx, MetadataUnsupervised, string(u.o.Unsupervised))
	}
	s, err := pb.NewEventBusClient(conn).Publish(ctx)
	if err != nil {
		return 0, seen.explain(err, u.o.Explain)
	}
	u.setUp()

	silent := time.AfterFunc(u.o.AckTimeout, func() { cancel(errSilent) })
	silent.Stop()
	defer silent.Stop()
	x := &exchange{u: u, silent: silent, answered: make(chan struct{}, 1), told: make(chan struct{}), plain: u.distrust}
	u.distrust = false
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
	group.Go(func() error { return x.negotiate(s) })
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
	told     chan struct{} // closed when codec is known
	codec    codec.Codec   // what the hub takes, of ours; None for none
	plain    bool          // nothing is packed: the last connection ended over a batch
	acks     int           // only the receiver writes
	last     uint64        // the last sequence sent; only the sender writes
	waiting  bool          // RETRY was logged; only the receiver uses it
	enough   func()        // ends sending, but not what is on its way
	over     bool          // it was called; only the receiver uses it
}

// negotiate waits for what the hub says of codecs: at once, or, from one that does not
// know them, with its first answer. Its error is receive's to tell.
func (x *exchange) negotiate(s stream) error {
	header, err := s.Header()
	if err == nil && header != nil {
		x.codec = codec.Choose(header.Get(codec.Metadata)...)
		if !x.plain {
			x.u.noteCodec(x.codec)
		}
		close(x.told)
	}
	return nil
}

// send hands batches to gRPC until the context or the stream ends, or more does.
// The stream's own error comes from receive.
func (x *exchange) send(ctx, more context.Context, s stream) error {
	for first := true; ; {
		b, err := x.u.o.Spool.Next(more)
		if more.Err() != nil && ctx.Err() == nil {
			_ = s.CloseSend() // what is on its way is answered before the stream ends
			<-ctx.Done()
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		// The first makes every hub say, with its answer at the latest, what it takes.
		known := x.choice(ctx, first)
		request, err := x.u.request(&b, known)
		if err != nil {
			x.u.o.Spool.Discard(b.Sequence, err)
			continue
		}
		careful := x.u.noteSent(&b, request.Compressed != nil, x.silent)
		x.last, first = b.Sequence, false
		if err := s.Send(request); err != nil {
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

// choice is the codec that batches may be packed with. For the first batch it is what
// is known by now, for later ones it waits, as long as the hub may take to answer.
func (x *exchange) choice(ctx context.Context, first bool) codec.Codec {
	if x.plain {
		return codec.None
	}
	if first {
		select {
		case <-x.told:
			return x.codec
		default:
			return codec.None
		}
	}
	select {
	case <-x.told:
		return x.codec
	case <-ctx.Done():
		return codec.None
	}
}

// request makes the message for a batch: as it lies in the spool if the hub takes its
// codec, else with its events.
func (u *Uplink) request(b *spool.Batch, known codec.Codec) (*pb.PublishRequest, error) {
	r := &pb.PublishRequest{ProducerId: b.Producer[:], Sequence: b.Sequence}
	u.mu.Lock()
	_, short := u.short[b.Sequence]
	u.mu.Unlock()
	if b.Codec != codec.None && b.Codec == known && !short {
		r.Compressed, r.Codec = b.Packed, pb.Codec(b.Codec)
		return r, nil
	}
	var err error
	r.Events, err = b.Events()
	return r, err
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
		sent := x.u.noteAnswer(ack.GetSequence(), x.silent)
		switch ack.GetStatus() {
		case pb.PublishAck_STATUS_OK:
			x.waiting = false
			x.accept(ack, sent)
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
func (u *Uplink) noteSent(b *spool.Batch, packed bool, silent *time.Timer) (careful bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.sent) == 0 {
		silent.Reset(u.o.AckTimeout)
	}
	if !packed && b.Codec != codec.None {
		u.state.Unpacked++
	}
	u.sent[b.Sequence] = sending{at: time.Now(), events: b.Count, packed: packed}
	return u.careful
}

// noteAnswer stops the clock of a batch and returns what was sent.
func (u *Uplink) noteAnswer(seq uint64, silent *time.Timer) sending {
	u.mu.Lock()
	sent, ok := u.sent[seq]
	delete(u.sent, seq)
	if len(u.sent) == 0 {
		silent.Stop()
	} else {
		silent.Reset(u.o.AckTimeout)
	}
	u.mu.Unlock()
	if ok {
		u.o.OnAck(time.Since(sent.at))
	}
	return sent
}

// accept forgets a batch, unless the answer is about another with its number, or does
// not say of each event what became of it:
//
//	answer                            the batch
//	all stored or refused             is forgotten
//	duplicate                         is forgotten: the hub has it from an earlier try
//	duplicate, sent the first time    is another's: what waits gets a new producer id
//	duplicate, was answered short     nobody knows what the hub has: the same
//	fewer stored and refused          is sent again, unpacked
func (x *exchange) accept(ack *pb.PublishAck, sent sending) {
	seq := ack.GetSequence()
	told := int(ack.GetAccepted()) + len(ack.GetRefused())
	switch {
	case !ack.GetDuplicate() && sent.events > 0 && told != sent.events:
		x.short(ack, sent, told)
	case ack.GetDuplicate() && (x.u.o.Spool.FirstTry(seq) || x.u.wasShort(seq)):
		x.over = true
		x.enough()
	default:
		x.u.accept(ack)
	}
}

// short puts back a batch whose events the hub does not account for. The pause grows
// each time, so that a hub which does so again and again is not flooded.
func (x *exchange) short(ack *pb.PublishAck, sent sending, told int) {
	seq := ack.GetSequence()
	x.u.mu.Lock()
	x.u.state.Short++
	n := x.u.short[seq]
	x.u.short[seq] = n + 1
	x.u.mu.Unlock()
	x.u.o.Logger.Warn("hub did not account for all events of a batch, it is sent again unpacked", obs.KeySequence, seq,
		obs.KeyEvents, sent.events, "accounted", told, "packed", sent.packed)
	pause := min(minRetryPause<<min(n, 16), maxRetryPause)
	x.u.o.Spool.Retry(seq, pause)
	if n > 0 {
		x.u.putOff(seq, "it does not say what became of "+obs.Counted(uint64(sent.events), "event", "events"))
	}
}

func (u *Uplink) wasShort(seq uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ok := u.short[seq]
	return ok
}

func (u *Uplink) noteCodec(c codec.Codec) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state.Codec = c
}

func (u *Uplink) accept(ack *pb.PublishAck) {
	u.mu.Lock()
	u.careful = false
	delete(u.short, ack.GetSequence())
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
	u.o.OnAnswer(ack)
	u.o.Spool.Ack(ack.GetSequence()) // After the counts: who sees an empty spool sees them.
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
	x.u.putOff(ack.GetSequence(), ack.GetReason())
	if !x.waiting {
		x.waiting = true
		x.u.o.Logger.Warn("hub asks to wait", obs.KeyReason, ack.GetReason(), obs.KeyBackoff, pause)
	}
}

// putOff notes that the hub wants a batch later. The time counts from the first
// such answer until that batch is stored or gone: smaller ones may get through
// in between, on a disk that is nearly full.
func (u *Uplink) putOff(seq uint64, reason string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state.Retries++
	if u.state.WaitSince.IsZero() || !u.o.Spool.Holds(u.waits) {
		u.state.WaitSince, u.waits = time.Now(), seq
	}
	u.state.WaitReason = reason
}

// renew gives up the numbers of a spool that the hub cannot go by any more, or
// would take for those of other events: the spool was put back from a copy.
func (u *Uplink) renew(why error) {
	u.o.Logger.Warn("hub cannot tell what it has of the spool, what waits is sent under a new producer id", obs.KeyError, why)
	u.mu.Lock()
	clear(u.short)
	u.mu.Unlock()
	if err := u.o.Spool.Renew(); err != nil && !errors.Is(err, spool.ErrClosed) {
		u.o.Logger.Warn("new producer id not saved", obs.KeyError, err)
	}
}

// blame deals with a hub that ends the stream over a batch, which a hub of ours
// never does to one of ours: the next session packs nothing and sends one batch at a
// time, and one that ends a stream alone is given up, so that it cannot block all
// others.
func (u *Uplink) blame(err error, x *exchange) {
	code := status.Code(err)
	// What else a hub has too little of, such as room for streams, is not the batch's doing.
	tooLarge := code == codes.ResourceExhausted && (strings.Contains(err.Error(), "larger than max") || strings.Contains(err.Error(), "too many events"))
	if code != codes.InvalidArgument && code != codes.OutOfRange && !tooLarge {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.distrust = true
	if !u.careful || x.last == 0 {
		u.careful = true
		return
	}
	n := u.o.Spool.Ack(x.last)
	delete(u.short, x.last)
	u.state.Refused["batch"] += uint64(n)
	u.o.Logger.Error("hub refused a whole batch; its events are lost", obs.KeySequence, x.last, obs.KeyEvents, n, obs.KeyError, err)
}
