package event_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func marked(typ string, change func(*pb.Event)) *pb.Event {
	ev := &pb.Event{
		Id: slices.Repeat([]byte{7}, event.IDSize), Time: timestamppb.New(time.Unix(1e9, 0)), Type: typ,
		Severity: pb.Severity_SEVERITY_INFORMATIONAL, MetricsOnly: true, Body: &pb.Event_Process{Process: &pb.ProcessActivity{}},
	}
	change(ev)
	return ev
}

// Nothing but a marked reading is left out, so that no act can be hidden by the mark.
func TestThinnedReading(t *testing.T) {
	none := func(*pb.Event) {}
	for name, c := range map[string]struct {
		ev   *pb.Event
		want bool
	}{
		"sample":         {marked(event.TypeProcessSample, none), true},
		"snmp":           {marked(event.TypeSNMPReading, func(ev *pb.Event) { ev.Body = &pb.Event_Snmp{Snmp: &pb.SnmpReading{}} }), true},
		"metrics":        {marked(event.TypeMetricBatch, func(ev *pb.Event) { ev.Body = &pb.Event_Metrics{Metrics: &pb.MetricBatch{}} }), true},
		"agent":          {marked(event.TypeAgentHealth, func(ev *pb.Event) { ev.Body = &pb.Event_AgentHealth{AgentHealth: &pb.AgentHealth{}} }), true},
		"hub":            {marked(event.TypeHubHealth, func(ev *pb.Event) { ev.Body = &pb.Event_HubHealth{HubHealth: &pb.HubHealth{}} }), true},
		"not marked":     {marked(event.TypeProcessSample, func(ev *pb.Event) { ev.MetricsOnly = false }), false},
		"severe":         {marked(event.TypeProcessSample, func(ev *pb.Event) { ev.Severity = pb.Severity_SEVERITY_LOW }), false},
		"an act":         {marked(event.TypeProcessExecution, none), false},
		"an end":         {marked(event.TypeProcessExit, none), false},
		"a login inside": {marked(event.TypeProcessSample, func(ev *pb.Event) { ev.Body = &pb.Event_Authentication{Authentication: &pb.Authentication{}} }), false},
		"nothing inside": {marked(event.TypeProcessSample, func(ev *pb.Event) { ev.Body = nil }), false},
		"a like type":    {marked("process.samples", none), false},
		"a finding":      {marked("finding.created", func(ev *pb.Event) { ev.Body = &pb.Event_Finding{Finding: &pb.DetectionFinding{}} }), false},
	} {
		encoded, err := event.Encode(c.ev)
		if err != nil {
			t.Fatal(err)
		}
		left, got := event.ThinnedReading(encoded)
		if got != c.want {
			t.Errorf("%s: thinned is %v", name, got)
		}
		if got && (string(left.ID[:]) != string(c.ev.GetId()) || left.UnixNano != 1e18) {
			t.Errorf("%s: it is %v", name, left)
		}
	}
	for _, typ := range event.ReadingTypes() {
		if !event.IsReading(typ) {
			t.Errorf("%s is no reading", typ)
		}
	}
}

// FuzzThinnedReading: it sees what a decoder sees, however odd the encoding is.
func FuzzThinnedReading(f *testing.F) {
	b, err := event.Encode(marked(event.TypeProcessSample, func(*pb.Event) {}))
	if err != nil {
		f.Fatal(err)
	}
	varint := func(num protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
	}
	text := func(num protowire.Number, v string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), v)
	}
	for _, more := range [][]byte{
		nil, varint(12, 0), varint(12, 2), varint(4, 1<<32|3), varint(4, 0), text(3, "auth.attempt"), text(12, "x"),
		text(23, ""), slices.Concat(text(23, ""), text(20, "")), varint(20, 1), text(31, "new body"),
	} {
		f.Add(slices.Concat(b, more))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		left, got := event.ThinnedReading(in)
		if _, err := event.Inspect(in); err != nil {
			return
		}
		ev, err := event.Decode(in)
		if err != nil {
			t.Fatal(err)
		}
		canonical, err := event.Encode(ev)
		if err != nil {
			t.Fatal(err)
		}
		wantLeft, want := event.ThinnedReading(canonical)
		if got != want || got && left.ID != wantLeft.ID {
			t.Fatalf("%x: %v %v, of the decoded event %v %v", in, left, got, wantLeft, want)
		}
		if got && (!ev.GetMetricsOnly() || !event.IsReading(ev.GetType()) || ev.GetSeverity() > pb.Severity_SEVERITY_INFORMATIONAL) {
			t.Fatalf("%v is left out", ev)
		}
	})
}

func TestSlots(t *testing.T) {
	const every = event.Slots(5 * time.Minute)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	last := map[string]*event.Slot{}
	kept, most := map[string]int{}, 0
	for step := range 720 { // an hour, every five seconds
		now, atOnce := at.Add(time.Duration(step)*5*time.Second), 0
		for i := range 100 {
			uid := fmt.Sprint("uid", i)
			if last[uid] == nil {
				last[uid] = &event.Slot{}
			}
			if every.Keep(last[uid], uid, now) {
				kept[uid]++
				atOnce++
			} else if step == 0 {
				t.Fatal("the first reading is not kept")
			}
		}
		if step > 0 {
			most = max(most, atOnce)
		}
	}
	for uid, n := range kept {
		if n < 12 || n > 13 {
			t.Errorf("of %s %d readings are kept in an hour", uid, n)
		}
	}
	if most > 20 {
		t.Errorf("%d of 100 are kept at once", most)
	}
	var one event.Slot
	for range 3 {
		if !event.Slots(0).Keep(&one, "a", at) {
			t.Error("slots of no length leave something out")
		}
	}
	if n := testing.AllocsPerRun(100, func() { every.Keep(&one, "a", at) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
