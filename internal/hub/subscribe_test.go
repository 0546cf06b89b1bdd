package hub

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// fill publishes events with the messages given, each list as one batch.
func (h *testHub) fill(t *testing.T, batches ...[]string) {
	t.Helper()
	conn := h.dial(t, "agent")
	defer func() { _ = conn.Close() }()
	s := publishStream(t, conn, "")
	for _, batch := range batches {
		r := &pb.PublishRequest{}
		for _, m := range batch {
			r.Events = append(r.Events, makeEvent(t, m))
		}
		if ack := exchange(t, s, r); int(ack.GetAccepted()) != len(batch) {
			t.Fatalf("ack %v", ack)
		}
	}
}

func letters(from, to rune) (out []string) {
	for c := from; c <= to; c++ {
		out = append(out, string(c))
	}
	return out
}

func TestSubscribeStarts(t *testing.T) {
	h := startHub(t, "")
	h.fill(t, letters('a', 'c'), letters('d', 'f'))
	between := time.Now()
	h.fill(t, letters('g', 'i'))
	tests := []struct {
		name string
		req  *pb.SubscribeRequest
		want []string
	}{
		{"from the beginning", &pb.SubscribeRequest{}, letters('a', 'i')},
		{"from an offset within a batch", &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromOffset{FromOffset: 4}}, letters('e', 'i')},
		{"from the end", &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromOffset{FromOffset: 9}}, nil},
		{"from the tail", &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromTail{FromTail: true}}, nil},
		{"from a time", &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromTime{FromTime: timestamppb.New(between)}}, letters('g', 'i')},
		{"from a time before all", &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromTime{FromTime: timestamppb.New(between.Add(-time.Hour))}}, letters('a', 'i')},
		{"from a time to come", &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromTime{FromTime: timestamppb.New(between.Add(time.Hour))}}, nil},
		{"one at a time", &pb.SubscribeRequest{MaxBatch: 1}, letters('a', 'i')},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			events, gaps, next := h.readAll(t, tt.req)
			if diff := cmp.Diff(tt.want, messages(t, events), cmp.Comparer(slices.Equal[[]string])); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(gaps) > 0 || next != 9 {
				t.Errorf("gaps %v, next %d", gaps, next)
			}
		})
	}
	conn := h.dial(t, "operator")
	if code := subscribeCode(t, conn, &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromOffset{FromOffset: 10}}); code != codes.OutOfRange {
		t.Errorf("beyond the end: %s", code)
	}
}

func subscribeCode(t *testing.T, conn *grpc.ClientConn, req *pb.SubscribeRequest) codes.Code {
	t.Helper()
	s, err := pb.NewEventBusClient(conn).Subscribe(t.Context(), req)
	if err == nil {
		_, err = s.Recv()
	}
	return status.Code(err)
}

func TestSubscribeFilters(t *testing.T) {
	h := startHub(t, "")
	observer := issueWith(t, h.home, identity.IssueOptions{ID: identity.ID{Role: identity.RoleAgent, Name: "test-host"}, Observes: []string{"flow"}})
	s := publishStream(t, dialFiles(t, h.Addr().String(), observer), "")
	event := func(message, kind, host, agent string, severity pb.Severity) []byte {
		return encode(t, &pb.Event{Message: message, Type: kind, Host: &pb.Host{Name: host}, Observer: ownHost, Agent: &pb.Agent{Id: agent}, Severity: severity})
	}
	exchange(t, s, &pb.PublishRequest{Events: [][]byte{
		event("a", "process.execution", "web-1", "proc", pb.Severity_SEVERITY_LOW),
		event("b", "process.exit", "web-1", "proc", pb.Severity_SEVERITY_INFORMATIONAL),
		event("c", "processor.hot", "web-2", "other", pb.Severity_SEVERITY_CRITICAL),
		event("d", "auth.attempt", "web-2", "host", pb.Severity_SEVERITY_HIGH),
	}})
	tests := []struct {
		name   string
		filter *pb.Filter
		want   string
	}{
		{"empty", &pb.Filter{}, "abcd"},
		{"type", &pb.Filter{Types: []string{"process.exit"}}, "b"},
		{"prefix", &pb.Filter{Types: []string{"process."}}, "ab"},
		{"types", &pb.Filter{Types: []string{"process.", "auth.attempt"}}, "abd"},
		{"host", &pb.Filter{Hosts: []string{"web-2"}}, "cd"},
		{"host in another spelling", &pb.Filter{Hosts: []string{" WEB-2."}}, "cd"},
		{"agents", &pb.Filter{Agents: []string{"other", "host", "none"}}, "cd"},
		{"severity", &pb.Filter{MinSeverity: pb.Severity_SEVERITY_HIGH}, "cd"},
		{"all of them", &pb.Filter{Types: []string{"process."}, Hosts: []string{"web-1"}, Agents: []string{"proc"}, MinSeverity: pb.Severity_SEVERITY_LOW}, "a"},
		{"a query of blanks", &pb.Filter{Query: " "}, "abcd"},
		{"nothing", &pb.Filter{Types: []string{"flow."}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			events, _, next := h.readAll(t, &pb.SubscribeRequest{Filter: tt.filter})
			if got := strings.Join(messages(t, events), ""); got != tt.want || next != 4 {
				t.Errorf("got %q, next offset %d; want %q, 4", got, next, tt.want)
			}
		})
	}
	conn := h.dial(t, "operator")
	for name, bad := range map[string]*pb.SubscribeRequest{
		"query":  {Filter: &pb.Filter{Query: `type:process.exit`}},
		"cursor": {Cursor: "../../etc/passwd"},
		"time":   {Start: &pb.SubscribeRequest_FromTime{FromTime: &timestamppb.Timestamp{Nanos: -1}}},
	} {
		if code := subscribeCode(t, conn, bad); code != codes.InvalidArgument {
			t.Errorf("bad %s: %s", name, code)
		}
	}
	s2, err := pb.NewEventBusClient(conn).Subscribe(t.Context(), &pb.SubscribeRequest{Filter: &pb.Filter{Query: "sshd"}})
	if err == nil {
		_, err = s2.Recv()
	}
	if err == nil || !strings.Contains(err.Error(), "a query is applied by who reads") {
		t.Errorf("a query is refused with %v", err)
	}
}

func TestSubscribeFollows(t *testing.T) {
	h := startHub(t, "")
	s, err := pb.NewEventBusClient(h.dial(t, "dashboard")).Subscribe(t.Context(), &pb.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Recv()
	if err != nil || len(first.GetEvents()) > 0 || first.GetNextOffset() != first.GetTailOffset() {
		t.Fatalf("an empty log is told at once: %v, %v", first, err)
	}
	var got []string
	for i := range 5 {
		h.fill(t, []string{fmt.Sprint(i)})
		for len(got) <= i {
			d, err := s.Recv()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, messages(t, d.GetEvents())...)
		}
	}
	if diff := cmp.Diff([]string{"0", "1", "2", "3", "4"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCursors(t *testing.T) {
	h := startHub(t, "")
	h.fill(t, letters('a', 'e'))
	conn := h.dial(t, "operator")
	read := func(req *pb.SubscribeRequest) string {
		t.Helper()
		req.Cursor, req.NoFollow = "mine", true
		events, _, _ := subscribeAll(t, conn, req)
		return strings.Join(messages(t, events), "")
	}
	at := func(offset uint64) *pb.SubscribeRequest {
		return &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromOffset{FromOffset: offset}, Hold: true}
	}
	if got := read(&pb.SubscribeRequest{Hold: true}); got != "abcde" {
		t.Errorf("a new cursor: %q", got)
	}
	if got := read(&pb.SubscribeRequest{Hold: true}); got != "abcde" {
		t.Errorf("what was sent is not yet confirmed, but came only as %q", got)
	}
	if got := read(at(3)); got != "de" {
		t.Errorf("from 3: %q", got)
	}
	if got := read(&pb.SubscribeRequest{Hold: true}); got != "de" {
		t.Errorf("3 was confirmed: %q", got)
	}
	if err := h.stopNow(); err != nil {
		t.Fatal(err)
	}
	h = startHub(t, h.home)
	conn = h.dial(t, "operator")
	if got := read(&pb.SubscribeRequest{Hold: true}); got != "de" {
		t.Errorf("after a restart: %q", got)
	}
	if got := read(at(1)); got != "bcde" {
		t.Errorf("moved back: %q", got)
	}

	// The same name of another certificate is another cursor.
	other := dialFiles(t, h.Addr().String(), issue(t, h.home, identity.ID{Role: identity.RoleSubscriber, Name: "siem"}, time.Hour))
	events, _, _ := subscribeAll(t, other, &pb.SubscribeRequest{Cursor: "mine", NoFollow: true})
	if got := strings.Join(messages(t, events), ""); got != "abcde" {
		t.Errorf("another's cursor of the same name: %q", got)
	}
	list := h.Status().Subscribers
	want := []SubscriberStatus{
		{Name: "operator@test-host@mine", Offset: 1, LagEvents: 4, Hold: true, State: stream.ReaderStopped, Reason: "not connected"},
		{Name: "subscriber@siem@mine", Offset: 0, LagEvents: 5, State: stream.ReaderStopped, Reason: "not connected"},
	}
	if diff := cmp.Diff(want, list, cmpopts.IgnoreFields(SubscriberStatus{}, "SeenAt")); diff != "" {
		t.Errorf("subscribers (-want +got):\n%s", diff)
	}
	for n := range maxCursorsOfOne {
		req := &pb.SubscribeRequest{Cursor: fmt.Sprint("c", n), NoFollow: true}
		s, err := pb.NewEventBusClient(conn).Subscribe(t.Context(), req)
		if err == nil {
			_, err = s.Recv()
		}
		if wantErr := n == maxCursorsOfOne-1; wantErr != (status.Code(err) == codes.ResourceExhausted) {
			t.Fatalf("cursor %d: %v", n, err)
		}
	}
}

// TestSlowSubscribers: a hundred readers that do not read cost next to nothing,
// and get everything when they do.
func TestSlowSubscribers(t *testing.T) {
	h := startHub(t, "")
	const readers, batches = 100, 200
	conns := make([]*grpc.ClientConn, 2)
	for i, name := range []string{"operator", "dashboard"} {
		// A client's window is its own memory: keep it small, to see the hub's.
		conns[i] = dialFiles(t, h.Addr().String(), identity.FilesFor(h.home.Certs(), name),
			grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	}
	streams := make([]grpc.ServerStreamingClient[pb.Delivery], readers)
	for i := range streams {
		var err error
		if streams[i], err = pb.NewEventBusClient(conns[i%2]).Subscribe(t.Context(), &pb.SubscribeRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are there", func() bool { return h.subscriptions.len() == readers })
	before := heap()
	s := publishStream(t, h.dial(t, "agent"), "")
	text := strings.Repeat("x", 1000)
	for range batches {
		r := &pb.PublishRequest{}
		for range 50 {
			r.Events = append(r.Events, makeEvent(t, text))
		}
		if ack := exchange(t, s, r); ack.GetAccepted() != 50 {
			t.Fatalf("slow readers hold up a publisher: %v", ack)
		}
	}
	// The readers' ten megabytes each would be a gigabyte. What is counted includes
	// the clients, who have buffers of their own.
	grown := int64(heap()-before) >> 20
	t.Logf("the heap grew by %d MB", grown)
	if grown > 100 {
		t.Error("slow readers cost memory")
	}
	for _, i := range []int{0, 1, 50, 99} {
		n := 0
		for n < batches*50 {
			d, err := streams[i].Recv()
			if err != nil {
				t.Fatal(err)
			}
			n += len(d.GetEvents())
		}
	}
}

func TestSubscribeEndsWithTheHub(t *testing.T) {
	h := startHub(t, "")
	s, err := pb.NewEventBusClient(h.dial(t, "operator")).Subscribe(context.WithoutCancel(t.Context()), &pb.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := h.stopNow(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
