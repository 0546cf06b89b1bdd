package agent_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/agenttest"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// badEvents is every way in which an event can be one that no hub takes, by the
// reason it is counted under.
func badEvents() map[string][]*pb.Event {
	const notText = "caf\xe9 \xff"
	process := func(p *pb.Process) *pb.Event {
		return &pb.Event{Type: "test.bad", Body: &pb.Event_Process{Process: &pb.ProcessActivity{Process: p}}}
	}
	return map[string][]*pb.Event{
		"malformed": {
			nil,
			{Type: "test." + notText},
			{Type: "test.bad", Message: notText},
			{Type: "test.bad", Labels: map[string]string{notText: "x"}},
			{Type: "test.bad", Labels: map[string]string{"x": notText}},
			{Type: "test.bad", Host: &pb.Host{OsType: notText, Name: "localhost"}},
			process(&pb.Process{CmdLine: notText}),
			process(&pb.Process{Args: []string{"ok", notText}}),
			process(&pb.Process{User: &pb.User{Name: notText}}),
			{Type: "test.bad", Time: &timestamppb.Timestamp{Seconds: math.MaxInt64}},
			{Type: "test.bad", Time: &timestamppb.Timestamp{Seconds: 1, Nanos: -1}},
			{Type: "test.bad", Body: &pb.Event_AgentHealth{AgentHealth: &pb.AgentHealth{Uptime: durationpb.New(-1)}}},
		},
		"no_type": {
			{},
			{Type: strings.Repeat("t", 4096)},
			{Type: "Test.bad"},
		},
		"reserved_type": {
			{Type: "audit.activity"},
			{Type: "test.bad", Body: &pb.Event_Audit{Audit: &pb.AuditActivity{}}},
			{Type: "finding.other.bad"},
		},
		"wrong_host": {
			{Type: "test.bad", Host: &pb.Host{Name: "vm"}},
			{Type: "test.bad", About: &pb.Device{Name: "switch-1"}},
		},
		"no_id": {
			{Type: "test.bad", Id: []byte{1, 2, 3}},
			{Type: "test.bad", Id: make([]byte, 16)},
		},
		"no_time": {
			{Type: "test.bad", Time: &timestamppb.Timestamp{}},
			{Type: "test.bad", Time: timestamppb.New(time.Unix(-5, 0))},
		},
		"too_large": {
			{Type: "test.bad", Message: strings.Repeat("x", 2<<20)},
			{Type: "test.bad", Message: strings.Repeat("x", 20<<20)},
		},
	}
}

// mixer publishes each bad event between two good ones, all in one call, and then
// each bad event in a call of its own.
type mixer struct {
	o    agent.Options
	errs chan error
}

func (a mixer) Run(ctx context.Context) error {
	good := func() *pb.Event { return &pb.Event{Type: "test.good"} }
	var mixed, alone []*pb.Event
	for _, events := range badEvents() {
		for _, ev := range events {
			mixed = append(mixed, good(), ev)
		}
	}
	for _, events := range badEvents() {
		alone = append(alone, events...)
	}
	a.errs <- a.o.Publisher.Publish(ctx, append(mixed, good())...)
	for _, ev := range alone {
		a.errs <- a.o.Publisher.Publish(ctx, ev)
	}
	a.errs <- a.o.Publisher.Publish(ctx, good())
	close(a.errs)
	<-ctx.Done()
	return nil
}

// TestBadEventsAreDroppedAlone: what an agent reads on its host may be anything;
// one event that cannot be sent costs neither its neighbours nor the agent.
func TestBadEventsAreDroppedAlone(t *testing.T) {
	w := newWorld(t, "")
	errs := make(chan error, 100)
	addr, stop := w.startAs(t, tickDefinition(func(o agent.Options) (agent.Agent, error) { return mixer{o, errs}, nil }))
	for err := range errs {
		if err != nil {
			t.Errorf("publish: %v", err)
		}
	}
	want, bad := map[string]uint64{"full": 0, "disk": 0, "damaged": 0}, 0
	for reason, events := range badEvents() {
		want[reason] = 2 * uint64(len(events))
		bad += len(events)
	}
	events := w.hub.Wait(t, 10*time.Second, "every good event", func(events []*pb.Event) bool {
		return len(agenttest.OfType(events, "test.good")) >= bad+2
	})
	if n := len(agenttest.OfType(events, "test.good")); n != bad+2 {
		t.Errorf("%d good events arrived, want %d", n, bad+2)
	}
	if bad := agenttest.OfType(events, "test.bad"); len(bad) > 0 || len(w.hub.Faults()) > 0 {
		t.Errorf("sent %v, the hub found %v", bad, w.hub.Faults())
	}
	s := status(t, addr)
	if diff := cmp.Diff(want, s.DropsByReason); diff != "" || s.EventsDropped != 2*uint64(bad) {
		t.Errorf("dropped %d, by reason (-want +got):\n%s", s.EventsDropped, diff)
	}
	metrics := string(get(t, addr, "/metrics"))
	if line := `amoskys_agent_events_dropped_total{agent_id="tick_agent",reason="no_type"} 6`; !strings.Contains(metrics, line) {
		t.Errorf("/metrics lacks %s", line)
	}
	until(t, "the agent says what it dropped", func() bool { return strings.Contains(status(t, addr).Detail, "events dropped since the start") })
	w.hub.Wait(t, 10*time.Second, "a health event that says so", func(events []*pb.Event) bool {
		for _, ev := range agenttest.OfType(events, "agent.health") {
			if h := ev.GetAgentHealth(); h.GetEventsDroppedTotal() == 2*uint64(bad) && strings.Contains(h.GetDetail(), "events dropped since the start") {
				return true
			}
		}
		return false
	})
	if err := stop(); err != nil {
		t.Errorf("the agent ended: %v", err)
	}
}
