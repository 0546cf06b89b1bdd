package standalone

import (
	"os"
	"testing"

	"github.com/amoskys/amoskys/internal/node"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestOnlyOwnAgentsAreRemembered: what run/up.json lists is killed by the next up
// when it is left over, so the node of another host must not choose the processes.
func TestOnlyOwnAgentsAreRemembered(t *testing.T) {
	m := &model{host: "here", plan: &plan{agents: []node.Agent{{ID: "proc_agent"}}}}
	status := func(host string, pid int) *pb.AgentStatus {
		return &pb.AgentStatus{
			Id: "proc_agent", Host: host, Pid: uint32(pid), NodeConnected: true, State: pb.AgentState_AGENT_STATE_RUNNING,
		}
	}
	m.merge(&pb.WatchAgentsResponse{Snapshot: true, Agents: []*pb.AgentStatus{status("elsewhere", os.Getppid())}})
	if got := m.agentPIDs(); len(got) != 0 {
		t.Errorf("of another host: %+v", got)
	}
	if ok, _ := m.nodeReady(); ok {
		t.Error("another host's agent makes this node ready")
	}
	m.merge(&pb.WatchAgentsResponse{Agents: []*pb.AgentStatus{status("here", os.Getpid())}})
	if got := m.agentPIDs(); len(got) != 1 || got[0].PID != os.Getpid() {
		t.Errorf("of this host: %+v", got)
	}
	if ok, why := m.nodeReady(); !ok {
		t.Error(why)
	}
}
