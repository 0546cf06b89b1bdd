package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
)

// checkPatience bounds one question of Healthcheck: Docker gives a check 30 seconds.
const checkPatience = 5 * time.Second

// Healthcheck asks a role of this machine whether it is well: the name of a role, "up"
// for hub and dashboard, or an agent's. Empty is what AMOSKYS_ROLE says, and up without
// it. The error says what is wrong.
func Healthcheck(ctx context.Context, e *cli.Env, role string) error {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	if role == "" && e.Lookup != nil {
		role = roleOf(e.Lookup)
	}
	switch role {
	case "", "up", "standalone":
		return errors.Join(Healthcheck(ctx, e, "hub"), Healthcheck(ctx, e, "dashboard"))
	case "eventbus": // which is an agent too, asked as agent/eventbus
		role = "hub"
	}
	agent, isAgent := strings.CutPrefix(role, agentMark)
	if r, err := FindRole(role); err == nil && !isAgent {
		return checkRole(ctx, e, r)
	}
	return checkAgent(ctx, e, agent)
}

// agentMark stands before the name of an agent that a role has too.
const agentMark = "agent/"

// roleOf is the role that the environment names.
func roleOf(lookup func(string) (string, bool)) string {
	role, _ := lookup(config.EnvRole)
	role = strings.ToLower(role)
	if role != "agent" {
		return role
	}
	id, _ := lookup(config.EnvAgentID)
	return agentMark + id
}

// checkRole asks a role on its port for probes, or, without one, whether it serves.
func checkRole(ctx context.Context, e *cli.Env, r Role) error {
	s, err := r.Load(e, RoleOptions{}, config.DecodeOptions{Env: e.Lookup})
	if err != nil {
		return err
	}
	switch {
	case s.Page != "":
		return probe(ctx, s.Page+"/healthz")
	case r.Name == "node" && len(s.Ports) > 0:
		return probe(ctx, "http://"+here(s.Ports[0].Addr)+"/healthz")
	case len(s.Ports) > 1:
		return probe(ctx, "http://"+here(s.Ports[1].Addr)+"/readyz")
	case len(s.Ports) == 0: // a node without a port for probes
		return nil
	}
	return roleChecks(e, r, nil).Ready(ctx)
}

func checkAgent(ctx context.Context, e *cli.Env, name string) error {
	d, err := endpoint.Find(name)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	loaded, err := d.Load(e.Home.AgentConfig(d.ConfigName), config.DecodeOptions{Env: e.Lookup})
	if err != nil {
		return err
	}
	return probe(ctx, "http://"+here(loaded.Common.HTTP.Addr())+"/healthz")
}

// here is an address that is listened on, as this machine dials it.
func here(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return net.JoinHostPort(remote.LocalHost(host), port)
}

// probe asks for a verdict; the error has its words.
func probe(ctx context.Context, url string) error {
	resp, err := look(ctx, url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	words, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return errors.Join(fmt.Errorf("%s answers %s: %s", url, resp.Status, cli.Clean(strings.TrimSpace(string(words)))), err)
}
