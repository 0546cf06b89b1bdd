package app

import (
	"testing"

	"github.com/amoskys/amoskys/internal/node"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestNodeIsReadyWithItsAgents(t *testing.T) {
	status := func(id string, state pb.AgentState, connected bool) *pb.AgentStatus {
		return &pb.AgentStatus{Id: id, State: state, NodeConnected: connected}
	}
	running, starting := pb.AgentState_AGENT_STATE_RUNNING, pb.AgentState_AGENT_STATE_STARTING
	wanted := []node.Agent{{ID: "Proc"}} // as a file may spell it; the hub has the one form
	for name, tc := range map[string]struct {
		known []*pb.AgentStatus
		ready bool
	}{
		"nothing known": {nil, false},
		"another":       {[]*pb.AgentStatus{status("macos", running, true)}, false},
		"starting":      {[]*pb.AgentStatus{status("proc", starting, true)}, false},
		"of last time":  {[]*pb.AgentStatus{status("proc", running, false)}, false},
		"reported":      {[]*pb.AgentStatus{status("macos", running, true), status("proc", running, true)}, true},
	} {
		if err := agentsReported(wanted, tc.known); (err == nil) != tc.ready {
			t.Errorf("%s: %v", name, err)
		}
	}
}
