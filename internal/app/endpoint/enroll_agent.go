package endpoint

import (
	"context"
	"fmt"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
)

// AgentEnrolment says which agent enrols alone, beside whatever else its host runs.
type AgentEnrolment struct {
	Hub   string // host:port
	Token string
	Host  string // of the agent, as the certificate is to name it
	ID    string
	// Kind is set for agents that speak of others.
	Kind string
}

// EnrollAgent makes a key for one agent, has the hub certify it against a token, and
// writes both to certs/agent-ID.*. It touches nothing else there.
func EnrollAgent(ctx context.Context, e *cli.Env, o AgentEnrolment) (identity.Files, error) {
	token, err := identity.ParseToken(o.Token)
	if err != nil {
		return identity.Files{}, err
	}
	made, err := identity.NewSigningRequest()
	if err != nil {
		return identity.Files{}, err
	}
	own := identity.EnrollAgent{ID: o.ID, CSR: string(made.CSRPEM)}
	if o.Kind != "" {
		own.Observes = []string{o.Kind}
	}
	ctx, cancel := context.WithTimeout(ctx, enrollTimeout)
	defer cancel()
	resp, err := askToEnroll(ctx, e, o.Hub, token, identity.EnrollRequest{Token: token.Text(), Host: o.Host, Agents: []identity.EnrollAgent{own}})
	if err != nil {
		return identity.Files{}, fmt.Errorf("enrol agent %s at %s: %w", o.ID, describe(e, o.Hub, err), unreached(o.Hub, err))
	}
	if len(resp.AgentCerts) != 1 {
		return identity.Files{}, fmt.Errorf("enrol agent %s at %s: the hub sent %d certificates, not 1", o.ID, o.Hub, len(resp.AgentCerts))
	}
	pair := identity.KeyPair{CertPEM: []byte(resp.AgentCerts[0]), KeyPEM: made.KeyPEM}
	got := identity.Enrolled{CA: []byte(resp.CA), Agents: map[string]identity.KeyPair{o.ID: pair}}
	if err := got.Verify(token, o.Host, e.Now()); err != nil {
		return identity.Files{}, fmt.Errorf("enrol agent %s at %s: %w", o.ID, o.Hub, err)
	}
	return identity.WriteAgent(e.Home.Certs(), o.ID, pair)
}
