package hub

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/hub/admit"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// unaryEvent is one PublishEvent call. The log may outlive the call, so what it
// needs is here.
type unaryEvent struct {
	bus       *bus
	publisher string
	id        [16]byte
	size      int64
	data      mem.Buffer
	record    stream.Record
	settledBy chan result // takes one value
}

type result struct {
	first stream.Offset
	err   error
}

// publishEvent stores one event.
func (b *bus) publishEvent(ctx context.Context, in *message) (*pb.PublishAck, error) {
	received := b.now()
	data := in.data.MaterializeToBuffer(mem.DefaultBufferPool())
	in.free()
	from, err := b.senderOf(ctx)
	if err != nil {
		data.Free()
		return nil, err
	}
	encoded := data.ReadOnlyData()
	envelope, refusal := admit.Judge(encoded, &from.rules)
	if refusal != nil {
		data.Free()
		return nil, b.refuseEvent(from.publisher, refusal)
	}
	if !b.begin() {
		data.Free()
		return nil, errStopping
	}
	b.meter.inQueue.Add(1)
	defer b.meter.inQueue.Add(-1)
	s := &unaryEvent{
		bus: b, publisher: from.publisher, id: envelope.ID, size: int64(len(encoded)),
		data: data, settledBy: make(chan result, 1),
	}
	ack, err := s.store(ctx, encoded, received)
	if err != nil {
		return nil, err
	}
	if !ack.GetDuplicate() {
		skewed := 0
		if from.rules.Skewed(&envelope, received) {
			skewed = 1
		}
		b.metrics.stored(1, len(encoded), skewed)
	}
	b.metrics.answered(received, b.now(), func() prometheus.Labels {
		labels := prometheus.Labels{"event": envelope.ID.String()}
		if !ack.GetDuplicate() {
			labels["offset"] = strconv.FormatUint(ack.GetFirstOffset(), 10)
		}
		return labels
	})
	return ack, nil
}

// refuseEvent says why a single event cannot be stored, ever.
func (b *bus) refuseEvent(publisher string, r *admit.Refusal) error {
	b.metrics.refused.WithLabelValues(r.Reason.String()).Inc()
	b.metrics.nothing.Inc()
	b.metrics.fail("refused_event")
	b.limiter.Warn("refused_event", "event refused", slog.String(obs.KeyReason, r.Reason.String()),
		slog.String(obs.KeyIdentity, publisher), slog.String("detail", clip(r.Detail)))
	return status.Errorf(codes.InvalidArgument, "%s: %s", r.Reason, clip(r.Detail))
}

// store submits the event and waits. It sees to it that bus.working.Done is
// called once the log has no more use for the event.
func (s *unaryEvent) store(ctx context.Context, encoded []byte, received time.Time) (*pb.PublishAck, error) {
	b := s.bus
	duplicate := b.ledger.ClaimEvent(s.publisher, s.id) == admit.Duplicate
	var err error
	if duplicate {
		err = b.log.Barrier(s.barrier)
	} else {
		err = s.submit(ctx, encoded, received)
	}
	if err != nil {
		s.data.Free()
		b.working.Done()
		return nil, s.retry(ctx, err)
	}
	select {
	case r := <-s.settledBy:
		if r.err != nil {
			return nil, s.retry(ctx, r.err)
		}
		if duplicate {
			b.metrics.duplicates.Inc()
		}
		return &pb.PublishAck{
			Status: pb.PublishAck_STATUS_OK, FirstOffset: r.first, Accepted: 1, Duplicate: duplicate,
		}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err() // the event may still be stored
	}
}

func (s *unaryEvent) submit(ctx context.Context, encoded []byte, received time.Time) error {
	b := s.bus
	if err := s.enter(ctx); err != nil {
		b.ledger.EventFailed(s.publisher, s.id)
		return err
	}
	head := codec.AppendHead(nil, len(encoded))
	s.record = stream.Record{Publisher: s.publisher, Received: received, Count: 1, Payload: [][]byte{head, encoded}}
	err := b.log.Submit(&s.record, s.settled)
	if err != nil {
		s.leave()
		b.ledger.EventFailed(s.publisher, s.id)
	}
	return err
}

// enter waits for room, as a batch does.
func (s *unaryEvent) enter(ctx context.Context) error {
	r := &s.bus.rooms
	if err := r.arrived.enter(ctx, s.publisher, s.size, 0); err != nil {
		return err
	}
	err := r.queue.enter(ctx, s.publisher, s.size, r.patience)
	if err != nil {
		r.arrived.leave(s.publisher, s.size)
	}
	return err
}

func (s *unaryEvent) leave() {
	s.bus.rooms.queue.leave(s.publisher, s.size)
	s.bus.rooms.arrived.leave(s.publisher, s.size)
}

// settled is called by the log's goroutine.
func (s *unaryEvent) settled(first stream.Offset, err error) {
	b := s.bus
	if err == nil {
		b.ledger.EventStored(s.publisher, s.id)
	} else {
		b.ledger.EventFailed(s.publisher, s.id)
	}
	s.leave()
	s.data.Free()
	s.settledBy <- result{first, err}
	b.working.Done()
}

// barrier is called by the log's goroutine when what came before is durable.
func (s *unaryEvent) barrier(err error) {
	if err == nil && !s.bus.ledger.HasEvent(s.publisher, s.id) {
		err = stream.ErrBusy // the original failed: try again
	}
	s.data.Free()
	s.settledBy <- result{0, err}
	s.bus.working.Done()
}

// retry turns a failure of the log into a status that says when to try again.
func (s *unaryEvent) retry(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	t := troubleOf(err)
	s.bus.note(t, s.publisher, err)
	st, detailErr := status.New(t.code, t.text+": try again").
		WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(t.backoff)})
	if detailErr != nil {
		return status.Error(t.code, t.text)
	}
	return st.Err()
}
