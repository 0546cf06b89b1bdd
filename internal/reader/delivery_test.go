package reader

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/codec"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

func encodeMessage(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// wordsOf walks a message and words all of it.
func wordsOf(message []byte) ([]string, error) {
	var d delivery
	if err := d.open(message); err != nil {
		return nil, err
	}
	events, blocks := []string{}, []string{}
	var it item
	for {
		ok, err := d.read(&it)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			end := fmt.Sprint("next ", d.next, " tail ", d.tail)
			if g := d.gap; g != nil {
				end += fmt.Sprintf(" gap %d %d %q %q", g.From, g.To, g.Reason, g.Cause)
			}
			return append(append(events, blocks...), end), nil
		case it.isBlock:
			b := &it.block
			blocks = append(blocks, wordsOfBlock(b.First, uint32(b.Count), b.Codec, b.Received, b.Publisher, b.Payload))
		default:
			e := &it.event
			events = append(events, fmt.Sprintf("event %d %s %q %x", e.Offset, e.Logged, e.Publisher, e.Encoded))
		}
	}
}

func wordsOfBlock(first uint64, count uint32, c codec.Codec, logged time.Time, publisher string, payload []byte) string {
	return fmt.Sprintf("block %d %d %s %s %q %x", first, count, c, logged, publisher, payload)
}

// wordsOfProto is the same by the generated code.
func wordsOfProto(d *pb.Delivery) []string {
	words := make([]string, 0, len(d.GetEvents())+len(d.GetBlocks())+1)
	for _, e := range d.GetEvents() {
		words = append(words, fmt.Sprintf("event %d %s %q %x", e.GetOffset(), e.GetLoggedTime().AsTime(), e.GetPublisher(), e.GetEvent()))
	}
	for _, b := range d.GetBlocks() {
		c := codec.Codec(unknownCodec)
		if n := b.GetCodec(); n >= 0 && n < unknownCodec {
			c = codec.Codec(n)
		}
		words = append(words, wordsOfBlock(b.GetFirstOffset(), b.GetCount(), c, b.GetLoggedTime().AsTime(), b.GetPublisher(), b.GetPayload()))
	}
	end := fmt.Sprint("next ", d.GetNextOffset(), " tail ", d.GetTailOffset())
	if g := d.GetGap(); g != nil {
		end += fmt.Sprintf(" gap %d %d %q %q", g.GetFromOffset(), g.GetToOffset(), g.GetReason(), causeOf(g.GetCause()))
	}
	return append(words, end)
}

// someDeliveries are what hubs send.
func someDeliveries() []*pb.Delivery {
	logged := timestamppb.New(time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC))
	later := timestamppb.New(time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC))
	fields := bytes.Repeat([]byte{3<<3 | 2, 2, 'h', 'i'}, 50)
	return []*pb.Delivery{
		{},
		{NextOffset: 5, TailOffset: 1 << 60},
		{NextOffset: 9, TailOffset: 9, Gap: &pb.Gap{FromOffset: 1, ToOffset: 9, Reason: "damaged: reason", Cause: "damaged"}},
		{NextOffset: 3, TailOffset: 3, Events: []*pb.StoredEvent{
			{Offset: 0, LoggedTime: logged, Publisher: "spiffe://a/agent/b", Event: []byte("one")},
			{Offset: 1, LoggedTime: logged, Publisher: "spiffe://a/agent/b", Event: []byte("two")},
			{Offset: 2, LoggedTime: later, Publisher: "spiffe://a/agent/c"},
		}},
		{NextOffset: 100, TailOffset: 100, Blocks: []*pb.Block{
			{FirstOffset: 0, Count: 50, LoggedTime: logged, Publisher: "p", Payload: fields},
			{FirstOffset: 50, Count: 50, Codec: pb.Codec_CODEC_S2, LoggedTime: logged, Publisher: "p", Payload: codec.S2.Pack(nil, fields)},
		}},
		{NextOffset: 2, TailOffset: 2, Blocks: []*pb.Block{{FirstOffset: 1, Count: 1, Codec: 300, Payload: []byte("from the future")}}},
	}
}

// notDeliveries are what no hub sends.
func notDeliveries() map[string][]byte {
	block := func(b *pb.Block) []byte {
		encoded, _ := proto.Marshal(&pb.Delivery{Blocks: []*pb.Block{b}})
		return encoded
	}
	return map[string][]byte{
		"a tag that does not end":     {0x80},
		"a field 0":                   {0x02, 0x00},
		"a length beyond the end":     {0x0a, 0x05, 0x08},
		"an event that is cut":        {0x0a, 0x02, 0x08, 0x80},
		"an event with a bad length":  {0x0a, 0x02, 0x22, 0x05},
		"a publisher that is no text": {0x0a, 0x03, 0x1a, 0x01, 0xff},
		"a block with a bad length":   {0x2a, 0x02, 0x32, 0x7f},
		"a block's time that is cut":  {0x2a, 0x03, 0x22, 0x01, 0x08},
		"a gap that is cut":           {0x1a, 0x01, 0x08},
		"a group that does not end":   {0x33},
		"a block of too many events":  block(&pb.Block{Count: stream.MaxEvents + 1}),
		"a block beyond all offsets":  block(&pb.Block{FirstOffset: ^uint64(0), Count: 2}),
	}
}

// TestDeliveryIsReadAsProtoDoes: what a hub sends reads the same as by the generated
// code, unknown fields and messages in several parts with it.
func TestDeliveryIsReadAsProtoDoes(t *testing.T) {
	for i, want := range someDeliveries() {
		plain := encodeMessage(t, want)
		unknown := append([]byte{0x98, 0x06, 0x01, 0xa5, 0x06, 1, 2, 3, 4, 0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8}, plain...)
		unknown = protowire.AppendBytes(protowire.AppendTag(unknown, 99, protowire.BytesType), []byte("later"))
		for name, b := range map[string][]byte{"plain": plain, "unknown fields": unknown} {
			got, err := wordsOf(b)
			if err != nil {
				t.Fatalf("%d, %s: %v", i, name, err)
			}
			if diff := cmp.Diff(wordsOfProto(want), got); diff != "" {
				t.Errorf("%d, %s (-want +got):\n%s", i, name, diff)
			}
		}
	}
	for name, b := range notDeliveries() {
		if words, err := wordsOf(b); !errors.Is(err, errNotDelivery) {
			t.Errorf("%s: %v, %v", name, words, err)
		}
	}
}

// TestWalkingTakesNoMemory: of a message of many empty events and blocks, which would
// take forty times its size as structs, nothing is kept but what is asked for.
func TestWalkingTakesNoMemory(t *testing.T) {
	message := slices.Concat(bytes.Repeat([]byte{0x0a, 0x00}, 100_000), bytes.Repeat([]byte{0x2a, 0x00}, 100_000))
	var d delivery
	var it item
	allocs := testing.AllocsPerRun(3, func() {
		if err := d.open(message); err != nil {
			t.Fatal(err)
		}
		n := 0
		for ok := true; ok; n++ {
			var err error
			if ok, err = d.read(&it); err != nil {
				t.Fatal(err)
			}
		}
		if n != 200_001 {
			t.Fatalf("%d items", n)
		}
	})
	if allocs > 20 {
		t.Errorf("%v allocations", allocs)
	}
}

// FuzzDelivery: whatever comes, the walk agrees with the generated code, but for blocks
// that cannot be, and names of events that are the last one's are not made again.
func FuzzDelivery(f *testing.F) {
	for _, d := range someDeliveries() {
		f.Add(encodeMessage(f, d))
	}
	for _, b := range notDeliveries() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		var want pb.Delivery
		wantErr := proto.Unmarshal(message, &want)
		got, err := wordsOf(message)
		if impossible := slices.ContainsFunc(want.GetBlocks(), func(b *pb.Block) bool {
			return b.GetCount() > stream.MaxEvents || b.GetFirstOffset()+uint64(b.GetCount()) < b.GetFirstOffset()
		}); impossible {
			if err == nil {
				t.Fatal("a block that cannot be")
			}
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("the walk says %v, the generated code %v", err, wantErr)
		}
		if err == nil && !slices.Equal(got, wordsOfProto(&want)) {
			t.Fatalf("the walk:\n%s\nthe generated code:\n%s", strings.Join(got, "\n"), strings.Join(wordsOfProto(&want), "\n"))
		}
	})
}
