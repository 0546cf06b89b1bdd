package fleet_test

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestHostileReportLeavesTheListReadable: what one node reports goes to everybody
// who lists agents, so it must stay valid UTF-8 after it is cut, and hold times
// that exist.
func TestHostileReportLeavesTheListReadable(t *testing.T) {
	f := newFixture(t, openState(t))
	long := strings.Repeat("x", 255) + "é" // the cut at 256 bytes is inside é
	never := &timestamppb.Timestamp{Seconds: math.MaxInt64, Nanos: -1}
	a := running("a")
	a.Kind, a.Version, a.StartedTime, a.LastEventTime = long, long, never, never
	a.CpuPercent, a.EventsPerSecond = math.NaN(), math.Inf(1)
	a.LastExit, a.LastExitTime = strings.Repeat("x", 5_000), never
	f.node(t, "evil", "evil", a)
	eventually(t, "evil/a@evil RUNNING GREEN true", func() string { return f.list(t) })
	list, err := f.client.ListAgents(t.Context(), &pb.ListAgentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	got := list.GetAgents()[0]
	if got.GetKind() != long[:255] || got.GetVersion() != long[:255] {
		t.Errorf("kind %q, version %q", got.GetKind(), got.GetVersion())
	}
	if got.GetStartedTime() != nil || got.GetLastEventTime() != nil {
		t.Errorf("times %v, %v", got.GetStartedTime(), got.GetLastEventTime())
	}
	if len(got.GetLastExit()) != 2_048 || got.GetLastExitTime() != nil {
		t.Errorf("last exit of %d bytes at %v", len(got.GetLastExit()), got.GetLastExitTime())
	}
	if got.GetCpuPercent() != 0 || got.GetEventsPerSecond() != 0 {
		t.Errorf("%v %% CPU, %v ev/s", got.GetCpuPercent(), got.GetEventsPerSecond())
	}
	if err := f.service.Flush(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestHostOfAnotherNode: a host belongs to the node whose certificate bears its
// name. Another node can neither report its agents while that one is away, nor
// keep it out.
func TestHostOfAnotherNode(t *testing.T) {
	f := newFixture(t, openState(t))
	h1 := f.node(t, "h1", "h1", running("a"))
	eventually(t, "h1/a@h1 RUNNING GREEN true", func() string { return f.list(t) })
	h1.cancel()
	eventually(t, "h1/a@h1 UNKNOWN UNSPECIFIED false", func() string { return f.list(t) })
	for _, agent := range []string{"a", "b"} {
		if err := f.node(t, "evil", "h1", running(agent)).end(); status.Code(err) != codes.PermissionDenied {
			t.Errorf("agent %s: %v", agent, err)
		}
	}
	squatter := f.node(t, "evil", "h2", running("a"))
	eventually(t, "h1/a@h1 UNKNOWN UNSPECIFIED false\nh2/a@evil RUNNING GREEN true", func() string { return f.list(t) })
	f.node(t, "h2", "h2", running("a"))
	eventually(t, "h1/a@h1 UNKNOWN UNSPECIFIED false\nh2/a@h2 RUNNING GREEN true", func() string { return f.list(t) })
	squatter.report(running("a"))
	if err := squatter.end(); status.Code(err) != codes.AlreadyExists {
		t.Errorf("the squatter reports on: %v", err)
	}
}
