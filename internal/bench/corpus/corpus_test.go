package corpus_test

import (
	"errors"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/amoskys/amoskys/internal/bench/corpus"
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub/admit"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	host  = "bench-00042"
	agent = "bench_00042"
)

func newSender(t *testing.T, first int) (*corpus.Events, *corpus.Sender) {
	t.Helper()
	events, err := corpus.Load(host, agent)
	if err != nil {
		t.Fatal(err)
	}
	s, err := events.NewSender(host, agent, first)
	if err != nil {
		t.Fatal(err)
	}
	return events, s
}

// split returns the events of a run of fields.
func split(t *testing.T, fields []byte) (events [][]byte) {
	t.Helper()
	for len(fields) > 0 {
		number, _, n := protowire.ConsumeTag(fields)
		b, m := protowire.ConsumeBytes(fields[max(n, 0):])
		if number != 3 || m < 0 {
			t.Fatalf("no event field behind %d events", len(events))
		}
		events, fields = append(events, b), fields[n+m:]
	}
	return events
}

// TestHubTakesAll: the hub's judge accepts each event, the first and the second time,
// each has an id of its own, and what was not renewed is as it was recorded.
func TestHubTakesAll(t *testing.T) {
	recorded, err := corpus.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	events, s := newSender(t, 5)
	rules := admit.Rules{Host: host, AgentID: agent, MaxEventBytes: 1 << 20, MaxEvents: 1000}
	ids, bodies, now := map[event.ID]bool{}, map[string]bool{}, time.Now()
	for i := 0; i < 2*events.Len(); {
		for _, b := range split(t, s.Append(nil, 77, now)) {
			envelope, refusal := admit.Judge(b, &rules)
			if refusal != nil {
				t.Fatalf("event %d: %v %s", i, refusal.Reason, refusal.Detail)
			}
			if age := now.Sub(time.Unix(0, envelope.UnixNano)); age < -10*time.Second || age > 5*time.Minute {
				t.Fatalf("event %d is %v old", i, age)
			}
			ids[envelope.ID] = true
			bodies[string(sameAgain(t, b, recorded[(i+5)%len(recorded)]))] = true
			i++
		}
	}
	if len(ids) < 2*events.Len() {
		t.Errorf("%d ids in %d events", len(ids), 2*events.Len())
	}
	t.Logf("%d of %d events are distinct but for id and time", len(bodies), events.Len())
	if len(bodies) < events.Len()*85/100 {
		t.Error("too many are the same")
	}
}

// sameAgain checks that an event is the recorded one but for what is renewed, and
// returns what of the recorded one is neither its id nor its time.
func sameAgain(t *testing.T, got, recorded []byte) []byte {
	t.Helper()
	var a, b pb.Event
	if err := errors.Join(proto.Unmarshal(got, &a), proto.Unmarshal(recorded, &b)); err != nil {
		t.Fatal(err)
	}
	rest, ok := proto.Clone(&b).(*pb.Event)
	if !ok {
		t.Fatal("a clone is another message")
	}
	rest.Id, rest.Time = nil, nil
	distinct, err := proto.MarshalOptions{Deterministic: true}.Marshal(rest)
	if err != nil {
		t.Fatal(err)
	}
	later := a.GetTime().GetSeconds() - b.GetTime().GetSeconds()
	b.Time.Seconds += later
	for _, p := range []*pb.Process{b.GetProcess().GetProcess(), b.GetProcess().GetParent()} {
		if p.GetCreatedTime() != nil {
			p.CreatedTime.Seconds += later
		}
	}
	b.Id, b.Host.Name, b.Agent.Id = a.GetId(), host, agent
	if !proto.Equal(&a, &b) {
		t.Fatalf("sent %v\nrecorded %v", &a, &b)
	}
	return distinct
}

// TestSingleEvents: one by one they are the same events.
func TestSingleEvents(t *testing.T) {
	events, s := newSender(t, 0)
	recorded, err := corpus.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	for i := range events.Len() + 3 {
		sameAgain(t, s.AppendEvent(nil, time.Now()), recorded[i%len(recorded)])
	}
}

// What README.md and docs/performance.md state.
const (
	statedBytes    = 453
	statedFields   = 45
	statedPacked10 = 173 // s2
	statedPacked   = 102
)

// TestAsStated: size, fields and how well batches pack are as stated, within a tenth.
func TestAsStated(t *testing.T) {
	events, s := newSender(t, 0)
	recorded, err := corpus.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	fields := 0
	for _, b := range recorded {
		var ev pb.Event
		if err := proto.Unmarshal(b, &ev); err != nil {
			t.Fatal(err)
		}
		fields += countFields(ev.ProtoReflect())
	}
	near(t, "bytes of an event", events.MeanBytes(), statedBytes)
	near(t, "fields of an event", float64(fields)/float64(len(recorded)), statedFields)
	fast, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer fast.Close()
	for _, tt := range []struct {
		batch int
		want  float64
	}{{10, statedPacked10}, {100, statedPacked}} {
		packed, cross, n := 0, 0, 0
		for n < events.Len() {
			raw := s.Append(nil, tt.batch, time.Now())
			packed, cross, n = packed+len(codec.S2.Pack(nil, raw)), cross+len(fast.EncodeAll(raw, nil)), n+tt.batch
		}
		t.Logf("batches of %d: s2 %.1f B an event, zstd %.1f B", tt.batch, float64(packed)/float64(n), float64(cross)/float64(n))
		near(t, "bytes of an event in a packed batch", float64(packed)/float64(n), tt.want)
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	t.Logf("%s: %.1f, stated %.1f", what, got, want)
	if got < want*0.9 || got > want*1.1 {
		t.Errorf("%s: %.1f is not within a tenth of %.1f", what, got, want)
	}
}

// countFields counts a message's fields, those of its messages and each entry of a list.
func countFields(m protoreflect.Message) (n int) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList():
			n += v.List().Len()
		case f.Message() != nil && !f.IsMap():
			n += 1 + countFields(v.Message())
		default:
			n++
		}
		return true
	})
	return n
}

func TestNamesOfAnotherLength(t *testing.T) {
	events, err := corpus.Load("a", "b")
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range [][2]string{{"aa", "b"}, {"a", ""}} {
		if _, err := events.NewSender(names[0], names[1], 0); err == nil {
			t.Errorf("%q: no error", names)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	events, err := corpus.Load(host, agent)
	if err != nil {
		b.Fatal(err)
	}
	s, err := events.NewSender(host, agent, 0)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	var buffer []byte
	for b.Loop() {
		buffer = s.Append(buffer[:0], 100, now)
	}
}
