package console

import (
	"context"
	"fmt"
	"strings"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// SplitAgent takes HOST/ID or ID apart.
func SplitAgent(name, host string) (agent, onHost string) {
	if before, after, ok := strings.Cut(name, "/"); ok {
		return after, before
	}
	return name, host
}

// named is the agent that a person means who says its kind in place of its id: the
// hub knows ids alone. The fleet is asked only for a name that is a kind.
func named(ctx context.Context, c *remote.Client, agent, host string) (id, onHost string, err error) {
	if d, err := endpoint.Find(agent); err != nil || d.Kind != agent {
		return agent, host, nil //nolint:nilerr // not a kind; the hub says whether it is an id
	}
	r, err := c.Fleet.ListAgents(ctx, &pb.ListAgentsRequest{})
	if err != nil {
		return "", "", c.Explain(err)
	}
	return ofKind(r.GetAgents(), agent, host)
}

// ofKind finds the one agent of a kind, on a host if that is not empty. One that has
// the kind's name as its id comes first.
func ofKind(agents []*pb.AgentStatus, kind, host string) (id, onHost string, err error) {
	var found []string
	for _, a := range agents {
		switch {
		case host != "" && !hostname.Same(a.GetHost(), host):
		case hostname.Same(a.GetId(), kind):
			return kind, host, nil
		case a.GetKind() == kind:
			id, onHost, found = a.GetId(), a.GetHost(), append(found, a.GetHost()+"/"+a.GetId())
		}
	}
	switch {
	case len(found) == 0:
		return kind, host, nil // the hub says that there is none
	case len(found) > maxNamed:
		return "", "", fmt.Errorf("%d agents are of kind %s: name one, as HOST/AGENT", len(found), kind)
	case len(found) > 1:
		return "", "", fmt.Errorf("several agents are of kind %s, name one: %s", kind, strings.Join(found, ", "))
	}
	return id, onHost, nil
}

// maxNamed is how many agents an error lists.
const maxNamed = 20
