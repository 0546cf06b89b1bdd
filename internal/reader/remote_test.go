package reader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/codec"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// script is a hub that sends deliveries and ends.
type script struct {
	grpc.ClientConnInterface
	grpc.ClientStream

	asked    *pb.SubscribeRequest
	messages [][]byte
}

func (s *script) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return s, nil
}

func (s *script) SendMsg(m any) error {
	s.asked, _ = m.(*pb.SubscribeRequest)
	return nil
}

func (*script) CloseSend() error { return nil }

func (s *script) RecvMsg(m any) error {
	f, ok := m.(*frame)
	if !ok || len(s.messages) == 0 {
		return io.EOF
	}
	// As the codec does: what the last message lay in is written over.
	f.bytes = append(f.bytes[:0], s.messages[0]...)
	s.messages = s.messages[1:]
	return nil
}

// fieldsOf are the encoded events given as fields of a payload.
func fieldsOf(events ...string) (b []byte) {
	for _, e := range events {
		b = protowire.AppendString(protowire.AppendTag(b, 3, protowire.BytesType), e)
	}
	return b
}

func packedBlock(first uint64, events ...string) *pb.Block {
	return &pb.Block{
		FirstOffset: first, Count: uint32(len(events)), Codec: pb.Codec_CODEC_S2, LoggedTime: &timestamppb.Timestamp{Seconds: 7}, Publisher: "p",
		Payload: codec.S2.Pack(nil, fieldsOf(events...)),
	}
}

func storedEvents(first uint64, events ...string) (out []*pb.StoredEvent) {
	for i, e := range events {
		out = append(out, &pb.StoredEvent{Offset: first + uint64(i), LoggedTime: &timestamppb.Timestamp{Seconds: 7}, Publisher: "p", Event: []byte(e)})
	}
	return out
}

// readAll reads what a scripted hub sends, one text a batch: events by offset and text,
// blocks in brackets with their codec, gaps by cause, and where to go on.
func readAll(t *testing.T, req Request, deliveries ...*pb.Delivery) ([]string, *script, error) {
	t.Helper()
	s := &script{}
	for _, d := range deliveries {
		s.messages = append(s.messages, encodeMessage(t, d))
	}
	batches, err := s.read(t, req)
	return batches, s, err
}

func (s *script) read(t *testing.T, req Request) (batches []string, err error) {
	t.Helper()
	req.NoFollow = true
	feed, _, err := NewRemote(s).Open(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = feed.Close() }()
	for {
		b, err := feed.Next(t.Context())
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return batches, err
		}
		batches = append(batches, wordsOfBatch(t, b))
	}
}

func wordsOfBatch(t *testing.T, b *Batch) string {
	t.Helper()
	var words []string
	for _, e := range b.Events {
		if e.Logged.Unix() != 7 || e.Publisher != "p" {
			t.Errorf("event %+v", e)
		}
		words = append(words, fmt.Sprintf("%d%s", e.Offset, e.Encoded))
	}
	for i := range b.Blocks {
		e := &b.Blocks[i]
		if e.Received.Unix() != 7 || e.Publisher != "p" || e.Next != e.First+uint64(e.Count) {
			t.Errorf("block %+v", e)
		}
		words = append(words, "["+e.Codec.String())
		for off, event := range e.Events() {
			words = append(words, fmt.Sprintf("%d%s", off, event))
		}
		words = append(words, "]")
	}
	if b.Gap != nil {
		words = append(words, fmt.Sprintf("<%d-%d %s>", b.Gap.From, b.Gap.To, b.Gap.Cause))
	}
	return strings.Join(append(words, fmt.Sprint("→", b.Next)), " ")
}

// TestRemote: whatever kind of deliveries a hub sends, of events as an old one does or
// of blocks, consumers get what they asked for, bounded and in order.
func TestRemote(t *testing.T) {
	gap := &pb.Gap{FromOffset: 3, ToOffset: 9, Cause: "removed", Reason: "r"}
	broken := packedBlock(3, "x", "y")
	broken.Payload = broken.Payload[:3]
	short := packedBlock(3, "x", "y", "z")
	short.Payload = codec.S2.Pack(nil, fieldsOf("x"))
	future := packedBlock(3, "x", "y")
	future.Codec = 9
	for _, tt := range []struct {
		name          string
		req           Request
		send          []*pb.Delivery
		events, block []string // batches of who wants events, and of who wants blocks; nil: the same
	}{
		{
			name:   "nothing but progress",
			send:   []*pb.Delivery{{NextOffset: 5, TailOffset: 9}},
			events: []string{"→5"},
		}, {
			name:   "an old hub",
			send:   []*pb.Delivery{{Events: storedEvents(0, "a", "b", "c"), NextOffset: 5, TailOffset: 9}},
			events: []string{"0a 1b 2c →5"},
			block:  []string{"[none 0a 1b 2c ] →5"},
		}, {
			name:   "an old hub's events are cut as asked",
			req:    Request{MaxEvents: 2},
			send:   []*pb.Delivery{{Events: storedEvents(0, "a", "b", "c"), NextOffset: 5, TailOffset: 9}},
			events: []string{"0a 1b →2", "2c →5"},
			block:  []string{"[none 0a 1b ] →2", "[none 2c ] →5"},
		}, {
			name:   "events that do not follow each other are blocks of their own",
			send:   []*pb.Delivery{{Events: append(storedEvents(0, "a"), storedEvents(4, "b", "c")...), NextOffset: 6, TailOffset: 9}},
			events: []string{"0a 4b 5c →6"},
			block:  []string{"[none 0a ] [none 4b 5c ] →6"},
		}, {
			name:   "blocks",
			send:   []*pb.Delivery{{Blocks: []*pb.Block{packedBlock(0, "a", "b"), packedBlock(2, "c")}, NextOffset: 3, TailOffset: 9}},
			events: []string{"0a 1b 2c →3"},
			block:  []string{"[s2 0a 1b ] [s2 2c ] →3"},
		}, {
			name:   "a large block is cut for who wants events alone",
			req:    Request{MaxEvents: 2},
			send:   []*pb.Delivery{{Blocks: []*pb.Block{packedBlock(0, "a", "b", "c", "d", "e"), packedBlock(5, "f", "g")}, NextOffset: 7, TailOffset: 9}},
			events: []string{"0a 1b →2", "2c 3d →4", "4e 5f →6", "6g →7"},
			block:  []string{"[s2 0a 1b 2c 3d 4e ] →5", "[s2 5f 6g ] →7", "→7"},
		}, {
			name:   "a block that begins before what was asked for",
			req:    Request{Start: Start{Offset: 1}},
			send:   []*pb.Delivery{{Blocks: []*pb.Block{packedBlock(0, "a", "b", "c")}, NextOffset: 3, TailOffset: 9}},
			events: []string{"1b 2c →3"},
			block:  []string{"[s2 1b 2c ] →3"},
		}, {
			name: "what was had comes again",
			send: []*pb.Delivery{
				{Blocks: []*pb.Block{packedBlock(0, "a", "b", "c")}, NextOffset: 3, TailOffset: 9},
				{Blocks: []*pb.Block{packedBlock(0, "a", "b", "c"), packedBlock(2, "c", "d")}, NextOffset: 4, TailOffset: 9},
				{Events: storedEvents(3, "d", "e"), NextOffset: 5, TailOffset: 9},
			},
			events: []string{"0a 1b 2c →3", "3d →4", "4e →5"},
			block:  []string{"[s2 0a 1b 2c ] →3", "[s2 3d ] →4", "[none 4e ] →5"},
		}, {
			name:   "events and blocks in one",
			send:   []*pb.Delivery{{Events: storedEvents(0, "a"), Blocks: []*pb.Block{packedBlock(1, "b", "c")}, NextOffset: 3, TailOffset: 9}},
			events: []string{"0a 1b 2c →3"},
			block:  []string{"[none 0a ] [s2 1b 2c ] →3"},
		}, {
			name:   "a gap behind events",
			send:   []*pb.Delivery{{Blocks: []*pb.Block{packedBlock(0, "a", "b")}, Gap: gap, NextOffset: 9, TailOffset: 9}},
			events: []string{"0a 1b →3", "<3-9 removed> →9"},
			block:  []string{"[s2 0a 1b ] →3", "<3-9 removed> →9"},
		}, {
			name:   "a gap between events",
			send:   []*pb.Delivery{{Events: append(storedEvents(1, "a"), storedEvents(9, "b")...), Gap: gap, NextOffset: 10, TailOffset: 10}},
			events: []string{"1a →3", "<3-9 removed> →9", "9b →10"},
			block:  []string{"[none 1a ] →3", "<3-9 removed> →9", "[none 9b ] →10"},
		}, {
			name:   "a gap before a block",
			send:   []*pb.Delivery{{Blocks: []*pb.Block{packedBlock(9, "b")}, Gap: gap, NextOffset: 10, TailOffset: 10}},
			events: []string{"<3-9 removed> →9", "9b →10"},
			block:  []string{"<3-9 removed> →9", "[s2 9b ] →10"},
		}, {
			name:   "a gap alone, told twice",
			send:   []*pb.Delivery{{Gap: gap, NextOffset: 9, TailOffset: 9}, {Gap: gap, NextOffset: 9, TailOffset: 9}},
			events: []string{"<3-9 removed> →9", "→9"},
		}, {
			name:   "a gap that ends before it begins",
			send:   []*pb.Delivery{{Gap: &pb.Gap{FromOffset: 9, ToOffset: 3, Cause: "removed"}, NextOffset: 9, TailOffset: 9}},
			events: []string{"<3-3 removed> →3"},
		}, {
			name:   "a block that does not unpack",
			send:   []*pb.Delivery{{Blocks: []*pb.Block{packedBlock(0, "a", "b", "c"), broken, packedBlock(5, "f")}, NextOffset: 6, TailOffset: 9}},
			events: []string{"0a 1b 2c →3", "<3-5 damaged> →5", "5f →6"},
			block:  []string{"[s2 0a 1b 2c ] [s2 ] [s2 5f ] →6"},
		}, {
			name:   "a block that holds fewer events than it says",
			send:   []*pb.Delivery{{Blocks: []*pb.Block{short, packedBlock(6, "f")}, NextOffset: 7, TailOffset: 9}},
			events: []string{"3x →4", "<4-6 damaged> →6", "6f →7"},
			block:  []string{"[s2 3x ] [s2 6f ] →7"},
		}, {
			name:   "a block of a codec from the future",
			send:   []*pb.Delivery{{Blocks: []*pb.Block{future}, NextOffset: 5, TailOffset: 9}},
			events: []string{"<3-5 damaged> →5", "→5"},
			block:  []string{"[codec(9) ] →5"},
		},
	} {
		if tt.block == nil {
			tt.block = tt.events
		}
		for blocks, want := range map[bool][]string{false: tt.events, true: tt.block} {
			tt.req.Blocks = blocks
			got, s, err := readAll(t, tt.req, tt.send...)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, blocks %t: %v\n%q, want\n%q", tt.name, blocks, err, got, want)
			}
			if !s.asked.GetBlocks() || !slices.Equal(s.asked.GetCodecs(), []pb.Codec{pb.Codec_CODEC_S2}) {
				t.Errorf("%s: asked %v", tt.name, s.asked)
			}
		}
	}
	_, s, err := readAll(t, Request{Filter: &pb.Filter{Hosts: []string{"h"}}})
	if err != nil || s.asked.GetBlocks() {
		t.Errorf("with a filter: %v, %v", s.asked, err)
	}
	for name, message := range notDeliveries() {
		if _, err := (&script{messages: [][]byte{message}}).read(t, Request{}); !errors.Is(err, errNotDelivery) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRemoteBatchesAreBounded: a block whose events are many or long comes in batches of
// at most so many bytes, and what it was unpacked into is not unpacked again for each.
func TestRemoteBatchesAreBounded(t *testing.T) {
	events := slices.Repeat([]string{strings.Repeat("x", 1000)}, 2000)
	s := &script{messages: [][]byte{encodeMessage(t, &pb.Delivery{Blocks: []*pb.Block{packedBlock(0, events...)}, NextOffset: 2000, TailOffset: 2000})}}
	feed, _, err := NewRemote(s).Open(t.Context(), Request{MaxEvents: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = feed.Close() }()
	n, batches := 0, 0
	for n < len(events) {
		b, err := feed.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if size := 1000 * len(b.Events); size == 0 || size > maxBatchBytes+1000 {
			t.Fatalf("a batch of %d bytes", size)
		}
		if batches == 0 { // what was received is unpacked once
			f, ok := feed.(*remoteFeed)
			if !ok {
				t.Fatal("another feed")
			}
			clear(f.message.bytes[20:])
		}
		for _, e := range b.Events {
			if int(e.Offset) != n || !bytes.Equal(e.Encoded, []byte(events[0])) {
				t.Fatalf("event %d is %d, %.20q", n, e.Offset, e.Encoded)
			}
			n++
		}
		batches++
	}
	if batches != 8 {
		t.Errorf("%d batches", batches)
	}
}

// TestRemoteMeetsBombs: blocks that unpack to much and hold little are not all in memory
// at a time.
func TestRemoteMeetsBombs(t *testing.T) {
	const blocks, size = 40, 8 << 20
	junk := protowire.AppendBytes(protowire.AppendTag(fieldsOf("x"), 9, protowire.BytesType), make([]byte, size))
	packed := codec.S2.Pack(nil, junk)
	d := &pb.Delivery{NextOffset: blocks, TailOffset: blocks}
	for i := range uint64(blocks) {
		d.Blocks = append(d.Blocks, &pb.Block{FirstOffset: i, Count: 1, Codec: pb.Codec_CODEC_S2, Payload: packed})
	}
	s := &script{messages: [][]byte{encodeMessage(t, d)}}
	feed, _, err := NewRemote(s).Open(t.Context(), Request{MaxEvents: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = feed.Close() }()
	for n := 0; n < blocks; {
		b, err := feed.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f, ok := feed.(*remoteFeed)
		if !ok || f.held > keepBytes+size+1<<10 {
			t.Fatalf("%d bytes are held", f.held)
		}
		n += len(b.Events)
	}
}

// FuzzRemote: whatever a hub sends, a feed ends, in order, and never gives what lies
// before the place where it was asked to begin, nor an offset twice.
func FuzzRemote(f *testing.F) {
	for _, d := range someDeliveries() {
		f.Add(encodeMessage(f, d), encodeMessage(f, d), uint64(1), 2, false)
		f.Add(encodeMessage(f, d), []byte{}, uint64(0), 100, true)
	}
	f.Add(encodeMessage(f, &pb.Delivery{Blocks: []*pb.Block{packedBlock(0, "a", "b"), packedBlock(1, "b", "c", "d")}}), []byte{}, uint64(1), 1, false)
	f.Fuzz(func(t *testing.T, one, two []byte, from uint64, most int, blocks bool) {
		s := &script{messages: [][]byte{one, two}}
		feed, _, err := NewRemote(s).Open(t.Context(), Request{Start: Start{Offset: from}, MaxEvents: min(most, 1000), Blocks: blocks, NoFollow: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = feed.Close() }()
		next := from
		see := func(off stream.Offset) {
			if off < next {
				t.Fatalf("offset %d, all before %d was looked at", off, next)
			}
			next = off + 1
		}
		for {
			b, err := feed.Next(t.Context())
			if err != nil {
				return
			}
			for i := range b.Events {
				see(b.Events[i].Offset)
			}
			for i := range b.Blocks {
				for off := range b.Blocks[i].Events() {
					see(off)
				}
			}
			if b.Gap != nil && (b.Gap.To < next || b.Gap.To < b.Gap.From) {
				t.Fatalf("gap %+v, all before %d was looked at", b.Gap, next)
			}
			if b.Next < next && b.Next != 0 {
				t.Fatalf("next %d, after offset %d", b.Next, next-1)
			}
			next = max(next, b.Next)
		}
	})
}
