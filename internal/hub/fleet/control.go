package fleet

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/identity/hostname"
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
	n, err := s.connect(stream.Context(), hello)
	if err != nil {
		return err
	}
	s.o.Logger.InfoContext(stream.Context(), "node connected", "node", n.id, "host", n.host, "version", n.version)
	defer s.o.Logger.InfoContext(stream.Context(), "node disconnected", "node", n.id, "host", n.host)
	defer s.disconnect(n)
	if s.o.Trusts != nil {
		s.o.Trusts(n.id, cut(hello.GetAuthorities(), maxText))
	}
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

// checkAgents brings the ids of reported agents into the form in which certificates
// and events name them, and returns what is wrong with them.
func checkAgents(agents []*pb.AgentStatus) error {
	if len(agents) > maxAgentsPerNode {
		return status.Errorf(codes.InvalidArgument, "a node has at most %d agents, not %d", maxAgentsPerNode, len(agents))
	}
	for _, a := range agents {
		id := hostname.Normal(a.GetId())
		if !validAgent(id) {
			return status.Errorf(codes.InvalidArgument, "an agent id must be 1 to %d printable bytes without a slash", maxText)
		}
		a.Id = id
	}
	return nil
}

// validAgent reports whether id can be an agent's: HOST/ID must name one agent.
func validAgent(id string) bool { return validName(id) && !strings.Contains(id, "/") }

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
		case *pb.NodeMessage_Progress:
			if s.o.Progress != nil {
				s.o.Progress(n.id, m.Progress)
			}
		case *pb.NodeMessage_Hello:
			return status.Error(codes.InvalidArgument, "hello comes once")
		default:
			// A message of a later version: nothing to do with it.
		}
	}
}

// connect makes n the node of its id, with exactly the agents of its hello.
func (s *Service) connect(ctx context.Context, hello *pb.NodeHello) (*node, error) {
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
	old := s.nodes[n.id]
	if old != nil {
		close(old.replaced)
		close(old.gone)
	} else if len(s.nodes) >= maxNodes {
		return nil, status.Errorf(codes.ResourceExhausted, "the hub has its most of %d nodes", maxNodes)
	}
	s.nodes[n.id] = n
	s.arrived(n)
	s.sight(ctx, n, hello, old != nil)
	named := map[key]bool{}
	for _, a := range hello.GetAgents() {
		named[key{n.host, a.GetId()}] = true
	}
	for k := range s.byNode[n.id] {
		if !named[k] {
			s.drop(k)
			s.showByHand(k)
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
	return s.nodes[id] != nil || len(s.byNode[id]) > 0
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

// putReported stores reported agents, unless another node has them:
//
//	whose the agent is         | the node bears the | it does not
//	                           | host's name        |
//	---------------------------+--------------------+--------------
//	nobody's                   | stored, if there is room for one more
//	its own                    | stored
//	a node's, not connected    | stored, and now its own
//	a node's, connected        | the same           | ALREADY_EXISTS
//
// So the node that bears the host's name is not kept out by another. One that
// does not is refused by connect as soon as the bearer is known. The caller
// holds mu.
func (s *Service) putReported(n *node, agents []*pb.AgentStatus) error {
	for _, a := range agents {
		k := key{n.host, a.GetId()}
		old := s.agents[k]
		if old == nil && len(s.agents) >= maxAgents {
			return status.Errorf(codes.ResourceExhausted, "the hub has its most of %d agents", maxAgents)
		}
		if old != nil && old.GetNodeId() != n.id && n.id != n.host && s.nodes[old.GetNodeId()] != nil {
			return status.Errorf(codes.AlreadyExists, "agent %s belongs to node %s, which is connected", k, old.GetNodeId())
		}
		s.put(k, s.reported(n, a))
	}
	return nil
}

// reported is what a node said of an agent, bounded, with what the hub knows
// better: whose it is, and that it is connected.
func (s *Service) reported(n *node, a *pb.AgentStatus) *pb.AgentStatus {
	a = proto.CloneOf(a)
	a.ProtoReflect().SetUnknown(nil)
	a.Host, a.NodeId, a.NodeConnected, a.Unsupervised = n.host, n.id, true, false
	s.known(n, a)
	a.Kind, a.Version, a.Detail = cut(a.GetKind(), maxText), cut(a.GetVersion(), maxText), cut(a.GetDetail(), maxDetail)
	a.LastExit, a.LastExitTime = cut(a.GetLastExit(), maxDetail), valid(a.GetLastExitTime())
	a.Privileges = a.GetPrivileges()[:min(len(a.GetPrivileges()), maxPrivileges)]
	for i := range a.GetPrivileges() {
		a.Privileges[i] = cut(a.GetPrivileges()[i], maxText)
	}
	a.StartedTime, a.LastEventTime = valid(a.GetStartedTime()), valid(a.GetLastEventTime())
	a.EventsPerSecond, a.CpuPercent = finite(a.GetEventsPerSecond()), finite(a.GetCpuPercent())
	if s.o.Rate != nil {
		if rate, known := s.o.Rate(a.GetHost(), a.GetId()); known {
			a.EventsPerSecond = rate
		}
	}
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
	s.sightings.left(n.id, s.o.Now())
	s.departed(n)
	close(n.gone)
	for k := range s.byNode[n.id] {
		s.put(k, vanished(s.agents[k]))
		s.showByHand(k)
	}
}
