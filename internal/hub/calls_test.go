package hub

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// listening is a fleet whose Control and whose list take what passes the bounds.
type listening struct {
	pb.UnimplementedFleetServer
}

func (listening) Control(s grpc.BidiStreamingServer[pb.NodeMessage, pb.NodeCommand]) error {
	_, err := s.Recv()
	return err
}

func (listening) ListAgents(context.Context, *pb.ListAgentsRequest) (*pb.ListAgentsResponse, error) {
	return &pb.ListAgentsResponse{}, nil
}

func withListening(o *Options, _ *StorageOptions) {
	o.Register = func(r grpc.ServiceRegistrar) { pb.RegisterFleetServer(r, listening{}) }
}

// TestHeavyMessagesAreNotDecoded: what would take much more memory than it has
// bytes is refused as it came, and counted.
func TestHeavyMessagesAreNotDecoded(t *testing.T) {
	h := startHub(t, "", withListening)
	report := func(agents int) *pb.NodeMessage {
		r := &pb.AgentReport{}
		for range agents {
			r.Agents = append(r.Agents, &pb.AgentStatus{})
		}
		return &pb.NodeMessage{Message: &pb.NodeMessage_Report{Report: r}}
	}
	lines := func(n, size int) *pb.NodeMessage {
		r := &pb.CommandResult{Id: 1}
		for range n {
			r.Lines = append(r.Lines, strings.Repeat("x", size))
		}
		return &pb.NodeMessage{Message: &pb.NodeMessage_Result{Result: r}}
	}
	tests := []struct {
		name, role, method string
		message            proto.Message
		code               codes.Code
	}{
		{"a node's agents", "node", pb.Fleet_Control_FullMethodName, report(256), codes.OK},
		{"more than it may have", "node", pb.Fleet_Control_FullMethodName, report(257), codes.ResourceExhausted},
		{"a megabyte of empty ones", "node", pb.Fleet_Control_FullMethodName, report(500_000), codes.ResourceExhausted},
		{"the lines of a log", "node", pb.Fleet_Control_FullMethodName, lines(2000, 262), codes.OK},
		{"too many lines", "node", pb.Fleet_Control_FullMethodName, lines(2001, 1), codes.ResourceExhausted},
		{"one long host", "operator", pb.Fleet_ListAgents_FullMethodName, &pb.ListAgentsRequest{Host: strings.Repeat("x", 60<<10)}, codes.OK},
		{"over 64 KiB", "operator", pb.Fleet_ListAgents_FullMethodName, &pb.ListAgentsRequest{Host: strings.Repeat("x", 64<<10)}, codes.ResourceExhausted},
		{"words of a filter", "operator", pb.EventBus_Subscribe_FullMethodName, &pb.SubscribeRequest{NoFollow: true, Filter: &pb.Filter{Hosts: make([]string, 1000)}}, codes.OK},
		{"too many words", "operator", pb.EventBus_Subscribe_FullMethodName, &pb.SubscribeRequest{Filter: &pb.Filter{Hosts: make([]string, 1001)}}, codes.ResourceExhausted},
		{"not well formed", "operator", pb.Fleet_ListAgents_FullMethodName, &pb.ListAgentsRequest{Host: "\xff"}, codes.InvalidArgument},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := h.dial(t, tt.role)
			if tt.code == codes.InvalidArgument { // no encoder would write it
				tt.message = nil
			}
			before := h.metric(t, "eventbus_errors_total", "reason", "message_too_large")
			if code := status.Code(callWith(t, conn, tt.method, tt.message)); code != tt.code {
				t.Errorf("got %s, want %s", code, tt.code)
			}
			counted := h.metric(t, "eventbus_errors_total", "reason", "message_too_large") - before
			if want := tt.code == codes.ResourceExhausted; (counted == 1) != want {
				t.Errorf("counted %v times", counted)
			}
		})
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("heap of hub and clients: %d MiB", m.HeapSys>>20)
}

// callWith sends one message to any method and returns what the call ends with.
// A nil message is one that is cut off.
func callWith(t *testing.T, conn *grpc.ClientConn, method string, m proto.Message) error {
	t.Helper()
	var sent any = m
	options := []grpc.CallOption{}
	if m == nil {
		sent = []byte{0x0a, 5, 'x'}
		options = append(options, grpc.ForceCodecV2(bytesCodec{newCodec().CodecV2}))
	}
	s, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method, options...)
	if err != nil {
		return err
	}
	_ = s.SendMsg(sent) // the answer tells
	_ = s.CloseSend()
	for err == nil {
		err = s.RecvMsg(&emptypb.Empty{})
	}
	if status.Code(err) == codes.Unknown { // io.EOF
		return nil
	}
	return err
}

// TestRequestThatDoesNotArrive: a call whose one request stops in the middle, or
// never begins, ends after the time for a request.
func TestRequestThatDoesNotArrive(t *testing.T) {
	h := startHub(t, "", func(o *Options, s *StorageOptions) {
		withListening(o, s)
		o.Config.Server.TimeoutSeconds = 1
	})
	conn := h.dial(t, "operator")
	for _, method := range []string{pb.Fleet_ListAgents_FullMethodName, pb.EventBus_Subscribe_FullMethodName} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
		if err == nil {
			err = s.RecvMsg(&emptypb.Empty{})
		}
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%s: %v", method, err)
		}
		cancel()
	}
	eventually(t, "both are counted", func() bool { // the answer goes out first
		return h.metric(t, "eventbus_errors_total", "reason", "request_timeout") == 2
	})
	// One whose request came stays as long as it likes.
	s, err := pb.NewEventBusClient(conn).Subscribe(t.Context(), &pb.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	timer := time.NewTimer(1500 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	exchange(t, publishStream(t, h.dial(t, "agent"), ""), &pb.PublishRequest{Events: [][]byte{makeEvent(t, "x")}})
	if _, err := s.Recv(); err != nil {
		t.Error(err)
	}
}
