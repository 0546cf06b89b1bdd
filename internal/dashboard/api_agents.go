package dashboard

import (
	"context"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// AgentsStatus lists agents and the nodes that supervise them.
type AgentsStatus struct {
	Agents []Agent   `json:"agents" nullable:"false"`
	Nodes  []Node    `json:"nodes" nullable:"false"`
	Time   time.Time `json:"time"`
}

// Node supervises the agents of one host.
type Node struct {
	ID         string     `json:"id"`
	Host       string     `json:"host"`
	Connected  bool       `json:"connected"`
	Version    string     `json:"version" doc:"Version of the node."`
	State      string     `json:"state" enum:"connected,reconnecting,away,silent" doc:"What has become of it: reconnecting is gone for some seconds, silent for fleet.silent_host_minutes of the hub."`
	Health     string     `json:"health" enum:"green,yellow,red,unknown"`
	Detail     string     `json:"detail" doc:"Why the health is not green."`
	LastSeenAt *time.Time `json:"last_seen_at" nullable:"true" doc:"When the hub last heard of it; null while it is connected."`
	Agents     uint32     `json:"agents"`
}

// Forgotten says what went with a host.
type Forgotten struct {
	Agents uint32 `json:"agents" doc:"How many agents went with it."`
}

type hostInput struct {
	Host string `path:"host" maxLength:"256" doc:"Name of the host."`
}

// AgentAnswer is an agent after a command.
type AgentAnswer struct {
	Agent Agent `json:"agent"`
}

// AgentLogs are the last lines of an agent's log.
type AgentLogs struct {
	Lines []string `json:"lines" nullable:"false"`
}

type agentsInput struct {
	Host string `query:"host" maxLength:"256" doc:"Only agents of this host."`
}

type agentInput struct {
	ID   string `path:"id" maxLength:"256" doc:"Agent id, such as proc_agent."`
	Host string `query:"host" maxLength:"256" doc:"Its host, where several have such an agent."`
}

type logsInput struct {
	ID    string `path:"id" maxLength:"256" doc:"Agent id, such as proc_agent."`
	Host  string `query:"host" maxLength:"256" doc:"Its host, where several have such an agent."`
	Lines uint32 `query:"lines" default:"200" maximum:"2000" minimum:"1" doc:"How many of the last lines."`
}

// agentCommand returns the handler that sends a command to an agent.
func agentCommand(command pb.AgentCommand) func(*Server, context.Context, *agentInput) (AgentAnswer, error) {
	return func(s *Server, ctx context.Context, in *agentInput) (AgentAnswer, error) {
		response, err := s.command(ctx, in, command, 0)
		if err != nil {
			return AgentAnswer{}, err
		}
		return AgentAnswer{newAgent(response.GetAgent())}, nil
	}
}

func (s *Server) agentLogs(ctx context.Context, in *logsInput) (AgentLogs, error) {
	response, err := s.command(ctx, &agentInput{in.ID, in.Host}, pb.AgentCommand_AGENT_COMMAND_LOGS, in.Lines)
	if err != nil {
		return AgentLogs{}, err
	}
	return AgentLogs{append([]string{}, response.GetLines()...)}, nil
}

func (s *Server) listAgents(ctx context.Context, in *agentsInput) (AgentsStatus, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	list, err := s.hub.fleet.ListAgents(ctx, &pb.ListAgentsRequest{Host: in.Host})
	if err != nil {
		return AgentsStatus{}, err
	}
	return AgentsStatus{Agents: newAgents(list.GetAgents()), Nodes: newNodes(list.GetNodes()), Time: s.o.Now().UTC()}, nil
}

func newNode(n *pb.NodeStatus) Node {
	node := Node{
		ID: n.GetNodeId(), Host: n.GetHost(), Connected: n.GetConnected(), Version: n.GetVersion(), State: event.NodeState(n.GetHealth()),
		Health: healthText(n.GetHealth()), Detail: n.GetDetail(), Agents: n.GetAgents(),
	}
	if !node.Connected {
		node.LastSeenAt = instant(n.GetLastSeenTime())
	}
	return node
}

func newNodes(list []*pb.NodeStatus) []Node {
	nodes := make([]Node, len(list))
	for i, n := range list {
		nodes[i] = newNode(n)
	}
	return nodes
}

// forgetHost takes a host that is gone off what is shown.
func (s *Server) forgetHost(ctx context.Context, in *hostInput) (Forgotten, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	forgotten, err := s.hub.fleet.ForgetHost(ctx, &pb.ForgetHostRequest{Host: in.Host, Actor: sessionOf(ctx).user})
	if err != nil {
		return Forgotten{}, err
	}
	return Forgotten{forgotten.GetAgents()}, nil
}

// commandTimeout is longer than the hub gives a node, so that its answer comes.
const commandTimeout = 40 * time.Second

func (s *Server) command(ctx context.Context, in *agentInput, command pb.AgentCommand, lines uint32) (*pb.CommandAgentResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return s.hub.fleet.CommandAgent(ctx, &pb.CommandAgentRequest{
		AgentId: in.ID, Host: in.Host, Command: command, Lines: lines, Actor: sessionOf(ctx).user,
	})
}
