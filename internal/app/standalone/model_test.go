package standalone

import (
	"os"
	"testing"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/node"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestOnlyOwnAgentsAreRemembered: what run/up.json lists is killed by the next up
// when it is left over, so the node of another host must not choose the processes.
func TestOnlyOwnAgentsAreRemembered(t *testing.T) {
	// The hub has the one form of the id that the configuration spells its own way.
	m := &model{host: "here", plan: plan{{Settings: app.Settings{Agents: []node.Agent{{ID: "Proc_Agent"}}}}}}
	status := func(host string, pid int) *pb.AgentStatus {
		return &pb.AgentStatus{
			Id: "proc_agent", Host: host, Pid: uint32(pid), NodeConnected: true, State: pb.AgentState_AGENT_STATE_RUNNING,
		}
	}
	m.merge(&pb.WatchAgentsResponse{Snapshot: true, Agents: []*pb.AgentStatus{status("elsewhere", os.Getppid())}})
	if got := m.agentPIDs(); len(got) != 0 {
		t.Errorf("of another host: %+v", got)
	}
	if got := m.Agents(); len(got) != 0 {
		t.Errorf("another host's agent can make this node ready: %v", got)
	}
	m.merge(&pb.WatchAgentsResponse{Agents: []*pb.AgentStatus{status("here", os.Getpid())}})
	if got := m.agentPIDs(); len(got) != 1 || got[0].PID != os.Getpid() {
		t.Errorf("of this host: %+v", got)
	}
	if got := m.Agents(); len(got) != 1 {
		t.Errorf("this host's agents: %v", got)
	}
}
