package fleet

import (
	"context"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// CommandAgent carries one command to an agent's node and waits for its answer.
//
// NOT_FOUND: no such agent. FAILED_PRECONDITION: several hosts have one, and the
// request names none. UNAVAILABLE: the node is not connected, or went away.
// DEADLINE_EXCEEDED: it did not answer. ABORTED: it answered that it could not.
func (s *Service) CommandAgent(ctx context.Context, req *pb.CommandAgentRequest) (*pb.CommandAgentResponse, error) {
	if req.GetLines() > maxLines {
		return nil, status.Errorf(codes.InvalidArgument, "lines must be at most %d", maxLines)
	}
	operation, err := operationOf(req.GetCommand())
	if err != nil {
		return nil, err
	}
	k, err := s.resolve(req.GetAgentId(), req.GetHost())
	if err != nil {
		return nil, err
	}
	result, _, err := s.command(ctx, k, &pb.NodeCommand{Command: req.GetCommand(), AgentId: k.id, Lines: req.GetLines()})
	s.record(ctx, req, operation, k, err)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	agent := s.agents[k]
	s.mu.Unlock()
	return &pb.CommandAgentResponse{Agent: agent, Lines: boundLines(result.GetLines())}, nil
}

func operationOf(c pb.AgentCommand) (string, error) {
	switch c {
	case pb.AgentCommand_AGENT_COMMAND_START:
		return "agent.start", nil
	case pb.AgentCommand_AGENT_COMMAND_STOP:
		return "agent.stop", nil
	case pb.AgentCommand_AGENT_COMMAND_RESTART:
		return "agent.restart", nil
	case pb.AgentCommand_AGENT_COMMAND_LOGS:
		return "agent.logs", nil
	default: // those about tasks come from the Tasks service alone
	}
	return "", status.Errorf(codes.InvalidArgument, "command %d is not known", c)
}

// resolve finds the one agent that is meant.
func (s *Service) resolve(id, host string) (key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id = hostname.Normal(id)
	if host = hostname.Normal(host); host != "" {
		k := key{host, id}
		if s.agents[k] == nil {
			return key{}, status.Errorf(codes.NotFound, "there is no agent %q on host %q; amoskys agents list shows them", cut(id, maxText), cut(host, maxText))
		}
		return k, nil
	}
	var hosts []string
	for k := range s.byID[id] {
		hosts = append(hosts, k.host)
	}
	slices.Sort(hosts)
	switch {
	case len(hosts) == 0:
		return key{}, status.Errorf(codes.NotFound, "there is no agent %q; amoskys agents list shows them", cut(id, maxText))
	case len(hosts) > 20:
		return key{}, status.Errorf(codes.FailedPrecondition, "%d hosts have an agent %q: name the host", len(hosts), id)
	case len(hosts) > 1:
		return key{}, status.Errorf(codes.FailedPrecondition, "several hosts have an agent %q, name one: %s", id, strings.Join(hosts, ", "))
	}
	return key{hosts[0], id}, nil
}

// command sends one command and waits for its result. The node is nil when the
// command did not reach it.
func (s *Service) command(ctx context.Context, k key, command *pb.NodeCommand) (*pb.CommandResult, *node, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.CommandTimeout)
	defer cancel()
	n, answer, err := s.submit(k, command)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		s.mu.Lock()
		delete(n.pending, command.GetId())
		s.mu.Unlock()
	}()
	result, err := n.await(ctx, answer)
	return result, n, err
}

// await waits for the answer to one command.
func (n *node) await(ctx context.Context, answer <-chan *pb.CommandResult) (*pb.CommandResult, error) {
	select {
	case result := <-answer:
		if !result.GetOk() {
			reason := cut(result.GetError(), maxDetail)
			if reason == "" {
				reason = "it gave no reason"
			}
			if result.GetBadRequest() {
				return nil, status.Error(codes.InvalidArgument, reason)
			}
			return nil, status.Errorf(codes.Aborted, "node %s could not do it: %s", n.id, reason)
		}
		return result, nil
	case <-n.gone:
		return nil, status.Errorf(codes.Unavailable, "node %s went away before it answered", n.id)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		return nil, status.Errorf(codes.DeadlineExceeded, "node %s did not answer in time", n.id)
	}
}

// submit queues a command for the agent's node.
func (s *Service) submit(k key, command *pb.NodeCommand) (*node, chan *pb.CommandResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	agent := s.agents[k]
	if agent.GetUnsupervised() {
		return nil, nil, status.Errorf(codes.FailedPrecondition,
			"agent %s was started by hand: no node can steer it; end its process on its host, and have the node run it", k)
	}
	n := s.nodes[agent.GetNodeId()]
	if n == nil {
		return nil, nil, status.Errorf(codes.Unavailable, "node %q of agent %s is not connected", agent.GetNodeId(), k)
	}
	if len(n.pending) >= maxPending {
		return nil, nil, status.Errorf(codes.ResourceExhausted, "node %s has %d commands under way", n.id, len(n.pending))
	}
	n.lastID++
	command.Id = n.lastID
	answer := make(chan *pb.CommandResult, 1)
	select {
	case n.send <- command:
	default:
		return nil, nil, status.Errorf(codes.ResourceExhausted, "node %s does not take commands", n.id)
	}
	n.pending[command.GetId()] = answer
	return n, answer, nil
}

// result hands a node's answer to who waits for it, after taking over the
// agent's new status. An answer that nobody waits for any more is dropped.
func (s *Service) result(n *node, result *pb.CommandResult) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes[n.id] != n {
		return nil
	}
	if a := result.GetAgent(); a != nil {
		if err := checkAgents([]*pb.AgentStatus{a}); err != nil {
			return err
		}
		if err := s.putReported(n, []*pb.AgentStatus{a}); err != nil {
			return err
		}
	}
	if answer := n.pending[result.GetId()]; answer != nil {
		delete(n.pending, result.GetId())
		answer <- result
	}
	return nil
}

// boundLines keeps the last lines that fit.
func boundLines(lines []string) []string {
	lines = lines[max(0, len(lines)-maxLines):]
	for i := range lines {
		lines[i] = cut(lines[i], maxLineBytes)
	}
	return lines
}

// record audits a command that changes something and notes the state it asks for.
func (s *Service) record(ctx context.Context, req *pb.CommandAgentRequest, operation string, k key, failed error) {
	if req.GetCommand() == pb.AgentCommand_AGENT_COMMAND_LOGS {
		return
	}
	if failed == nil {
		desired := "running"
		if req.GetCommand() == pb.AgentCommand_AGENT_COMMAND_STOP {
			desired = "stopped"
		}
		// Unknown to the store is an agent reported this second: Run stores it soon.
		if err := s.o.Store.SetDesired(ctx, k.host, k.id, desired); err != nil {
			s.o.Logger.DebugContext(ctx, "desired state not noted", "error", err, "agent_id", k.id, "host", k.host)
		}
	}
	s.audit(ctx, &pb.AuditActivity{Actor: req.GetActor(), Operation: operation, Target: k.String()}, failed)
}

// ActorBy names who acts: the person that a request names and the caller, known
// by its certificate, that speaks for it. Either may be empty.
func ActorBy(actor, caller string) string {
	switch {
	case actor == "":
		return caller
	case caller == "":
		return actor
	}
	return actor + " by " + caller
}
