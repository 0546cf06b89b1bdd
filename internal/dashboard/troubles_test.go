package dashboard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestTroubles(t *testing.T) {
	const (
		green   = pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN
		yellow  = pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_YELLOW
		red     = pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_RED
		unknown = pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_UNSPECIFIED
	)
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(-d)) }
	list := &pb.ListAgentsResponse{
		Nodes: []*pb.NodeStatus{
			{Host: "away", Health: yellow, LastSeenTime: ago(time.Minute)},
			{Host: "blinks", Health: unknown, LastSeenTime: ago(time.Second)},
			{Host: "silent", Health: red, LastSeenTime: ago(time.Hour), Detail: "is the machine on?"},
			{Host: "well", Health: green, LastSeenTime: ago(0)},
		},
		Agents: []*pb.AgentStatus{
			{Host: "away", Id: "a", Health: unknown},
			{Host: "well", Id: "dead", Health: red, Detail: "exit code 2", State: pb.AgentState_AGENT_STATE_CRASHED, Restarts: 4},
			{Host: "well", Id: "mended", Health: green, LastExitTime: ago(14 * time.Minute), LastExit: "exit code 1", Restarts: 1},
			{Host: "well", Id: "mended-long-ago", Health: green, LastExitTime: ago(16 * time.Minute), LastExit: "exit code 1"},
			{Host: "well", Id: "off", Health: pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREY},
			{Host: "well", Id: "unwell", Health: yellow},
		},
	}
	said := func() string {
		var out []string
		for _, x := range troublesOf(list, now) {
			out = append(out, fmt.Sprint(x.Kind, " ", x.Host, " ", x.Agent, " ", x.Health, " ", x.State, " ", x.Detail, " ", x.Restarts))
		}
		return strings.Join(out, "\n")
	}
	want := `host silent  red silent is the machine on? 0
agent well dead red crashed exit code 2 4
host away  yellow away  0
agent well unwell yellow unknown  0
crash well mended green unknown exit code 1 1`
	if got := said(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := countNodes(list.GetNodes()); got != (NodeCounts{Total: 4, Connected: 1, Reconnecting: 1, Away: 1, Silent: 1}) {
		t.Errorf("%+v", got)
	}
	for i := range 100_000 {
		list.Agents = append(list.Agents, &pb.AgentStatus{Host: "h", Id: fmt.Sprint(i), Health: red})
	}
	if got := troublesOf(list, now); len(got) != maxTroubles || got[0].Host != "silent" || got[9].Agent != "7" {
		t.Errorf("%d troubles: %+v", len(got), got)
	}
}
