package event

import pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"

// NodeState is the word for what has become of a host's node, by its health: in
// metrics, on the command line and at the dashboard alike.
func NodeState(h pb.AgentHealthLevel) string {
	switch h {
	case pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN:
		return "connected"
	case pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_YELLOW:
		return "away"
	case pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_RED:
		return "silent"
	default:
		return "reconnecting"
	}
}
