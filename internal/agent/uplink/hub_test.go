package uplink

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// fakeHub keeps the bus's promises: acks in order, each number stored once. Its
// memory outlives the server, as a log does.
type fakeHub struct {
	pb.UnimplementedEventBusServer

	mu      sync.Mutex
	seen    map[string]bool
	stored  map[string]int
	order   []uint64
	agents  map[string]bool
	codecs  string                                                      // what it announces; empty for a hub that does not know them
	late    bool                                                        // it announces with its first answer
	forget  bool                                                        // it announces codecs and takes no packed events all the same
	packed  int                                                         // batches that came packed
	meddle  func(n int, req *pb.PublishRequest) (*pb.PublishAck, error) // nil, nil: as usual
	batches int
}

func newFakeHub() *fakeHub {
	return &fakeHub{seen: map[string]bool{}, stored: map[string]int{}, agents: map[string]bool{}}
}

func (h *fakeHub) Publish(s grpc.BidiStreamingServer[pb.PublishRequest, pb.PublishAck]) error {
	md, _ := metadata.FromIncomingContext(s.Context())
	if err := h.announce(s); err != nil {
		return err
	}
	for {
		req, err := s.Recv()
		if err != nil {
			return nil
		}
		ack, err := h.take(md, req)
		if err != nil {
			return err
		}
		if ack == nil { // stored, and the answer is lost
			continue
		}
		if err := s.Send(ack); err != nil {
			return err
		}
	}
}

func (h *fakeHub) announce(s grpc.ServerStream) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch header := metadata.Pairs(codec.Metadata, h.codecs); {
	case h.codecs == "":
		return nil
	case h.late:
		return s.SetHeader(header)
	default:
		return s.SendHeader(header)
	}
}

// events are those of a request that this hub sees. One that does not know codecs
// skips what is packed.
func (h *fakeHub) events(req *pb.PublishRequest) ([][]byte, error) {
	if len(req.GetCompressed()) == 0 {
		return req.GetEvents(), nil
	}
	h.packed++
	if h.codecs == "" || h.forget {
		return nil, nil
	}
	fields, err := codec.Codec(req.GetCodec()).Unpack(nil, req.GetCompressed(), 1<<20)
	if err != nil || len(req.GetEvents()) > 0 {
		return nil, status.Errorf(codes.InvalidArgument, "packed events: %v", err)
	}
	plain := &pb.PublishRequest{}
	err = proto.Unmarshal(fields, plain)
	return plain.GetEvents(), err
}

func (h *fakeHub) take(md metadata.MD, req *pb.PublishRequest) (*pb.PublishAck, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.batches++
	for _, id := range md.Get(identity.MetadataAgent) {
		h.agents[id] = true
	}
	var ack *pb.PublishAck
	if h.meddle != nil {
		var err error
		if ack, err = h.meddle(h.batches, req); err != nil || ack.GetStatus() == pb.PublishAck_STATUS_RETRY {
			return ack, err
		}
	}
	key := fmt.Sprintf("%x/%d", req.GetProducerId(), req.GetSequence())
	events, err := h.events(req)
	if err != nil {
		return nil, err
	}
	duplicate := h.seen[key]
	if !duplicate && len(events) > 0 { // a number without events is not remembered
		h.seen[key] = true
		h.order = append(h.order, req.GetSequence())
		for _, e := range events {
			h.stored[string(e)]++
		}
	}
	if ack != nil {
		return nil, nil
	}
	return &pb.PublishAck{Sequence: req.GetSequence(), Status: pb.PublishAck_STATUS_OK, Accepted: uint32(len(events)), Duplicate: duplicate}, nil
}

// serve runs the hub on l until the returned function is called.
func (h *fakeHub) serve(t *testing.T, l net.Listener) (stop func()) {
	t.Helper()
	return serveBus(t, l, h)
}

// serveBus runs any hub.
func serveBus(t *testing.T, l net.Listener, hub pb.EventBusServer) (stop func()) {
	t.Helper()
	server := grpc.NewServer()
	pb.RegisterEventBusServer(server, hub)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	return func() {
		server.Stop()
		<-done
	}
}
