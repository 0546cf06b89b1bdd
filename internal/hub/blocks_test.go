package hub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	stored "github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

const blockPublisher = "spiffe://amoskys.local/agent/test-host"

// overModel has a hub serve a log in memory.
func overModel(m *streamtest.Model) hubOption {
	return func(_ *Options, s *StorageOptions) {
		s.Open = func(context.Context, stream.Options) (stream.Log, error) { return m, nil }
	}
}

// appendEvents appends one record with the messages given, and returns its first offset.
func appendEvents(t *testing.T, l stream.Appender, c stored.Codec, messages ...string) stream.Offset {
	t.Helper()
	var fields []byte
	for _, m := range messages {
		fields = protowire.AppendBytes(protowire.AppendTag(fields, 3, protowire.BytesType), makeEvent(t, m))
	}
	first, err := stream.Append(t.Context(), l, &stream.Record{
		Publisher: blockPublisher, Received: time.Unix(1_700_000_000, 5), Count: len(messages), Codec: c, Payload: [][]byte{c.Pack(nil, fields)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return first
}

// received is what a subscription without follow sends, as words: events by their
// message, "[" and "]" around those of a block with its codec, gaps by their cause and
// reason, "|" behind each Delivery.
func received(t *testing.T, conn *grpc.ClientConn, req *pb.SubscribeRequest) string {
	t.Helper()
	req.NoFollow = true
	s, err := pb.NewEventBusClient(conn).Subscribe(t.Context(), req, grpc.MaxCallRecvMsgSize(4<<20))
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for {
		d, err := s.Recv()
		if err != nil {
			return strings.Join(words, " ")
		}
		words = append(words, messages(t, d.GetEvents())...)
		for _, b := range d.GetBlocks() {
			e := stream.Entry{First: b.GetFirstOffset(), Count: int(b.GetCount()), Codec: stored.Codec(b.GetCodec()), Payload: b.GetPayload()}
			if b.GetPublisher() != blockPublisher || !b.GetLoggedTime().AsTime().Equal(time.Unix(1_700_000_000, 5)) {
				t.Errorf("block of %s at %v", b.GetPublisher(), b.GetLoggedTime())
			}
			words = append(words, "["+e.Codec.String())
			for off, encoded := range e.Events() {
				words = append(words, messages(t, []*pb.StoredEvent{{Offset: off, Event: encoded}})...)
			}
			words = append(words, "]")
		}
		if g := d.GetGap(); g != nil {
			words = append(words, fmt.Sprintf("<%d %s %s>", g.GetToOffset()-g.GetFromOffset(), g.GetCause(), g.GetReason()))
		}
		words = append(words, "|")
	}
}

// TestSubscribeBlocks: whole records go to who asks for them, packed as they are where
// the reader knows the codec, from the record on that holds what was asked for.
func TestSubscribeBlocks(t *testing.T) {
	m := streamtest.NewModel()
	h := startHub(t, "", overModel(m))
	appendEvents(t, m, stored.None, "a", "b")
	second := appendEvents(t, m, stored.S2, "c", "d", "e")
	third := appendEvents(t, m, stored.S2, "f")
	s2 := []pb.Codec{pb.Codec_CODEC_S2, 77, -1}
	at := func(o stream.Offset) *pb.SubscribeRequest {
		return &pb.SubscribeRequest{Blocks: true, Codecs: s2, Start: &pb.SubscribeRequest_FromOffset{FromOffset: o}}
	}
	conn := h.dial(t, "operator")
	for _, tt := range []struct {
		name string
		req  *pb.SubscribeRequest
		want string
	}{
		{"all", &pb.SubscribeRequest{Blocks: true, Codecs: s2}, "[none a b ] [s2 c d e ] [s2 f ] |"},
		{"max_batch does not cut them", &pb.SubscribeRequest{Blocks: true, Codecs: s2, MaxBatch: 1}, "[none a b ] [s2 c d e ] [s2 f ] |"},
		{"an unknown codec is unpacked", &pb.SubscribeRequest{Blocks: true}, "[none a b ] [none c d e ] [none f ] |"},
		{"from within a record", at(second + 1), "d e | [s2 f ] |"},
		{"from the last", at(third), "[s2 f ] |"},
		{"from the end", at(third + 1), "|"},
		{"with a filter", &pb.SubscribeRequest{Blocks: true, Codecs: s2, Filter: &pb.Filter{Types: []string{"process."}}}, "a b c d e f |"},
		{"with an empty filter", &pb.SubscribeRequest{Blocks: true, Codecs: s2, Filter: &pb.Filter{Query: " "}}, "[none a b ] [s2 c d e ] [s2 f ] |"},
		{"not asked for", &pb.SubscribeRequest{Codecs: s2}, "a b c d e f |"},
	} {
		// The model's offsets jump, which is no gap.
		if got := received(t, conn, tt.req); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	m.Damage(second)
	if got, want := received(t, conn, at(0)), "[none a b ] | <"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "> | [s2 f ] |") {
		t.Errorf("a damaged record: %s", got)
	}
}

// TestSubscribeMeetsWhatDoesNotUnpack: events of a record that is not what its codec
// makes are a gap for who cannot unpack it, and the record as it is for who can.
func TestSubscribeMeetsWhatDoesNotUnpack(t *testing.T) {
	m := streamtest.NewModel()
	h := startHub(t, "", overModel(m))
	appendEvents(t, m, stored.S2, "a")
	short := stored.S2.Pack(nil, []byte{3<<3 | 2, 0, 9 << 3, 1})
	for _, payload := range [][]byte{[]byte("\x10not packed"), short} {
		if _, err := stream.Append(t.Context(), m, &stream.Record{
			Publisher: blockPublisher, Received: time.Unix(1_700_000_000, 5), Count: 3, Codec: stored.S2, Payload: [][]byte{payload},
		}); err != nil {
			t.Fatal(err)
		}
	}
	appendEvents(t, m, stored.None, "z")
	conn := h.dial(t, "operator")
	const gap = "<3 damaged damaged: the record does not unpack: packed bytes are damaged> |"
	for name, req := range map[string]*pb.SubscribeRequest{"events": {}, "unpacked blocks": {Blocks: true}} {
		if got := received(t, conn, req); !strings.Contains(got, gap) || !strings.HasSuffix(got, "z |") && !strings.HasSuffix(got, "[none z ] |") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := received(t, conn, &pb.SubscribeRequest{}); !strings.Contains(got, "<2 damaged damaged: the record holds fewer events than it says>") {
		t.Errorf("fewer events: %s", got)
	}
	if got := received(t, conn, &pb.SubscribeRequest{Blocks: true, Codecs: []pb.Codec{1}}); got != "[s2 a ] [s2 ] [s2  ] [none z ] |" {
		t.Errorf("blocks: %s", got)
	}
}

// TestBlocksFillDeliveries: as many whole records go in one Delivery as fit, a larger
// one alone, and what is larger than a message may be as events.
func TestBlocksFillDeliveries(t *testing.T) {
	m := streamtest.NewModel()
	h := startHub(t, "", overModel(m))
	for i, size := range []int{100_000, 100_000, 100_000, 10, 400_000, 10, 900_000} {
		appendEvents(t, m, stored.None, fmt.Sprint(i, strings.Repeat("x", size)))
	}
	huge := slices.Repeat([]string{strings.Repeat("y", 900_000)}, 5)
	appendEvents(t, m, stored.S2, huge...)
	appendEvents(t, m, stored.None, "end")
	s, err := pb.NewEventBusClient(h.dial(t, "operator")).Subscribe(t.Context(), &pb.SubscribeRequest{Blocks: true, NoFollow: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		d, err := s.Recv()
		if err != nil {
			break
		}
		got = append(got, fmt.Sprint(len(d.GetBlocks()), "+", len(d.GetEvents())))
	}
	if want := []string{"2+0", "2+0", "1+0", "1+0", "1+0", "0+1", "0+1", "0+1", "0+1", "0+1", "1+0"}; !slices.Equal(got, want) {
		t.Errorf("deliveries %q, want %q", got, want)
	}
}

func TestAppendBlockWritesWhatProtoDoes(t *testing.T) {
	logged := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	for _, want := range []*pb.Block{
		{FirstOffset: 0, Count: 1, LoggedTime: timestamppb.New(logged), Publisher: "p", Payload: []byte{1}},
		{FirstOffset: 1 << 60, Count: 65536, Codec: pb.Codec_CODEC_S2, LoggedTime: timestamppb.New(logged), Publisher: strings.Repeat("p", 255), Payload: make([]byte, 70_000)},
	} {
		e := &stream.Entry{First: want.GetFirstOffset(), Count: int(want.GetCount()), Publisher: want.GetPublisher()}
		b := appendBlock(nil, e, appendTime(nil, logged), stored.Codec(want.GetCodec()), want.GetPayload())
		if most := blockHead + len(want.GetPublisher()) + len(want.GetPayload()); len(appendProgress(b, ^uint64(0), ^uint64(0))) > most {
			t.Errorf("%d bytes, %d were reserved", len(b), most)
		}
		var got pb.Delivery
		if err := proto.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&pb.Delivery{Blocks: []*pb.Block{want}}, &got, protocmp.Transform()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestSlowReadersOfBlocks: readers that do not read cost no more than the bound, however
// many they are, others go on, and all get everything when they read.
func TestSlowReadersOfBlocks(t *testing.T) {
	m := streamtest.NewModel()
	h := startHub(t, "", overModel(m))
	const readers, records, events = 100, 200, 50
	text := strings.Repeat("x", 1000)
	for range records {
		appendEvents(t, m, stored.None, slices.Repeat([]string{text}, events)...)
	}
	conns := make([]*grpc.ClientConn, 2)
	for i, name := range []string{"operator", "dashboard"} {
		conns[i] = dialFiles(t, h.Addr().String(), identity.FilesFor(h.home.Certs(), name),
			grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	}
	before := heap()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	streams := make([]grpc.ServerStreamingClient[pb.Delivery], readers)
	for i := range streams {
		var err error
		if streams[i], err = pb.NewEventBusClient(conns[i%2]).Subscribe(ctx, &pb.SubscribeRequest{Blocks: true}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are there", func() bool { return h.subscriptions.len() == readers })
	eventually(t, "there is no more room", func() bool { all, most := h.bus.large.used(); return all > 11<<20 && most > 5<<20 })
	grown := int64(heap()-before) >> 20
	t.Logf("the heap grew by %d MB", grown)
	if all, most := h.bus.large.used(); grown > 100 && !raceEnabled || all > largeBytesOfAll || most > largeBytesOfIdentity {
		t.Errorf("slow readers cost %d MB, %d bytes are out, %d of one identity", grown, all, most)
	}
	for _, i := range []int{0, 1, 50, 99} {
		n := 0
		for n < records*events {
			d, err := streams[i].Recv()
			if err != nil {
				t.Fatal(err)
			}
			n += len(d.GetEvents())
			for _, b := range d.GetBlocks() {
				n += int(b.GetCount())
			}
		}
	}
	cancel()
	eventually(t, "what was given up is given back", func() bool { all, most := h.bus.large.used(); return all == 0 && most == 0 })
	// A connection that goes with Deliveries unread.
	other := dialFiles(t, h.Addr().String(), identity.FilesFor(h.home.Certs(), "operator"), grpc.WithStaticStreamWindowSize(64<<10))
	if _, err := pb.NewEventBusClient(other).Subscribe(t.Context(), &pb.SubscribeRequest{Blocks: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "they are counted", func() bool { all, _ := h.bus.large.used(); return all > 0 })
	_ = other.Close()
	eventually(t, "what a closed connection left is given back", func() bool { all, most := h.bus.large.used(); return all == 0 && most == 0 })
}

// TestSlowReadersOfPackedRecords: what records are unpacked into for readers that do not
// read is bounded as well, and all get everything when they read.
func TestSlowReadersOfPackedRecords(t *testing.T) {
	m := streamtest.NewModel()
	h := startHub(t, "", overModel(m))
	const readers, records, events = 100, 3, 50
	text := strings.Repeat("x", 20_000) // 1 MB a record, of which a hundredth is stored
	for range records {
		appendEvents(t, m, stored.S2, slices.Repeat([]string{text}, events)...)
	}
	conns := make([]*grpc.ClientConn, 2)
	for i, name := range []string{"operator", "dashboard"} {
		conns[i] = dialFiles(t, h.Addr().String(), identity.FilesFor(h.home.Certs(), name),
			grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	}
	before := heap()
	streams := make([]grpc.ServerStreamingClient[pb.Delivery], readers)
	for i := range streams {
		var err error
		req := &pb.SubscribeRequest{Blocks: i%3 == 0} // those take blocks of no codec
		if streams[i], err = pb.NewEventBusClient(conns[i%2]).Subscribe(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are stuck in a record", func() bool {
		h.subscriptions.mu.Lock()
		defer h.subscriptions.mu.Unlock()
		n := 0
		for s := range h.subscriptions.open {
			if s.next.Load() > 0 {
				n++
			}
		}
		return n == readers
	})
	grown := int64(heap()-before) >> 20
	t.Logf("the heap grew by %d MB", grown)
	if grown > 70 && !raceEnabled { // under the race detector a pool forgets at random
		t.Errorf("slow readers cost %d MB", grown)
	}
	for _, i := range []int{0, 1, 50, 99} {
		var last, n uint64
		for n < records*events {
			d, err := streams[i].Recv()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range d.GetEvents() {
				if n > 0 && e.GetOffset() <= last {
					t.Fatalf("reader %d: event %d behind %d", i, e.GetOffset(), last)
				}
				last = e.GetOffset()
				n++
			}
			for _, b := range d.GetBlocks() {
				last = b.GetFirstOffset() + uint64(b.GetCount()) - 1
				n += uint64(b.GetCount())
			}
			if d.GetGap() != nil {
				t.Fatalf("reader %d: %v", i, d.GetGap())
			}
		}
		if n != records*events {
			t.Errorf("reader %d: %d events", i, n)
		}
	}
}

// deafStream takes messages and frees none, as gRPC does with what is handed to it for a
// stream that its client has just ended.
type deafStream struct {
	grpc.ServerStreamingServer[pb.Delivery]

	ctx  context.Context //nolint:containedctx // grpc.ServerStream carries one
	sent func(n int)     // is told how many there are
	kept []mem.BufferSlice
}

func (s *deafStream) Context() context.Context { return s.ctx }

func (s *deafStream) SendMsg(m any) error {
	s.kept = append(s.kept, m.(*message).data)
	s.sent(len(s.kept))
	return nil
}

// TestBlocksThatGRPCDrops: what was sent on a stream that the client has ended takes no
// room, though the connection stays and gRPC does not say that it is done with it; what
// was sent to its end does until it is freed.
func TestBlocksThatGRPCDrops(t *testing.T) {
	m := streamtest.NewModel()
	h := startHub(t, "", overModel(m))
	for range 5 {
		appendEvents(t, m, stored.None, strings.Repeat("x", 200_000))
	}
	who := caller{Publisher: blockPublisher, life: t.Context()}
	connection := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: who})
	for name, tt := range map[string]struct {
		endsAfter int // Deliveries; 0: the stream is read to its end
		held      int
	}{
		"the client leaves": {3, 0},
		"it stays":          {0, 5},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, leave := context.WithCancel(connection)
			defer leave()
			s := &deafStream{ctx: ctx, sent: func(n int) {
				if n == tt.endsAfter {
					leave()
				}
			}}
			err := h.bus.Subscribe(&pb.SubscribeRequest{Blocks: true, NoFollow: true}, s) //nolint:contextcheck // the stream has it
			if all, most := h.bus.large.used(); (err != nil) != (tt.endsAfter > 0) || all != int64(tt.held*largeBytes) || most != all {
				t.Errorf("%d bytes are out, %d of one identity, want %d: %v", all, most, tt.held*largeBytes, err)
			}
			for _, b := range s.kept {
				b.Free()
			}
			if all, most := h.bus.large.used(); all != 0 || most != 0 {
				t.Errorf("%d and %d bytes are out when all are freed", all, most)
			}
		})
	}
}
