package live_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/live"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// TestConsume: a batch of the reader's runtime holds blocks of several senders and
// times, packed or not, of which the first may have been had in part and one is damaged.
func TestConsume(t *testing.T) {
	ring := live.NewRing(live.RingOptions{})
	var b reader.Batch
	for i := range 3 {
		var fields []byte
		for j := range 2 {
			fields = protowire.AppendBytes(protowire.AppendTag(fields, 3, protowire.BytesType), encode(t, sample(2*i+j)))
		}
		e := stream.Entry{
			First: uint64(2 * i), Next: uint64(2*i + 2), Count: 2, Received: epoch.Add(time.Duration(i) * time.Second),
			Publisher: "spiffe://amoskys.local/agent/" + string(rune('a'+i)), Payload: fields,
		}
		if i > 0 {
			e.Codec, e.Payload = codec.S2, codec.S2.Pack(nil, fields)
		}
		b.Blocks = append(b.Blocks, e)
	}
	b.Blocks[0].From, b.Next = 1, 8
	b.Blocks = append(b.Blocks, stream.Entry{First: 6, Next: 8, Count: 2, Codec: codec.S2, Payload: []byte("not packed")})
	if err := ring.Consume(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	found, err := ring.Search(t.Context(), &pb.SearchEventsRequest{Limit: 10})
	if err != nil || len(found.GetEvents()) != 5 || ring.Status().GetNextOffset() != 8 || ring.Stats().Malformed != 2 {
		t.Fatalf("%v, %d events, status %v, %+v", err, len(found.GetEvents()), ring.Status(), ring.Stats())
	}
	for _, e := range found.GetEvents() {
		want := b.Blocks[e.GetOffset()/2]
		if e.GetOffset() == 0 || e.GetPublisher() != want.Publisher || !e.GetLoggedTime().AsTime().Equal(want.Received) {
			t.Errorf("event %d came from %s at %v", e.GetOffset(), e.GetPublisher(), e.GetLoggedTime().AsTime())
		}
	}
	if err := ring.Consume(t.Context(), &reader.Batch{Events: make([]reader.Event, 1)}); err == nil {
		t.Error("events are taken for nothing")
	}
}
