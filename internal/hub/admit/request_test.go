package admit_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub/admit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

var (
	now   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rules = admit.Rules{Host: "vm", AgentID: "proc_agent", MaxEventBytes: 2000, MaxEvents: 100, MaxUnpackedBytes: 64 << 10, MaxSkew: 24 * time.Hour}
)

func id(n byte) []byte { return bytes.Repeat([]byte{n}, 16) }

func marshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func good(n byte) []byte {
	return marshal(&pb.Event{
		Id: id(n), Time: timestamppb.New(now), Type: "process.execution",
		Host: &pb.Host{Name: "vm"}, Agent: &pb.Agent{Id: "proc_agent"}, Message: strings.Repeat("m", int(n)),
	})
}

func changed(change func(*pb.Event)) []byte {
	ev := &pb.Event{Id: id(9), Time: timestamppb.New(now), Type: "process.execution", Host: &pb.Host{Name: "vm"}}
	change(ev)
	return marshal(ev)
}

func request(events ...[]byte) []byte {
	return marshal(&pb.PublishRequest{ProducerId: id(1), Sequence: 7, Events: events})
}

// batch is the payload that the log shall get.
func batch(events ...[]byte) []byte { return marshal(&pb.EventBatch{Events: events}) }

func join(pieces [][]byte) []byte { return bytes.Join(pieces, nil) }

func TestParse(t *testing.T) {
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 500, protowire.VarintType), 42)
	tests := []struct {
		name     string
		request  []byte
		payload  []byte
		count    int
		refused  []pb.RefusalReason
		skewed   int
		producer bool
	}{
		{name: "empty", request: nil, payload: batch()},
		{name: "one", request: request(good(1)), payload: batch(good(1)), count: 1, producer: true},
		{name: "three", request: request(good(1), good(2), good(3)), payload: batch(good(1), good(2), good(3)), count: 3, producer: true},
		{
			name: "without producer", request: marshal(&pb.PublishRequest{Events: [][]byte{good(1)}}),
			payload: batch(good(1)), count: 1,
		},
		{
			name: "bad ones alone are refused", payload: batch(good(1), good(3)), count: 2, producer: true,
			request: request([]byte("garbage"), good(1), nil, changed(func(e *pb.Event) { e.Id = e.Id[:8] }),
				changed(func(e *pb.Event) { e.Id = nil }), changed(func(e *pb.Event) { e.Time = nil }), good(3),
				changed(func(e *pb.Event) { e.Type = "" }), changed(func(e *pb.Event) { e.Message = strings.Repeat("x", 2000) }),
				changed(func(e *pb.Event) { e.Agent = &pb.Agent{Id: "flow_agent"} })),
			refused: []pb.RefusalReason{
				pb.RefusalReason_REFUSAL_REASON_MALFORMED, pb.RefusalReason_REFUSAL_REASON_NO_ID,
				pb.RefusalReason_REFUSAL_REASON_NO_ID, pb.RefusalReason_REFUSAL_REASON_NO_ID,
				pb.RefusalReason_REFUSAL_REASON_NO_TIME, pb.RefusalReason_REFUSAL_REASON_NO_TYPE,
				pb.RefusalReason_REFUSAL_REASON_TOO_LARGE, pb.RefusalReason_REFUSAL_REASON_WRONG_AGENT,
			},
		},
		{
			name: "unknown fields of an event are kept", count: 1, producer: true,
			request: request(append(good(1), unknown...)), payload: batch(append(good(1), unknown...)),
		},
		{
			name: "unknown fields of the request are not", count: 2, producer: true,
			request: slices.Concat(request(good(1)), unknown, batch(good(2)), unknown),
			payload: batch(good(1), good(2)),
		},
		{
			name: "fields in any order", count: 1, producer: true,
			request: slices.Concat(batch(good(1)), marshal(&pb.PublishRequest{Sequence: 7}), marshal(&pb.PublishRequest{ProducerId: id(1)})),
			payload: batch(good(1)),
		},
		{
			name: "a day of skew is accepted and counted", count: 3, skewed: 2, producer: true,
			request: request(at(-25*time.Hour), at(25*time.Hour), at(23*time.Hour)),
			payload: batch(at(-25*time.Hour), at(25*time.Hour), at(23*time.Hour)),
		},
		{
			name: "an event without agent is the stream's", count: 1, producer: true,
			request: request(changed(func(*pb.Event) {})), payload: batch(changed(func(*pb.Event) {})),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r admit.Request
			for cut := range len(tt.request) + 1 {
				pieces := [][]byte{tt.request[:cut], {}, tt.request[cut:]}
				if err := r.Parse(pieces, &rules, now); err != nil {
					t.Fatalf("cut at %d: %v", cut, err)
				}
				if got := join(r.Payload); !bytes.Equal(got, tt.payload) || r.Bytes != len(got) {
					t.Fatalf("cut at %d: payload of %d bytes is wrong: %x", cut, r.Bytes, got)
				}
				if r.Count != tt.count || r.Skewed != tt.skewed || r.HasProducer != tt.producer {
					t.Fatalf("cut at %d: count %d, skewed %d, producer %t", cut, r.Count, r.Skewed, r.HasProducer)
				}
				if tt.producer && (r.Sequence != 7 || !bytes.Equal(r.ProducerID[:], id(1))) {
					t.Fatalf("cut at %d: sequence %d of producer %x", cut, r.Sequence, r.ProducerID)
				}
				var reasons []pb.RefusalReason
				for _, f := range r.Refused {
					reasons = append(reasons, f.Reason)
				}
				if diff := cmp.Diff(tt.refused, reasons); diff != "" {
					t.Fatalf("cut at %d: refused (-want +got):\n%s", cut, diff)
				}
			}
		})
	}
}

func at(d time.Duration) []byte {
	return changed(func(e *pb.Event) { e.Time = timestamppb.New(now.Add(d)) })
}

func TestRefusalsNameTheirIndex(t *testing.T) {
	var r admit.Request
	if err := r.Parse([][]byte{request(good(1), nil, good(2), nil)}, &rules, now); err != nil {
		t.Fatal(err)
	}
	if len(r.Refused) != 2 || r.Refused[0].Index != 1 || r.Refused[1].Index != 3 || r.Refused[0].Detail == "" {
		t.Errorf("refused: %+v", r.Refused)
	}
}

func TestParseRefusesTheRequest(t *testing.T) {
	whole := request(good(1), good(2))
	tests := []struct {
		name    string
		request []byte
		want    error
	}{
		{"tag cut off", []byte{0x80}, admit.ErrMalformed},
		{"field number 0", []byte{0x00, 0x01}, admit.ErrMalformed},
		{"group", []byte{0x4b, 0x4c}, admit.ErrMalformed},
		{"wire type 7", []byte{0x0f}, admit.ErrMalformed},
		{"endless varint", bytes.Repeat([]byte{0xff}, 30), admit.ErrMalformed},
		{"length beyond the end", []byte{0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f}, admit.ErrMalformed},
		{"length that is negative as an int", []byte{0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, admit.ErrMalformed},
		{"fixed64 cut off", []byte{0x21, 1, 2}, admit.ErrMalformed},
		{"length not in its shortest form", append([]byte{0x1a, 0x81, 0x00}, 'x'), admit.ErrMalformed},
		{"tag not in its shortest form", []byte{0x9a, 0x00, 0x01, 'x'}, admit.ErrMalformed},
		{"producer id of 15 bytes", marshal(&pb.PublishRequest{ProducerId: id(1)[:15], Sequence: 1}), admit.ErrMalformed},
		{"producer id of zeros", marshal(&pb.PublishRequest{ProducerId: id(0), Sequence: 1}), admit.ErrMalformed},
		{"producer without sequence", marshal(&pb.PublishRequest{ProducerId: id(1)}), admit.ErrMalformed},
		{"too many events", request(make([][]byte, 101)...), admit.ErrTooManyEvents},
		{"cut off", whole[:len(whole)-1], admit.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r admit.Request
			if err := r.Parse([][]byte{tt.request}, &rules, now); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	events := make([][]byte, 50)
	for i := range events {
		events[i] = good(byte(i + 1))
	}
	b := request(events...)
	pieces := [][]byte{b[:1000], b[1000:2000], b[2000:]}
	var r admit.Request
	n := testing.AllocsPerRun(100, func() {
		if err := r.Parse(pieces, &rules, now); err != nil || r.Count != 50 {
			t.Fatalf("count %d: %v", r.Count, err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a request", n)
	}
}

// FuzzParse holds the walk against the generated decoder: what the walk takes
// must decode, must have been in the request, and must pass Inspect.
func FuzzParse(f *testing.F) {
	f.Add(request(good(1), good(2)), uint16(20))
	f.Add(request(good(1), []byte("garbage"), good(2)), uint16(3))
	f.Add([]byte{0x1a, 0x00, 0x1a, 0x81, 0x00}, uint16(1))
	f.Add(bytes.Repeat([]byte{0x1a, 0x00}, 40), uint16(7))
	f.Add(packed(good(1), good(2)), uint16(30))
	f.Add(packed(good(1), []byte("garbage"), good(2)), uint16(200))
	f.Add(slices.Concat(packed(good(1)), batch(good(2))), uint16(5))
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		at := min(int(cut), len(b))
		loose := rules
		loose.AgentID = ""
		var r, whole admit.Request
		err := r.Parse([][]byte{b[:at], b[at:]}, &loose, now)
		if other := whole.Parse([][]byte{b}, &loose, now); (err == nil) != (other == nil) {
			t.Fatalf("in two pieces: %v, in one: %v", err, other)
		}
		if err != nil {
			return
		}
		if r.Codec != whole.Codec || !bytes.Equal(join(r.Payload), join(whole.Payload)) {
			t.Fatal("the pieces change what is taken")
		}
		var decoded pb.PublishRequest
		if err := proto.Unmarshal(b, &decoded); err != nil {
			t.Fatalf("the walk takes what protobuf does not: %v", err)
		}
		var taken pb.EventBatch
		if err := proto.Unmarshal(unpack(t, &r), &taken); err != nil {
			t.Fatalf("the payload does not decode: %v", err)
		}
		came := eventsOf(t, &decoded)
		if len(taken.GetEvents()) != r.Count || r.Count+len(r.Refused) != len(came) {
			t.Fatalf("%d events taken, %d refused, %d in the payload, %d in the request",
				r.Count, len(r.Refused), len(taken.GetEvents()), len(came))
		}
		for _, e := range taken.GetEvents() {
			if _, err := event.Inspect(e); err != nil {
				t.Fatalf("took an event that is not good: %v", err)
			}
		}
		if r.HasProducer && (r.Sequence != decoded.GetSequence() || !bytes.Equal(r.ProducerID[:], decoded.GetProducerId())) {
			t.Fatal("producer or sequence differ from the decoder's")
		}
	})
}

// eventsOf returns the events of a request that was taken, unpacked.
func eventsOf(t *testing.T, r *pb.PublishRequest) [][]byte {
	t.Helper()
	if r.GetCodec() == pb.Codec_CODEC_UNSPECIFIED {
		if len(r.GetCompressed()) > 0 {
			t.Fatal("took what is packed without codec")
		}
		return r.GetEvents()
	}
	raw, err := codec.S2.Unpack(nil, r.GetCompressed(), rules.MaxUnpackedBytes)
	var inner pb.EventBatch
	if err != nil || len(r.GetEvents()) > 0 || proto.Unmarshal(raw, &inner) != nil {
		t.Fatalf("took events and packed ones, or what does not unpack: %v", err)
	}
	return inner.GetEvents()
}

// TestRefusalsAreBounded: as many as an agent could need are told one by one.
func TestRefusalsAreBounded(t *testing.T) {
	wide := rules
	wide.MaxEvents = 65_536
	for _, tt := range []struct {
		events int
		want   error
	}{{4096, nil}, {4097, admit.ErrTooManyBad}, {65_536, admit.ErrTooManyBad}} {
		var r admit.Request
		err := r.Parse([][]byte{request(make([][]byte, tt.events)...)}, &wide, now)
		if !errors.Is(err, tt.want) || tt.want == nil && len(r.Refused) != tt.events {
			t.Errorf("%d empty events: %v, %d refusals", tt.events, err, len(r.Refused))
		}
		if tt.want != nil && !strings.Contains(err.Error(), "event has no id") {
			t.Errorf("the reason is missing: %v", err)
		}
	}
}
