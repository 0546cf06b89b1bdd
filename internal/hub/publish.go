package hub

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/hub/admit"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// Publish takes batches from one sender. The handler's goroutine sends acks in
// order; a second one receives, checks and submits. A batch lives in a slot from
// receipt to ack, and there are maxInFlight of them, so that a sender which does
// not read its acks is stopped by flow control.
func (b *bus) Publish(stream grpc.BidiStreamingServer[pb.PublishRequest, pb.PublishAck]) error {
	from, err := b.senderOf(stream.Context())
	if err != nil {
		return err
	}
	// A sender packs only after it has seen this, so it is told before its first batch.
	if err := stream.SendHeader(metadata.Pairs(codec.Metadata, codec.Announce(codec.Known()))); err != nil {
		return err
	}
	if !b.begin() {
		return errStopping
	}
	p := &publication{
		bus: b, stream: stream, sender: from,
		order: make(chan *slot, b.maxInFlight),
		free:  make(chan *slot, b.maxInFlight),
		ended: make(chan struct{}),
		links: b.spans.ofCaller(stream.Context()),
	}
	defer b.noteUnsupervised(stream.Context(), &p.sender)()
	go p.receive()
	return p.acknowledge()
}

// publication is one Publish stream.
type publication struct {
	bus    *bus
	stream grpc.ServerStream
	sender sender
	links  []trace.Link // of the traces of its batches

	order chan *slot // received, in order; closed by receive, which sets err before
	free  chan *slot
	made  int           // slots that exist; receive's alone
	ended chan struct{} // closed when acknowledge returns
	err   error         // what the stream ends with

	mu     sync.Mutex // guards closed
	closed bool       // nothing may be submitted any more
}

// outcome is what became of a batch.
type outcome uint8

const (
	outcomeStored    outcome = iota + 1 // submitted; err tells
	outcomeDuplicate                    // behind a barrier; the ledger tells
	outcomeNothing                      // no event of it was accepted
	outcomeRetry                        // not submitted; err tells why
)

// slot is one batch on its way.
type slot struct {
	of       *publication
	message  message
	request  admit.Request
	record   stream.Record
	received time.Time
	size     int64 // bytes of message
	here     bool  // size counts in what has arrived of the sender
	events   int64 // counted in the meter
	outcome  outcome
	first    stream.Offset
	err      error
	at       steps         // while traces are made
	done     chan struct{} // takes one value when outcome is settled
	settle   func(stream.Offset, error)
	passed   func(error)
	named    func() prometheus.Labels
}

// receive reads batches until the stream ends or breaks.
func (p *publication) receive() {
	defer p.bus.working.Done()
	defer close(p.order)
	for {
		s := p.slot()
		if s == nil {
			return
		}
		if err := p.stream.RecvMsg(&s.message); err != nil {
			if !errors.Is(err, io.EOF) {
				p.err = err
			}
			return
		}
		s.received, s.size = p.bus.now(), int64(s.message.data.Len())
		if !p.accept(s) {
			s.free()
			return
		}
	}
}

// slot waits for one to be free; nil means that the stream has ended.
func (p *publication) slot() *slot {
	if p.made < cap(p.free) {
		select {
		case s := <-p.free:
			return s
		default:
		}
		p.made++
		s := &slot{of: p, done: make(chan struct{}, 1)}
		s.settle, s.passed, s.named, s.request.Room = s.settled, s.barrier, s.exemplar, (*unpacking)(s)
		return s
	}
	select {
	case s := <-p.free:
		return s
	case <-p.ended:
		return nil
	}
}

// accept checks a batch and puts it on its way. It returns false when the stream
// must end, with p.err set.
func (p *publication) accept(s *slot) bool {
	b := p.bus
	s.err, s.first, s.at = nil, 0, steps{}
	if err := s.request.Parse(s.message.pieces, &p.sender.rules, s.received); errors.Is(err, admit.ErrNoRoom) {
		s.err = err
	} else if err != nil {
		p.err = b.malformed(p.stream.Context(), p.sender.publisher, err)
		return false
	}
	s.events = int64(s.request.Count + len(s.request.Refused))
	b.meter.inQueue.Add(s.events)
	b.meter.inflight.Add(1)
	ok := p.submit(s)
	if !ok {
		b.meter.inQueue.Add(-s.events)
		b.meter.inflight.Add(-1)
	}
	return ok
}

func (b *bus) malformed(ctx context.Context, publisher string, err error) error {
	code, reason := codes.InvalidArgument, "malformed_request"
	switch {
	case errors.Is(err, admit.ErrTooManyEvents), errors.Is(err, admit.ErrTooManyBad):
		code, reason = codes.ResourceExhausted, "too_many_events"
	case errors.Is(err, admit.ErrTooLarge):
		code, reason = codes.ResourceExhausted, "message_too_large"
	case errors.Is(err, admit.ErrUnknownCodec):
		reason = "unknown_codec"
	}
	b.metrics.fail(reason)
	b.limiter.Warn(reason, "publish stream refused", slog.String(obs.KeyReason, reason),
		slog.String(obs.KeyIdentity, publisher), slog.String(obs.KeyPeer, peerAddr(ctx)), slog.Any(obs.KeyError, err))
	return status.Error(code, err.Error())
}

// submit gives a batch to the log, or settles it at once.
func (p *publication) submit(s *slot) bool {
	b, r := p.bus, &s.request
	if s.err != nil {
		return p.pushRetry(s)
	}
	if r.Count == 0 {
		return p.push(s, outcomeNothing, func() error { s.done <- struct{}{}; return nil })
	}
	if r.HasProducer {
		switch b.ledger.Claim(p.sender.publisher, r.ProducerID, r.Sequence, s.received) {
		case admit.New:
		case admit.Duplicate:
			return p.push(s, outcomeDuplicate, func() error { return b.log.Barrier(s.passed) })
		case admit.Stale:
			b.metrics.fail("stale_sequence")
			p.err = status.Errorf(codes.FailedPrecondition,
				"sequence %d is %d or more behind the newest one of its producer, so it cannot be told whether it is stored: send it with a new producer_id",
				r.Sequence, admit.WindowSize)
			return false
		}
	}
	if s.err = s.enter(); s.err != nil {
		p.unclaim(s)
		return p.pushRetry(s)
	}
	s.record = stream.Record{
		Publisher: p.sender.publisher,
		Received:  s.received, Count: r.Count, Payload: r.Payload, Codec: r.Codec,
	}
	if r.HasProducer {
		s.record.ProducerID, s.record.Sequence = r.ProducerID, r.Sequence
	}
	if b.spans != nil {
		s.at.submitted = b.now()
	}
	ok := p.push(s, outcomeStored, func() error {
		err := b.log.Submit(&s.record, s.settle)
		if err != nil {
			p.unclaim(s)
			s.leave()
		}
		return err
	})
	if !ok {
		p.unclaim(s)
		s.leave()
	}
	return ok
}

// pushRetry answers a batch that there was no room for with RETRY.
func (p *publication) pushRetry(s *slot) bool {
	if p.stream.Context().Err() != nil {
		return false // the client is gone, and nobody waits for an answer
	}
	return p.push(s, outcomeRetry, func() error { s.done <- struct{}{}; return nil })
}

// push starts a batch and queues it for its ack, both unless the stream has been
// closed, so that whatever the log takes is also waited for. When start fails
// the batch is answered with RETRY.
func (p *publication) push(s *slot, o outcome, start func() error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.err = errStopping
		return false
	}
	s.outcome = o
	if o != outcomeStored {
		s.free()
	}
	if err := start(); err != nil {
		s.outcome, s.err = outcomeRetry, err
		s.free()
		s.done <- struct{}{}
	}
	p.order <- s // has room for every slot
	return true
}

func (p *publication) unclaim(s *slot) {
	if s.request.HasProducer {
		p.bus.ledger.Failed(p.sender.publisher, s.request.ProducerID, s.request.Sequence)
	}
}

// settled is called by the log's goroutine when the batch is durable, or failed.
func (s *slot) settled(first stream.Offset, err error) {
	p := s.of
	s.first, s.err = first, err
	if p.bus.spans != nil {
		s.at.durable = p.bus.now()
	}
	if s.request.HasProducer && err == nil {
		p.bus.ledger.Stored(p.sender.publisher, s.request.ProducerID, s.request.Sequence)
	} else {
		p.unclaim(s)
	}
	s.leave()
	s.free() // not only after the ack, which waits for its reader
	s.done <- struct{}{}
}

// barrier is called by the log's goroutine when what came before a duplicate is
// durable, or failed.
func (s *slot) barrier(err error) {
	if err == nil && !s.of.bus.ledger.Has(s.of.sender.publisher, s.request.ProducerID, s.request.Sequence) {
		err = stream.ErrBusy // the original was not stored: this one may be, next time
	}
	s.err = err
	s.done <- struct{}{}
}

// acknowledge answers batches in order until receive ends, or the hub stops.
func (p *publication) acknowledge() error {
	defer close(p.ended)
	var broken bool // the client is gone; batches are still waited for
	for {
		select {
		case s, ok := <-p.order:
			if !ok {
				return p.err
			}
			p.answer(s, &broken)
		case <-p.bus.draining:
			p.mu.Lock()
			p.closed = true
			p.mu.Unlock()
			return p.finish(broken)
		}
	}
}

// finish answers what was accepted before the stream was closed.
func (p *publication) finish(broken bool) error {
	for {
		select {
		case s, ok := <-p.order:
			if !ok {
				return errStopping
			}
			p.answer(s, &broken)
		default:
			return errStopping
		}
	}
}

func (p *publication) answer(s *slot, broken *bool) {
	<-s.done
	if !*broken {
		out := message{data: mem.BufferSlice{mem.SliceBuffer(p.ack(s))}}
		*broken = p.stream.SendMsg(&out) != nil
	}
	now := p.bus.now()
	p.bus.metrics.answered(s.received, now, s.named)
	p.bus.spans.answered(p, s, now)
	p.bus.meter.inQueue.Add(-s.events)
	p.bus.meter.inflight.Add(-1)
	s.record = stream.Record{}
	s.request.Forget()
	p.free <- s
}

// exemplar names a batch: by the offset of its first event, where it was stored, and by its
// producer and its number there.
func (s *slot) exemplar() prometheus.Labels {
	labels := prometheus.Labels{}
	if s.outcome == outcomeStored && s.err == nil {
		labels["offset"] = strconv.FormatUint(s.first, 10)
	}
	if s.request.HasProducer {
		labels["batch"] = hex.EncodeToString(s.request.ProducerID[:]) + "-" + strconv.FormatUint(s.request.Sequence, 10)
	}
	return labels
}

// ack counts what became of a batch and encodes the answer.
func (p *publication) ack(s *slot) []byte {
	x, r := p.bus.metrics, &s.request
	for i := range r.Refused {
		x.refused.WithLabelValues(r.Refused[i].Reason.String()).Inc()
	}
	if len(r.Refused) > 0 {
		x.fail("refused_event")
	}
	switch {
	case s.err != nil:
		t := troubleOf(s.err)
		p.bus.note(t, p.sender.publisher, s.err)
		return mustMarshal(&pb.PublishAck{
			Sequence: r.Sequence, Status: pb.PublishAck_STATUS_RETRY,
			Backoff: durationpb.New(t.backoff), Reason: t.text,
		})
	case s.outcome == outcomeDuplicate:
		x.duplicates.Inc()
	case s.outcome == outcomeNothing:
		x.nothing.Inc()
	default:
		x.stored(r.Count, r.Bytes, r.Skewed)
		if r.Codec != codec.None {
			x.packed.WithLabelValues(r.Codec.String()).Inc()
		}
	}
	if len(r.Refused) > 0 {
		return mustMarshal(refusing(s))
	}
	return appendAck(make([]byte, 0, 32), r.Sequence, s.first, r.Count, s.outcome == outcomeDuplicate)
}

func refusing(s *slot) *pb.PublishAck {
	r := &s.request
	ack := &pb.PublishAck{
		Sequence: r.Sequence, Status: pb.PublishAck_STATUS_OK, FirstOffset: s.first,
		Duplicate: s.outcome == outcomeDuplicate, Accepted: uint32(r.Count),
	}
	for _, f := range r.Refused {
		ack.Refused = append(ack.Refused, &pb.RefusedEvent{Index: f.Index, Reason: f.Reason, Detail: clip(f.Detail)})
	}
	return ack
}

// mustMarshal encodes a message of ours; that cannot fail for valid UTF-8.
func mustMarshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}
