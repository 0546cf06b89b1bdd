package hub

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// packedRequest is a batch as an agent packs it.
func packedRequest(sequence uint64, events ...[]byte) *pb.PublishRequest {
	raw := mustMarshal(&pb.EventBatch{Events: events})
	return &pb.PublishRequest{ProducerId: sixteen(1), Sequence: sequence, Compressed: codec.S2.Pack(nil, raw), Codec: pb.Codec_CODEC_S2}
}

// TestPublishTellsItsCodecs: before a batch is sent.
func TestPublishTellsItsCodecs(t *testing.T) {
	h := startHub(t, "")
	header, err := publishStream(t, h.dial(t, "agent"), "").Header()
	if err != nil || codec.Choose(header.Get(codec.Metadata)...) != codec.S2 {
		t.Errorf("header %v, %v", header, err)
	}
}

func TestPublishPacked(t *testing.T) {
	h := startHub(t, "")
	s := publishStream(t, h.dial(t, "agent"), "")
	a, b, c := makeEvent(t, "a"), makeEvent(t, "b"), makeEvent(t, strings.Repeat("c", 100_000))
	wrong := encode(t, &pb.Event{Type: "process.execution", Host: &pb.Host{Name: "another"}})
	first := packedRequest(1, a, b)
	if ack := exchange(t, s, first); ack.GetStatus() != pb.PublishAck_STATUS_OK || ack.GetAccepted() != 2 || ack.GetFirstOffset() != 0 {
		t.Errorf("first ack: %v", ack)
	}
	if ack := exchange(t, s, first); !ack.GetDuplicate() || ack.GetSequence() != 1 {
		t.Errorf("ack of a batch sent again: %v", ack)
	}
	if ack := exchange(t, s, &pb.PublishRequest{ProducerId: sixteen(1), Sequence: 1, Events: [][]byte{a, b}}); !ack.GetDuplicate() {
		t.Errorf("ack of the same without packing: %v", ack)
	}
	partly := exchange(t, s, packedRequest(2, wrong, c, nil))
	if partly.GetAccepted() != 1 || partly.GetFirstOffset() != 2 || len(partly.GetRefused()) != 2 || partly.GetRefused()[1].GetIndex() != 2 ||
		partly.GetRefused()[0].GetReason() != pb.RefusalReason_REFUSAL_REASON_WRONG_HOST {
		t.Errorf("ack of a batch with bad ones: %v", partly)
	}
	if ack := exchange(t, s, packedRequest(3, wrong)); ack.GetStatus() != pb.PublishAck_STATUS_OK || ack.GetAccepted() != 0 || len(ack.GetRefused()) != 1 {
		t.Errorf("ack of bad ones alone: %v", ack)
	}
	exchange(t, s, &pb.PublishRequest{ProducerId: sixteen(1), Sequence: 4, Events: [][]byte{b}})

	events, gaps, next := h.readAll(t, &pb.SubscribeRequest{})
	if diff := cmp.Diff([]string{"a", "b", strings.Repeat("c", 100_000), "b"}, messages(t, events)); diff != "" || next != 4 || len(gaps) != 0 {
		t.Errorf("up to %d, gaps %v, events (-want +got):\n%s", next, gaps, diff)
	}
	stored := h.entries(t)
	if len(stored) != 3 || stored[0].Codec != codec.S2 || !bytes.Equal(stored[0].Payload, first.GetCompressed()) {
		t.Errorf("the first batch is not stored as it came")
	}
	if stored[1].Codec != codec.S2 || len(stored[1].Payload) > 10_000 || stored[2].Codec != codec.None {
		t.Errorf("what is left of a batch is stored as %s in %d bytes, what came as it is as %s", stored[1].Codec, len(stored[1].Payload), stored[2].Codec)
	}
	want := float64(len(mustMarshal(&pb.EventBatch{Events: [][]byte{a, b, c, b}})))
	if got := h.metric(t, "eventbus_bytes_total"); got != want {
		t.Errorf("%v bytes are counted, the events have %v", got, want)
	}
	if got := h.metric(t, "amoskys_hub_packed_batches_total", "codec", "s2"); got != 2 {
		t.Errorf("%v packed batches are counted", got)
	}
	h.nothingHeld(t)
}

// entries reads the log as it is.
func (h *testHub) entries(t *testing.T) (all []stream.Entry) {
	t.Helper()
	r, err := h.storage.Log.NewReader(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		e, ok, err := r.TryNext()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		kept := stream.Entry{First: e.First, Count: e.Count, Codec: e.Codec, Payload: bytes.Clone(e.Payload)}
		all = append(all, kept)
	}
}

// nothingHeld waits until nothing of any batch counts any more.
func (h *testHub) nothingHeld(t *testing.T) {
	t.Helper()
	r := &h.bus.rooms
	eventually(t, "nothing is held of batches that are done with", func() bool {
		return r.arrived.most() == 0 && r.unpacked.used() == 0 && r.unpacked.own.most() == 0 && r.queue.used() == 0 && r.queue.own.most() == 0
	})
}

// TestSmallMessagesThatAreLarge: messages of a few hundred bytes that hold as much as
// may be, from many streams of many connections at once. What is unpacked of them at a
// time stays within its share, another sender is served meanwhile, and what the log
// gets is as small as what came.
func TestSmallMessagesThatAreLarge(t *testing.T) {
	h := startHub(t, "")
	bomb := packedRequest(0, slices.Repeat([][]byte{makeEvent(t, strings.Repeat("x", 900))}, 1000)...)
	bomb.ProducerId = nil
	partly := packedRequest(0, append(slices.Repeat([][]byte{makeEvent(t, strings.Repeat("x", 1000))}, 900), nil)...)
	partly.ProducerId = nil
	if n := proto.Size(bomb) + proto.Size(partly); n > 200_000 {
		t.Fatalf("the bombs have %d bytes", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answered := make(chan *pb.PublishAck, 1000)
	conns := make([]*grpc.ClientConn, 8)
	for i := range conns {
		conns[i] = h.dial(t, "agent")
	}
	for i := range 5 * len(conns) {
		s, err := pb.NewEventBusClient(conns[i%len(conns)]).Publish(ctx)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				if s.Send([]*pb.PublishRequest{bomb, partly}[i%2]) != nil {
					return
				}
			}
		}()
		go func() {
			for {
				ack, err := s.Recv()
				if err != nil {
					return
				}
				select {
				case answered <- ack:
				case <-ctx.Done():
				}
			}
		}()
	}
	other := publishStream(t, dialFiles(t, h.Addr().String(), issue(t, h.home, identity.ID{Role: identity.RoleAgent, Name: "quiet"}, time.Hour)), "")
	own := encode(t, &pb.Event{Type: "process.execution", Host: &pb.Host{Name: "quiet"}})
	r, most, begin := &h.bus.rooms, int64(0), time.Now()
	const answers = 100
	for n := range answers {
		if ack := <-answered; ack.GetStatus() == pb.PublishAck_STATUS_OK && ack.GetAccepted() < 900 {
			t.Fatalf("ack: %v", ack)
		}
		most = max(most, r.unpacked.used())
		if used := r.unpacked.used(); used > r.unpacked.own.limit {
			t.Fatalf("one sender has %d bytes unpacked, its share is %d", used, r.unpacked.own.limit)
		}
		if n%20 == 0 {
			if ack := exchange(t, other, packedRequest(uint64(n+1), own)); ack.GetAccepted() != 1 {
				t.Fatalf("another sender: %v", ack)
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d answers in %v; at most %d bytes were unpacked; the heap has %d MiB in use", answers, time.Since(begin), most, m.HeapInuse>>20)
	cancel()
	if stored, events := h.metric(t, "amoskys_wal_written_bytes_total"), h.metric(t, "eventbus_bytes_total"); stored > events/10 {
		t.Errorf("%v bytes in the log for %v bytes of events", stored, events)
	}
	h.nothingHeld(t)
}

// TestNoRoomToUnpack: a batch that finds none in time is answered with RETRY, its stream
// goes on, and what it held is given back.
func TestNoRoomToUnpack(t *testing.T) {
	h := startHub(t, "")
	h.bus.rooms.patience = 10 * time.Millisecond
	s := publishStream(t, h.dial(t, "agent"), "")
	exchange(t, s, packedRequest(1, makeEvent(t, "a")))
	who := h.firstPublisher(t)
	room := h.bus.rooms.unpacked
	if err := room.enter(t.Context(), who, room.own.limit, 0); err != nil {
		t.Fatal(err)
	}
	ack := exchange(t, s, packedRequest(2, makeEvent(t, "b")))
	if ack.GetStatus() != pb.PublishAck_STATUS_RETRY || ack.GetSequence() != 2 || ack.GetBackoff().AsDuration() <= 0 || !strings.Contains(ack.GetReason(), "unpacks") {
		t.Errorf("without room: %v", ack)
	}
	if got := h.metric(t, "eventbus_errors_total", "reason", "unpack_busy"); got != 1 {
		t.Errorf("counted %v times", got)
	}
	if ack := exchange(t, s, &pb.PublishRequest{Events: [][]byte{makeEvent(t, "c")}}); ack.GetAccepted() != 1 {
		t.Errorf("what is not packed needs no such room: %v", ack)
	}
	room.leave(who, room.own.limit)
	if ack := exchange(t, s, packedRequest(2, makeEvent(t, "b"))); ack.GetAccepted() != 1 || ack.GetDuplicate() {
		t.Errorf("with room again: %v", ack)
	}
	// Nor does one wait that belongs to a sender with too much that has arrived.
	if err := h.bus.rooms.arrived.enter(t.Context(), who, h.bus.rooms.arrived.limit, 0); err != nil {
		t.Fatal(err)
	}
	if ack := exchange(t, s, packedRequest(3, makeEvent(t, "d"))); ack.GetStatus() != pb.PublishAck_STATUS_RETRY || ack.GetSequence() != 3 {
		t.Errorf("with too much arrived: %v", ack)
	}
	h.bus.rooms.arrived.leave(who, h.bus.rooms.arrived.limit)
	h.nothingHeld(t)
}

// firstPublisher returns who has published the first event of the log.
func (h *testHub) firstPublisher(t *testing.T) string {
	t.Helper()
	all, _, _ := h.readAll(t, &pb.SubscribeRequest{})
	if len(all) == 0 {
		t.Fatal("the log is empty")
	}
	return all[0].GetPublisher()
}

// TestClientGoesWhileItsBatchWaitsToUnpack: nothing of it is left.
func TestClientGoesWhileItsBatchWaitsToUnpack(t *testing.T) {
	h := startHub(t, "")
	conn := h.dial(t, "agent")
	exchange(t, publishStream(t, conn, ""), packedRequest(1, makeEvent(t, "a")))
	who := h.firstPublisher(t)
	room := h.bus.rooms.unpacked
	if err := room.enter(t.Context(), who, room.own.limit, 0); err != nil {
		t.Fatal(err)
	}
	s := publishStream(t, conn, "")
	if err := s.Send(packedRequest(2, makeEvent(t, "b"))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits", func() bool { return h.bus.rooms.arrived.most() > 0 })
	_ = conn.Close()
	eventually(t, "it is given up", func() bool { return h.bus.rooms.arrived.most() == 0 })
	room.leave(who, room.own.limit)
	h.nothingHeld(t)
	h.alive(t)
}
