package weigh

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const mib = 1 << 20

func encode(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// manyAgents is a report of n empty entries: two bytes each on the wire.
func manyAgents(n int) *pb.NodeMessage {
	r := &pb.AgentReport{}
	for range n {
		r.Agents = append(r.Agents, &pb.AgentStatus{})
	}
	return &pb.NodeMessage{Message: &pb.NodeMessage_Report{Report: r}}
}

// nested is n finding observables within a metric batch within each other.
func nested(n int) []byte {
	var b []byte
	for range n {
		b = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), b)
	}
	return b
}

func TestCheck(t *testing.T) {
	agents := map[protoreflect.FullName]int{"amoskys.v1.AgentReport.agents": 256}
	packedNumbers := &pb.Histogram{Counts: make([]uint64, 2000)}
	tests := []struct {
		name   string
		of     proto.Message
		bytes  []byte
		limits Limits
		want   error
		text   string
	}{
		{"empty", &pb.NodeMessage{}, nil, Limits{mib, 10, nil}, nil, ""},
		{"as many as a list may have", &pb.NodeMessage{}, encode(t, manyAgents(256)), Limits{mib, 10, agents}, nil, ""},
		{"one more", &pb.NodeMessage{}, encode(t, manyAgents(257)), Limits{mib, 10, agents}, ErrTooHeavy, "amoskys.v1.AgentReport has more than 256 elements"},
		{"lists that are not named", &pb.Filter{}, encode(t, &pb.Filter{Types: make([]string, 11)}), Limits{mib, 10, nil}, ErrTooHeavy, "more than 10"},
		{"lists are counted apart", &pb.Filter{}, encode(t, &pb.Filter{Types: make([]string, 10), Hosts: make([]string, 10)}), Limits{mib, 10, nil}, nil, ""},
		{"lists that a decoder would join", &pb.NodeMessage{}, slices.Concat(encode(t, manyAgents(200)), encode(t, manyAgents(200))), Limits{mib, 10, agents}, ErrMalformed, "holds amoskys.v1.AgentReport twice"},
		{"decoded bytes", &pb.NodeMessage{}, encode(t, manyAgents(200)), Limits{32 << 10, 1000, nil}, ErrTooHeavy, "more than 32768 bytes once decoded"},
		{"texts", &pb.Filter{}, encode(t, &pb.Filter{Query: strings.Repeat("x", 5000)}), Limits{4 << 10, 10, nil}, ErrTooHeavy, ""},
		{"packed numbers", &pb.Histogram{}, encode(t, packedNumbers), Limits{mib, 1999, nil}, ErrTooHeavy, ""},
		{"packed numbers within", &pb.Histogram{}, encode(t, packedNumbers), Limits{mib, 2000, nil}, nil, ""},
		{"packed doubles", &pb.SnmpReading{}, encode(t, &pb.SnmpReading{CpuPercent: make([]float64, 9)}), Limits{mib, 8, nil}, ErrTooHeavy, ""},
		{"maps", &pb.Metric{}, encode(t, &pb.Metric{Labels: map[string]string{"a": "b", "c": "d"}}), Limits{mib, 1, nil}, ErrTooHeavy, ""},
		{"unknown fields", &pb.Filter{}, protowire.AppendBytes(protowire.AppendTag(nil, 900, protowire.BytesType), make([]byte, 5000)), Limits{8 << 10, 10, nil}, ErrTooHeavy, ""},
		{"a known field of another type", &pb.Filter{}, protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7), Limits{mib, 0, nil}, nil, ""},
		{"cut off", &pb.Filter{}, []byte{0x0a, 5, 'a'}, Limits{mib, 10, nil}, ErrMalformed, "field 1 of amoskys.v1.Filter"},
		{"bad tag", &pb.Filter{}, []byte{0xff}, Limits{mib, 10, nil}, ErrMalformed, ""},
		{"groups", &pb.Filter{}, []byte{0x0b, 0x0c}, Limits{mib, 10, nil}, ErrMalformed, ""},
		{"time within", &pb.SearchEventsRequest{}, encode(t, &pb.SearchEventsRequest{Since: timestamppb.Now(), Filter: &pb.Filter{}}), Limits{mib, 10, nil}, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := NewPlan(tt.of.ProtoReflect().Descriptor(), tt.limits).Check(tt.bytes)
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Fatalf("got %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestNesting: a type that holds itself, here a struct's value, cannot be nested
// without end.
func TestNesting(t *testing.T) {
	d := (&pb.EventRequest{}).ProtoReflect().Descriptor()
	p := &Plan{name: d.FullName(), limits: &Limits{Decoded: mib, Elements: 10}}
	p.fields = []field{{}, {kind: message, wire: protowire.BytesType, sub: p}}
	if err := p.Check(nested(maxDepth - 1)); err != nil {
		t.Error(err)
	}
	if err := p.Check(nested(maxDepth)); !errors.Is(err, ErrTooHeavy) {
		t.Errorf("got %v", err)
	}
}

// TestEstimateCoversMemory decodes what costs most for its length and holds the
// estimate against what the runtime says.
func TestEstimateCoversMemory(t *testing.T) {
	metrics := &pb.MetricBatch{}
	for range 2000 {
		metrics.Metrics = append(metrics.Metrics, &pb.Metric{Labels: map[string]string{"a": ""}})
	}
	for name, m := range map[string]proto.Message{
		"empty agents":    manyAgents(4000),
		"empty texts":     &pb.Filter{Types: make([]string, 4000)},
		"one-byte texts":  &pb.CommandResult{Lines: slices.Repeat([]string{"x"}, 4000)},
		"long texts":      &pb.CommandResult{Lines: slices.Repeat([]string{strings.Repeat("x", 1000)}, 500)},
		"packed numbers":  &pb.Histogram{Counts: make([]uint64, 4000)},
		"maps":            metrics,
		"many one-ofs":    &pb.Event{Body: &pb.Event_Finding{Finding: &pb.DetectionFinding{Evidence: make([][]byte, 4000)}}},
		"events in lists": &pb.SearchEventsResponse{Events: slices.Repeat([]*pb.StoredEvent{{Event: []byte{1}, LoggedTime: timestamppb.Now()}}, 1000)},
	} {
		t.Run(name, func(t *testing.T) {
			b := encode(t, m)
			kept := make([]proto.Message, 20)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for i := range kept {
				kept[i] = m.ProtoReflect().New().Interface()
				if err := proto.Unmarshal(b, kept[i]); err != nil {
					t.Fatal(err)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			took := int(after.HeapAlloc-before.HeapAlloc) / len(kept)
			runtime.KeepAlive(kept)
			left := 1 << 40
			p := NewPlan(m.ProtoReflect().Descriptor(), Limits{Decoded: left, Elements: 1 << 30})
			if err := p.walk(b, &left, maxDepth); err != nil {
				t.Fatal(err)
			}
			estimate := 1<<40 - left
			t.Logf("%d bytes on the wire, %d in memory, %d estimated", len(b), took, estimate)
			if estimate < took*9/10 {
				t.Errorf("%d bytes on the wire take %d, the estimate is %d", len(b), took, estimate)
			}
		})
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	b := encode(t, manyAgents(200))
	p := NewPlan((&pb.NodeMessage{}).ProtoReflect().Descriptor(), Limits{Decoded: mib, Elements: 256})
	if n := testing.AllocsPerRun(10, func() {
		if err := p.Check(b); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzCheck: what passes is decoded without an error of its form, and no list of
// it is longer than allowed.
func FuzzCheck(f *testing.F) {
	types := []proto.Message{
		&pb.NodeMessage{}, &pb.SubscribeRequest{}, &pb.SearchEventsRequest{}, &pb.CommandAgentRequest{}, &pb.Event{},
	}
	limits := Limits{Decoded: 64 << 10, Elements: 20}
	plans := make([]*Plan, len(types))
	for i, m := range types {
		plans[i] = NewPlan(m.ProtoReflect().Descriptor(), limits)
	}
	f.Add(uint8(0), encode(f, manyAgents(10)))
	f.Add(uint8(0), bytes.Repeat([]byte{0x12, 0x02, 0x0a, 0x00}, 30))
	f.Add(uint8(1), encode(f, &pb.SubscribeRequest{Filter: &pb.Filter{Types: []string{"a", "b"}, Query: "q"}}))
	f.Add(uint8(2), encode(f, &pb.SearchEventsRequest{Facets: []string{"x"}, Since: timestamppb.Now()}))
	f.Add(uint8(4), encode(f, &pb.Event{Labels: map[string]string{"a": "b"}, Body: &pb.Event_Snmp{Snmp: &pb.SnmpReading{CpuPercent: []float64{1, 2}}}}))
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		i := int(which) % len(types)
		if plans[i].Check(b) != nil {
			return
		}
		m := types[i].ProtoReflect().New()
		// A text that is not UTF-8 and a field number out of range are for the decoder.
		if proto.Unmarshal(b, m.Interface()) == nil {
			checkLists(t, m, limits.Elements)
		}
	})
}

func checkLists(t *testing.T, m protoreflect.Message, most int) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() && v.Map().Len() > most, fd.IsList() && v.List().Len() > most:
			t.Errorf("%s has too many elements", fd.FullName())
		case fd.IsList() && fd.Kind() == protoreflect.MessageKind:
			for i := range v.List().Len() {
				checkLists(t, v.List().Get(i).Message(), most)
			}
		case !fd.IsList() && !fd.IsMap() && fd.Kind() == protoreflect.MessageKind:
			checkLists(t, v.Message(), most)
		}
		return true
	})
}

func BenchmarkCheck(b *testing.B) {
	m := &pb.NodeMessage{Message: &pb.NodeMessage_Report{Report: &pb.AgentReport{}}}
	for range 5 {
		m.GetReport().Agents = append(m.GetReport().Agents, &pb.AgentStatus{
			Id: "proc_agent", Kind: "proc", Host: "host", NodeId: "host", Version: "1.0", StartedTime: timestamppb.Now(), EventsTotal: 1000,
		})
	}
	encoded := encode(b, m)
	p := NewPlan(m.ProtoReflect().Descriptor(), Limits{Decoded: mib, Elements: 256})
	b.SetBytes(int64(len(encoded)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Check(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
