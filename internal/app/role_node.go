package app

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	"github.com/amoskys/amoskys/internal/node"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// nodeRole has its command in package endpoint, for amoskys-agent has it too.
func nodeRole() Role {
	return Role{
		Name: "node", Log: "node", After: []string{"hub"},
		File: config.Home.NodeConfig, Template: node.ConfigTemplate, Load: loadNode,
		Skip: func(o RoleOptions) bool { return o.NoNode },
	}
}

func loadNode(e *cli.Env, ro RoleOptions, o config.DecodeOptions) (s Settings, err error) {
	cfg := node.DefaultConfig()
	err = config.Load(e.Home.NodeConfig(), &cfg, o)
	if cfg.Node.HTTP.Port != 0 {
		s.Ports = []Port{{"the node", cfg.Node.HTTP.Addr(), "node.http.port"}}
	}
	s.Config, s.Stop, s.Cert = cfg, cfg.Options("").StopTimeout, cfg.Hub.Files(e.Home).Cert
	if err != nil {
		return s, err
	}
	kinds := cfg.Node.Agents
	if ro.Agents != nil {
		kinds = ro.Agents
		s.Args = []string{"--agents", strings.Join(kinds, ",")}
	}
	if s.Host, err = endpoint.NodeName(e, &cfg); err != nil {
		return s, err
	}
	if s.Program, err = endpoint.Program(); err != nil {
		return s, err
	}
	if s.Agents, err = endpoint.NodeAgents(e, kinds); err != nil {
		return s, err
	}
	agents := s.Agents
	s.Ready = func(_ context.Context, around Surroundings) error { return agentsReported(agents, around.Agents()) }
	return s, nil
}

// agentsReported reports whether the node has told the hub about every agent.
// Whether an agent can start is another matter, which the screen shows.
func agentsReported(wanted []node.Agent, known []*pb.AgentStatus) error {
	for _, a := range wanted {
		reported := slices.ContainsFunc(known, func(s *pb.AgentStatus) bool {
			return hostname.Same(s.GetId(), a.ID) && s.GetNodeConnected() && s.GetState() != pb.AgentState_AGENT_STATE_STARTING
		})
		if !reported {
			return fmt.Errorf("agent %s has not been reported to the hub", a.ID)
		}
	}
	return nil
}
