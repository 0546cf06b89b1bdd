package dashboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/logsql"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
)

// maxBehind is how many events a resumed stream catches up with. A tab that was
// away for longer gets a gap, and reads the rest by search.
const maxBehind = 50_000

// Pauses between tries to reach the hub again.
const (
	firstPause   = 300 * time.Millisecond
	longestPause = 5 * time.Second
)

// eventSink takes what an eventReader reads.
type eventSink interface {
	// begin is called before the first delivery and after each break, with where
	// reading goes on and the end of the log.
	begin(next, tail uint64)
	// deliver takes a batch, which is valid until it returns. When catchingUp is set,
	// more can be had at once, and none of it should be lost. An error ends reading.
	deliver(ctx context.Context, b *reader.Batch, catchingUp bool) error
	gap(from, to uint64, reason string)
}

// eventReader reads the events that match a query from the hub, again after each
// break from where it was.
type eventReader struct {
	server *Server
	query  string
	sink   eventSink
	// next is the offset to go on from. Without position it begins at the end of
	// the log.
	next     uint64
	position bool
}

func (r *eventReader) run(ctx context.Context) error {
	pause := firstPause
	for {
		began := r.next
		err := r.read(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errJoined) {
			return err
		}
		switch status.Code(err) {
		case codes.InvalidArgument, codes.PermissionDenied, codes.Unimplemented:
			return err
		case codes.OutOfRange:
			// The log has begun anew: its end is before where we were.
			r.sink.gap(r.next, r.next, "the log was replaced; what follows is from its end")
			r.position = false
		}
		if r.next != began {
			pause = firstPause
		}
		if !wait(ctx, r.server.hub, pause) {
			return ctx.Err()
		}
		pause = min(pause*2, longestPause)
	}
}

// wait waits for a pause, or for the hub to be back; false when ctx ends.
func wait(ctx context.Context, h *hub, pause time.Duration) bool {
	connected, _, changed := h.state()
	if connected {
		changed = nil // nothing to wait for but time
	}
	timer := time.NewTimer(time.Duration(float64(pause) * (0.75 + rand.Float64()/2))) //nolint:gosec // spreads load
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-timer.C:
	}
	return true
}

// read subscribes once and passes on what comes until the stream ends.
func (r *eventReader) read(ctx context.Context) error {
	tail, err := r.tail(ctx)
	if err != nil {
		return err
	}
	switch {
	case !r.position:
		r.next, r.position = tail, true
	case r.next > tail:
		return status.Error(codes.OutOfRange, "beyond the end of the log")
	case tail-r.next > maxBehind:
		from := r.next
		r.next = tail - maxBehind/2
		r.sink.gap(from, r.next, fmt.Sprintf("%d events behind is too far to catch up; search finds them", tail-from))
	}
	r.sink.begin(r.next, tail)
	request, err := liveRequest(r.query, r.next)
	if err != nil {
		return err
	}
	bus, done := r.server.hub.stream()
	defer done()
	feed, _, err := reader.NewRemote(bus).Open(ctx, request)
	if err != nil {
		return err
	}
	defer func() { _ = feed.Close() }() // of a stream that is done with
	catchingUp := true
	for {
		batch, err := feed.Next(ctx)
		if err != nil {
			return err
		}
		if gap := batch.Gap; gap != nil {
			r.sink.gap(gap.From, gap.To, gap.Reason)
		}
		r.next = max(r.next, batch.Next)
		if err := r.sink.deliver(ctx, batch, catchingUp); err != nil {
			return err
		}
		catchingUp = catchingUp && batch.Next < batch.Tail
	}
}

// liveRequest asks for events from an offset on, of which those that match the query
// are taken here. One that cannot be asked of live events is INVALID_ARGUMENT.
func liveRequest(query string, from uint64) (reader.Request, error) {
	r := reader.Request{Start: reader.Start{Offset: from}, Resume: true}
	q, err := logsql.Parse(query)
	if err != nil {
		return r, status.Error(codes.InvalidArgument, err.Error())
	}
	if q.All() {
		return r, nil
	}
	m, err := q.Matcher()
	if err != nil {
		return r, status.Error(codes.InvalidArgument, err.Error())
	}
	r.Match = m
	return r, nil
}

// storedEvent is an event of a batch that outlives it.
func storedEvent(e *reader.Event) *pb.StoredEvent {
	return &pb.StoredEvent{
		Offset: e.Offset, LoggedTime: timestamppb.New(e.Logged), Publisher: e.Publisher, Event: bytes.Clone(e.Encoded),
	}
}

// tail is the end of the log.
func (r *eventReader) tail(ctx context.Context) (uint64, error) {
	ctx, cancel := r.server.hub.call(ctx)
	defer cancel()
	state, err := r.server.hub.query.Status(ctx, &pb.StatusRequest{})
	return state.GetLog().GetNextOffset(), err
}
