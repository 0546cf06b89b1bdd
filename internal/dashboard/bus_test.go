package dashboard_test

import (
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/live"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// memoryBus is an EventBus over a slice.
type memoryBus struct {
	pb.UnimplementedEventBusServer
	feed *live.Feed

	mu      sync.Mutex
	events  []*pb.StoredEvent
	first   uint64
	changed chan struct{}
}

func (b *memoryBus) tail() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.first + uint64(len(b.events))
}

func (b *memoryBus) publish(events ...*pb.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := b.first + uint64(len(b.events))
	now := time.Now()
	var encoded [][]byte
	for i, ev := range events {
		text, err := event.Encode(ev)
		if err != nil {
			panic(err)
		}
		encoded = append(encoded, text)
		b.events = append(b.events, &pb.StoredEvent{
			Offset: first + uint64(i), LoggedTime: timestamppb.New(now), Publisher: "spiffe://test/agent/h1", Event: text,
		})
	}
	b.feed.Count(now, len(events), func(yield func(uint64, []byte) bool) {
		for i, text := range encoded {
			if !yield(first+uint64(i), text) {
				return
			}
		}
	})
	close(b.changed)
	b.changed = make(chan struct{})
}

// forget drops all events, as if the log had grown to an offset and retention
// had taken them.
func (b *memoryBus) forget(next uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.first, b.events = next, nil
	close(b.changed)
	b.changed = make(chan struct{})
}

// Subscribe sends at most 100 events a delivery, as they come.
func (b *memoryBus) Subscribe(req *pb.SubscribeRequest, stream grpc.ServerStreamingServer[pb.Delivery]) error {
	if req.GetFilter().GetQuery() != "" {
		return status.Error(codes.InvalidArgument, "a query is for who reads")
	}
	next := req.GetFromOffset()
	for {
		b.mu.Lock()
		tail, changed := b.first+uint64(len(b.events)), b.changed
		d := &pb.Delivery{TailOffset: tail}
		if next > tail {
			b.mu.Unlock()
			return status.Error(codes.OutOfRange, "beyond the end")
		}
		if next < b.first {
			d.Gap = &pb.Gap{FromOffset: next, ToOffset: b.first, Reason: "retention"}
			next = b.first
		}
		for ; next < tail && len(d.GetEvents()) < 100; next++ {
			d.Events = append(d.Events, b.events[next-b.first])
		}
		d.NextOffset = next
		b.mu.Unlock()
		if err := stream.Send(d); err != nil {
			return err
		}
		if next < tail {
			continue
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-changed:
		}
	}
}
