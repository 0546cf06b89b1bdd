package fleet

import (
	"errors"
	"io"
	"math"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// node is one connected node. Its fields but pending are fixed.
type node struct {
	id, host, version string
	send              chan *pb.NodeCommand
	// gone is closed when the node is no longer this one, replaced as well when
	// that is because a newer stream took its place. Both are closed under
	// Service.mu, once.
	gone, replaced chan struct{}

	// pending holds the commands that wait for an answer; guarded by Service.mu.
	pending map[uint64]chan *pb.CommandResult
	lastID  uint64
}

// Control serves one node until its stream ends. A newer stream of the same
// node replaces the older: it is the older one that has died without word.
func (s *Service) Control(stream grpc.BidiStreamingServer[pb.NodeMessage, pb.NodeCommand]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if err := checkHello(hello); err != nil {
		return err
	}
	if s.o.Bind != nil {
		if err := s.o.Bind(stream.Context(), hello); err != nil {
			return status.Error(codes.PermissionDenied, err.Error())
		}
	}
	n, err := s.connect(hello)
	if err != nil {
		return err
	}
	s.o.Logger.InfoContext(stream.Context(), "node connected", "node", n.id, "host", n.host, "version", n.version)
	defer s.o.Logger.InfoContext(stream.Context(), "node disconnected", "node", n.id, "host", n.host)
	defer s.disconnect(n)
	received := make(chan error, 1)
	// Recv returns when this handler does, as that ends the stream.
	go func() { received <- s.receive(stream, n) }()
	for {
		select {
		case command := <-n.send:
			if err := stream.Send(command); err != nil {
				return err
			}
		case err := <-received:
			return err
		case <-stream.Context().Done():
			// The hub is stopping, or the node's connection has ended.
			return status.FromContextError(stream.Context().Err()).Err()
		case <-n.replaced:
			return status.Error(codes.Aborted, "another stream of this node took over")
		}
	}
}

func checkHello(hello *pb.NodeHello) error {
	switch {
	case hello == nil:
		return status.Error(codes.InvalidArgument, "the first message must be hello")
	case !validName(hello.GetNodeId()):
		return status.Errorf(codes.InvalidArgument, "hello.node_id must be 1 to %d printable bytes", maxText)
	case !validName(hello.GetHost().GetName()):
		return status.Errorf(codes.InvalidArgument, "hello.host.name must be 1 to %d printable bytes", maxText)
	}
	return checkAgents(hello.GetAgents())
}

func checkAgents(agents []*pb.AgentStatus) error {
	if len(agents) > maxAgentsPerNode {
		return status.Errorf(codes.InvalidArgument, "a node has at most %d agents, not %d", maxAgentsPerNode, len(agents))
	}
	for _, a := range agents {
		if !validName(a.GetId()) || strings.Contains(a.GetId(), "/") {
			return status.Errorf(codes.InvalidArgument, "an agent id must be 1 to %d printable bytes without a slash", maxText)
		}
	}
	return nil
}

func validName(s string) bool {
	return s != "" && len(s) <= maxText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// receive takes a node's messages until the stream ends.
func (s *Service) receive(stream grpc.BidiStreamingServer[pb.NodeMessage, pb.NodeCommand], n *node) error {
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch m := message.GetMessage().(type) {
		case *pb.NodeMessage_Report:
			if err := checkAgents(m.Report.GetAgents()); err != nil {
				return err
			}
			if err := s.report(n, m.Report.GetAgents()); err != nil {
				return err
			}
		case *pb.NodeMessage_Result:
			if err := s.result(n, m.Result); err != nil {
				return err
			}
		case *pb.NodeMessage_Hello:
			return status.Error(codes.InvalidArgument, "hello comes once")
		default:
			// A message of a later version: nothing to do with it.
		}
	}
}

// connect makes n the node of its id, with exactly the agents of its hello.
func (s *Service) connect(hello *pb.NodeHello) (*node, error) {
	n := &node{
		id: hello.GetNodeId(), host: hello.GetHost().GetName(), version: cut(hello.GetVersion(), maxText),
		send: make(chan *pb.NodeCommand, maxSendQueue), pending: map[uint64]chan *pb.CommandResult{},
		gone: make(chan struct{}), replaced: make(chan struct{}),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.host != n.id && s.isNode(n.host) {
		return nil, status.Errorf(codes.PermissionDenied, "host %q is that of another node: node %q may not speak for it", n.host, n.id)
	}
	if old := s.nodes[n.id]; old != nil {
		close(old.replaced)
		close(old.gone)
	} else if len(s.nodes) >= maxNodes {
		return nil, status.Errorf(codes.ResourceExhausted, "the hub has its most of %d nodes", maxNodes)
	}
	s.nodes[n.id] = n
	named := map[key]bool{}
	for _, a := range hello.GetAgents() {
		named[key{n.host, a.GetId()}] = true
	}
	for k, a := range s.agents {
		if a.GetNodeId() == n.id && !named[k] {
			s.drop(k)
		}
	}
	if err := s.putReported(n, hello.GetAgents()); err != nil {
		s.remove(n)
		return nil, err
	}
	return n, nil
}

// isNode says that a node of this id is connected or has reported agents. The
// caller holds mu.
func (s *Service) isNode(id string) bool {
	if s.nodes[id] != nil {
		return true
	}
	for _, a := range s.agents {
		if a.GetNodeId() == id {
			return true
		}
	}
	return false
}

// report takes over what a node says, unless another stream has replaced it.
func (s *Service) report(n *node, agents []*pb.AgentStatus) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes[n.id] != n {
		return nil
	}
	return s.putReported(n, agents)
}

// putReported stores reported agents. The caller holds mu.
func (s *Service) putReported(n *node, agents []*pb.AgentStatus) error {
	for _, a := range agents {
		k := key{n.host, a.GetId()}
		old := s.agents[k]
		if old == nil && len(s.agents) >= maxAgents {
			return status.Errorf(codes.ResourceExhausted, "the hub has its most of %d agents", maxAgents)
		}
		// The node that bears the host's name is not kept out by another.
		if old != nil && old.GetNodeId() != n.id && n.id != n.host && s.nodes[old.GetNodeId()] != nil {
			return status.Errorf(codes.AlreadyExists, "agent %s belongs to node %s, which is connected", k, old.GetNodeId())
		}
		s.put(k, s.reported(n, a))
	}
	return nil
}

// reported is what a node said of an agent, bounded, with what the hub knows
// better: whose it is, and that it is connected.
func (*Service) reported(n *node, a *pb.AgentStatus) *pb.AgentStatus {
	a = proto.CloneOf(a)
	a.ProtoReflect().SetUnknown(nil)
	a.Host, a.NodeId, a.NodeConnected = n.host, n.id, true
	a.Kind, a.Version, a.Detail = cut(a.GetKind(), maxText), cut(a.GetVersion(), maxText), cut(a.GetDetail(), maxDetail)
	a.StartedTime, a.LastEventTime = valid(a.GetStartedTime()), valid(a.GetLastEventTime())
	a.EventsPerSecond, a.CpuPercent = finite(a.GetEventsPerSecond()), finite(a.GetCpuPercent())
	if _, known := pb.AgentState_name[int32(a.GetState())]; !known {
		a.State = pb.AgentState_AGENT_STATE_UNKNOWN
	}
	if _, known := pb.AgentHealthLevel_name[int32(a.GetHealth())]; !known || a.GetHealth() == pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_UNSPECIFIED {
		a.Health = healthOf(a.GetState())
	}
	return a
}

// valid is nil for a time that no calendar has: it could not be written as JSON.
func valid(t *timestamppb.Timestamp) *timestamppb.Timestamp {
	if !t.IsValid() {
		return nil
	}
	return t
}

// finite is 0 for what JSON cannot hold.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// healthOf is the colour of a state, for a node that does not say.
func healthOf(state pb.AgentState) pb.AgentHealthLevel {
	switch state {
	case pb.AgentState_AGENT_STATE_RUNNING:
		return pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN
	case pb.AgentState_AGENT_STATE_STARTING, pb.AgentState_AGENT_STATE_DEGRADED, pb.AgentState_AGENT_STATE_STOPPING:
		return pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_YELLOW
	case pb.AgentState_AGENT_STATE_STOPPED, pb.AgentState_AGENT_STATE_CRASHED:
		return pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_RED
	case pb.AgentState_AGENT_STATE_UNSPECIFIED, pb.AgentState_AGENT_STATE_UNKNOWN:
	}
	return pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_UNSPECIFIED
}

// cut shortens text to n bytes, at a whole character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// disconnect takes a node off, unless it was replaced.
func (s *Service) disconnect(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes[n.id] == n {
		s.remove(n)
	}
}

// remove takes a node off and marks its agents. The caller holds mu.
func (s *Service) remove(n *node) {
	delete(s.nodes, n.id)
	close(n.gone)
	for k, a := range s.agents {
		if a.GetNodeId() == n.id {
			s.put(k, vanished(a))
		}
	}
}
