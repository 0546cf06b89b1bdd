// Package replay publishes the flows of a capture to a hub, as the agent replay of the
// host that reads it. What it sends is about the capture and seen by that host, so it
// says nothing of whether any host lives.
//
// The same capture, read in the same way by the same program, makes the same batches
// with the same numbers: the hub stores each once, however often it is sent.
package replay

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	// tokenLife is how long the token may be used that the certificate is got with.
	tokenLife = time.Minute
	// lifeLeft is how long a certificate must last still to be used.
	lifeLeft = time.Hour
	// askTimeout is how long the hub may take to make a token.
	askTimeout = 10 * time.Second
)

// Certificate returns the certificate agent/HOST/replay of this home. Where there is
// none, or it ends soon, the operator's certificate gets a token for it, and the hub
// issues it.
func Certificate(ctx context.Context, e *cli.Env, hub string) (f identity.Files, host string, err error) {
	operator, err := identity.ReadHolder(identity.FilesFor(e.Home.Certs(), "operator").Cert)
	if err != nil {
		if home := e.Home.Check(); home != nil {
			err = home
		}
		return f, "", fmt.Errorf("--publish takes the operator's certificate: %w", err)
	}
	host = operator.ID.Host()
	f = identity.FilesFor(e.Home.Certs(), identity.AgentName(event.KindReplay))
	if usable(f, host, e.Now()) {
		return f, host, nil
	}
	c, err := remote.Dial(e, hub)
	if err != nil {
		return f, "", err
	}
	defer func() { _ = c.Close() }() // nothing more is asked
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	token, err := c.Enrollment.CreateToken(asking, &pb.CreateTokenRequest{
		Host: host, Ttl: durationpb.New(tokenLife), Uses: 1, Kinds: []string{event.KindReplay}, Actor: actor(),
	})
	if err != nil {
		return f, "", fmt.Errorf("get a certificate for agent/%s/%s: %w", host, event.KindReplay, c.Explain(err))
	}
	f, err = endpoint.EnrollAgent(ctx, e, endpoint.AgentEnrolment{
		Hub: hub, Token: token.GetToken(), Host: host, ID: event.KindReplay, Kind: event.KindReplay,
	})
	return f, host, err
}

// usable reports whether a certificate is there that is what is wanted.
func usable(f identity.Files, host string, now time.Time) bool {
	held, err := identity.Hold(f)
	if err != nil || now.Add(lifeLeft).After(held.Cert.NotAfter) {
		return false
	}
	_, err = identity.ClientConfig(f, identity.ClientOptions{ServerName: "hub"}) // the key is there, and the authority's
	return err == nil && held.ID.Role == identity.RoleAgent && held.ID.Name == host+"/"+event.KindReplay &&
		slices.Contains(identity.Observes(held.Cert), event.KindReplay)
}

// actor names whoever types, for the audit trail.
func actor() string {
	u, err := user.Current()
	if err != nil {
		return "replay"
	}
	return "replay:" + u.Username
}

// ErrGone says that the hub went away and did not come back in time.
var ErrGone = errors.New("the hub went away")
