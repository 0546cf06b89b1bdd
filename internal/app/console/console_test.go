package console

import (
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/app/remote"
)

// TestAgentRunByHand: of an agent that somebody started by hand no node tells figures.
func TestAgentRunByHand(t *testing.T) {
	for byHand, want := range map[bool]string{true: "mac_telemetry vm running 42 50003 run by hand", false: "mac_telemetry vm running 42 50003 0 0 B 0.0% run by hand"} {
		a := remote.AgentStatus{ID: "mac_telemetry", Host: "vm", State: "running", PID: 42, Port: 50003, Unsupervised: byHand, Detail: "run by hand"}
		row := agentTable([]remote.AgentStatus{a}).Lines()[1]
		if got := strings.Join(strings.Fields(row), " "); got != want {
			t.Errorf("by hand %v: %q, want %q", byHand, got, want)
		}
	}
}
