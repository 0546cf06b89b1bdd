package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

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
	ID        string `json:"id"`
	Host      string `json:"host"`
	Connected bool   `json:"connected"`
	Version   string `json:"version" doc:"Version of its agents."`
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

func (s *Server) registerAgents(api huma.API) {
	get(s, api, operation(http.MethodGet, "/api/agents/status", "agents", "Every agent and how it is", "agents", viewer()), s.listAgents)
	for _, command := range []struct {
		name, summary string
		command       pb.AgentCommand
	}{
		{"start", "Start an agent", pb.AgentCommand_AGENT_COMMAND_START},
		{"stop", "Stop an agent", pb.AgentCommand_AGENT_COMMAND_STOP},
		{"restart", "Restart an agent", pb.AgentCommand_AGENT_COMMAND_RESTART},
	} {
		op := operation(http.MethodPost, "/api/agents/{id}/"+command.name, command.name+"Agent", command.summary, "agents",
			access{role: pb.Role_ROLE_ADMIN})
		op.Errors = append(op.Errors, http.StatusNotFound, http.StatusConflict, http.StatusBadGateway, http.StatusGatewayTimeout)
		get(s, api, op, func(ctx context.Context, in *agentInput) (AgentAnswer, error) {
			response, err := s.command(ctx, in, command.command, 0)
			if err != nil {
				return AgentAnswer{}, err
			}
			return AgentAnswer{newAgent(response.GetAgent())}, nil
		})
	}
	op := operation(http.MethodGet, "/api/agents/{id}/logs", "agentLogs", "The last lines of an agent's log", "agents", viewer())
	op.Errors = append(op.Errors, http.StatusNotFound, http.StatusConflict, http.StatusBadGateway, http.StatusGatewayTimeout)
	get(s, api, op, func(ctx context.Context, in *logsInput) (AgentLogs, error) {
		response, err := s.command(ctx, &agentInput{in.ID, in.Host}, pb.AgentCommand_AGENT_COMMAND_LOGS, in.Lines)
		if err != nil {
			return AgentLogs{}, err
		}
		return AgentLogs{append([]string{}, response.GetLines()...)}, nil
	})
}

func (s *Server) listAgents(ctx context.Context, in *agentsInput) (AgentsStatus, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	list, err := s.hub.fleet.ListAgents(ctx, &pb.ListAgentsRequest{Host: in.Host})
	if err != nil {
		return AgentsStatus{}, err
	}
	return AgentsStatus{Agents: newAgents(list.GetAgents()), Nodes: nodesOf(list.GetAgents()), Time: s.o.Now().UTC()}, nil
}

// nodesOf gathers the nodes that agents name.
func nodesOf(agents []*pb.AgentStatus) []Node {
	byID := map[string]Node{}
	for _, a := range agents {
		if a.GetNodeId() != "" {
			byID[a.GetNodeId()] = Node{a.GetNodeId(), a.GetHost(), a.GetNodeConnected(), a.GetVersion()}
		}
	}
	nodes := make([]Node, 0, len(byID))
	for _, n := range byID {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.ID, b.ID)) })
	return nodes
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
