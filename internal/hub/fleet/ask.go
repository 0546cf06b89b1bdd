package fleet

import (
	"context"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Found is the one agent that a question was about, and its node.
type Found struct {
	AgentID, Host string
	// NodeID is empty when the command did not reach the node.
	NodeID string
	// Gone is closed when the node's stream, on which the command went, has ended.
	Gone <-chan struct{}
}

// Ask carries a command of another service to the node of the agent that id and
// host name, and waits for its answer. Errors are those of CommandAgent; Found
// says with an error too what is known. The service audits what it asks for.
func (s *Service) Ask(ctx context.Context, id, host string, c *pb.NodeCommand) (*pb.CommandResult, Found, error) {
	k, err := s.resolve(id, host)
	if err != nil {
		return nil, Found{}, err
	}
	c.AgentId = k.id
	found := Found{AgentID: k.id, Host: k.host}
	result, n, err := s.command(ctx, k, c)
	if n != nil {
		found.NodeID, found.Gone = n.id, n.gone
	}
	return result, found, err
}

// Tell sends a node a command whose answer nobody waits for, and reports whether
// it is on its way: the queue of a node that does not read is full.
func (s *Service) Tell(nodeID string, c *pb.NodeCommand) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[nodeID]
	if n == nil {
		return false
	}
	n.lastID++
	c.Id = n.lastID
	select {
	case n.send <- c:
		return true
	default:
		return false
	}
}
