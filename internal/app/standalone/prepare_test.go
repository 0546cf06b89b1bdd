package standalone

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/node"
)

// TestNodeHoldsWhatItGives: a node started by up can give its agents no more than it
// was given itself.
func TestNodeHoldsWhatItGives(t *testing.T) {
	with := planned{Settings: app.Settings{Agents: []node.Agent{
		{ID: "flow_agent", Privileges: []string{"CAP_NET_RAW"}},
		{ID: "proc_agent", Uses: []string{"CAP_SYS_PTRACE"}},
	}}}
	want := []string{"CAP_NET_RAW", "CAP_SYS_PTRACE", "CAP_SETPCAP"}
	if diff := cmp.Diff(want, with.privileges()); diff != "" {
		t.Error(diff)
	}
	if got := (planned{}).privileges(); got != nil {
		t.Errorf("a role without agents gets %v", got)
	}
}
