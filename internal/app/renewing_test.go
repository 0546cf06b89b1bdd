package app

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
)

// TestRunningRolesRenew: a node renews what is due of its host, and an agent that
// was started by hand its own, without anybody's doing.
func TestRunningRolesRenew(t *testing.T) {
	for role, run := range map[string]func(context.Context, *cli.Env) error{
		"node":  func(ctx context.Context, e *cli.Env) error { return endpoint.RunNode(ctx, e, endpoint.NodeOptions{}) },
		"agent": func(ctx context.Context, e *cli.Env) error { return endpoint.RunAgent(ctx, e, "proc", "") },
	} {
		t.Run(role, func(t *testing.T) {
			h := startEnrolHub(t, true)
			host := h.joined(t, "web-1")
			for _, r := range []identity.Role{identity.RoleNode, identity.RoleAgent} {
				pair, err := h.ca.Issue(identity.IssueOptions{
					ID: identity.ID{Domain: identity.DefaultDomain, Role: r, Name: "web-1"}, NotBefore: time.Now().Add(-70 * day),
				})
				if err != nil {
					t.Fatal(err)
				}
				held, err := identity.Hold(host.files(string(r)))
				if err != nil {
					t.Fatal(err)
				}
				ca := readFile(t, host.files("ca").Cert)
				if _, err := held.Succeed(pair.CertPEM, pair.KeyPEM, ca, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			before := host.cert(t, role)
			_, port, _ := net.SplitHostPort(h.addr)
			variables := map[string]string{
				config.EnvHubHost: "127.0.0.1", config.EnvHubPort: port, "AMOSKYS_NODE_AGENTS": "proc", "AMOSKYS_AGENT_ENABLED": "true", "AMOSKYS_HTTP_PORT": "0",
			}
			if role == "node" {
				variables["AMOSKYS_AGENT_ENABLED"] = "false" // only its certificate matters
			}
			e := &cli.Env{Home: host.home, Now: time.Now, Logger: obs.Discard(), Stderr: &lockedLog{}, Lookup: func(name string) (string, bool) {
				v, ok := variables[name]
				return v, ok
			}}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- run(ctx, e) }()
			until(t, "it is renewed", func() bool {
				held, err := identity.Hold(host.files(role))
				return err == nil && !held.Cert.Equal(before)
			})
			until(t, "the agents' is renewed", func() bool {
				held, err := identity.Hold(host.files("agent"))
				return err == nil && time.Until(held.Cert.NotAfter) > 80*day
			})
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := host.publish(t); err != nil {
				t.Errorf("with the new one: %v", err)
			}
			if _, findings := identity.Verify(filepath.Join(string(host.home), "certs"), identity.VerifyOptions{}); role == "node" && len(findings) > 0 {
				t.Errorf("findings: %v", findings)
			}
		})
	}
}
