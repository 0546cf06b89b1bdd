package node

import (
	"context"
	"fmt"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Health answers /healthz. A node that supervises is well: it does so without a
// hub, and a crashed agent is what it is there for. Both are among the reasons.
func (n *Node) Health(context.Context) obs.Health {
	h := obs.Health{OK: true, State: "running"}
	if n.o.Connect != nil && !n.connected.Load() {
		h.Reasons = append(h.Reasons, "the hub is not connected")
	}
	for _, a := range n.Statuses() {
		switch a.GetHealth() {
		case pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN, pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREY:
			continue
		default:
		}
		if a.GetEnabled() {
			h.Reasons = append(h.Reasons, fmt.Sprintf("agent %s: %s", a.GetId(), a.GetDetail()))
		}
	}
	if len(h.Reasons) > 0 {
		h.State = "degraded"
	}
	return h
}
