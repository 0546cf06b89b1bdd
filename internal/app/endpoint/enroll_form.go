package endpoint

import (
	"fmt"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/node"
)

// form is a request to enrol with the keys that stay here.
type form struct {
	request     identity.EnrollRequest
	node, agent *identity.SigningRequest
	agents      []*identity.SigningRequest // of agents with their own, in the request's order
}

// newForm makes keys for a host: for its node, and one for its agents or one for
// each.
func newForm(e *cli.Env, o EnrollOptions) (*form, error) {
	agents, err := hostAgents(e, o.Kinds)
	if err != nil {
		return nil, err
	}
	f := &form{request: identity.EnrollRequest{Host: o.Host, Machine: agent.Machine().GetId()}}
	if f.node, err = identity.NewSigningRequest(); err != nil {
		return nil, err
	}
	f.request.CSRNode = string(f.node.CSRPEM)
	if !o.PerAgent {
		if f.agent, err = identity.NewSigningRequest(); err != nil {
			return nil, err
		}
		f.request.CSRAgent = string(f.agent.CSRPEM)
		for _, a := range agents {
			f.request.Observes = append(f.request.Observes, a.observes...)
		}
		return f, nil
	}
	for _, a := range agents {
		made, err := identity.NewSigningRequest()
		if err != nil {
			return nil, err
		}
		f.agents = append(f.agents, made)
		f.request.Agents = append(f.request.Agents, identity.EnrollAgent{ID: a.id, CSR: string(made.CSRPEM), Observes: a.observes})
	}
	return f, nil
}

// filled puts what the hub answered to the keys.
func (f *form) filled(r *identity.EnrollResponse) (*identity.Enrolled, error) {
	if len(r.AgentCerts) != len(f.agents) {
		return nil, fmt.Errorf("the hub sent %d certificates of agents, not %d", len(r.AgentCerts), len(f.agents))
	}
	out := &identity.Enrolled{CA: []byte(r.CA), Node: identity.KeyPair{CertPEM: []byte(r.NodeCert), KeyPEM: f.node.KeyPEM}}
	if f.agent != nil {
		out.Agent = identity.KeyPair{CertPEM: []byte(r.AgentCert), KeyPEM: f.agent.KeyPEM}
		return out, nil
	}
	out.Agents = map[string]identity.KeyPair{}
	for i, made := range f.agents {
		out.Agents[f.request.Agents[i].ID] = identity.KeyPair{CertPEM: []byte(r.AgentCerts[i]), KeyPEM: made.KeyPEM}
	}
	return out, nil
}

// hostAgent is one agent that the node will run.
type hostAgent struct {
	id       string
	observes []string // its kind, if it speaks of others
}

// hostAgents are the agents of these kinds, or of the node's configuration.
func hostAgents(e *cli.Env, kinds []string) ([]hostAgent, error) {
	if kinds == nil {
		cfg := node.DefaultConfig()
		if err := config.Load(e.Home.NodeConfig(), &cfg, config.DecodeOptions{Env: e.Lookup}); err != nil {
			return nil, err
		}
		kinds = cfg.Node.Agents
	}
	agents := make([]hostAgent, 0, len(kinds))
	for _, kind := range kinds {
		d, err := Find(kind)
		if err != nil {
			return nil, &cli.UsageError{Err: err}
		}
		loaded, err := d.Load(e.Home.AgentConfig(d.ConfigName), config.DecodeOptions{Env: childLookup(e)})
		if err != nil {
			return nil, err
		}
		a := hostAgent{id: loaded.Common.ID}
		if d.Observes {
			a.observes = []string{d.Kind}
		}
		agents = append(agents, a)
	}
	return agents, nil
}
