package bench

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// readByProto reads the log once as readers did before there were blocks: Deliveries of
// events by the generated client, decoded by protobuf, the events in them not.
func readByProto(ctx context.Context, conn *grpc.ClientConn, events *atomic.Uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := pb.NewEventBusClient(conn).Subscribe(ctx, &pb.SubscribeRequest{NoFollow: true})
	if err != nil {
		return err
	}
	for {
		d, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		events.Add(uint64(len(d.GetEvents())))
	}
}
