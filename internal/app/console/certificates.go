package console

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Certificate is what `amoskys certs issued --json` and the revoke commands print of
// one. Keys are only ever added: docs/cli.md promises them.
type Certificate struct {
	Serial        string     `json:"serial"`
	ID            string     `json:"id"`
	Observes      []string   `json:"observes,omitempty"`
	State         string     `json:"state"` // ok, due, expired, revoked, not_yet_valid
	NotBefore     time.Time  `json:"not_before"`
	NotAfter      time.Time  `json:"not_after"`
	Origin        string     `json:"origin"` // enrolment, renewal, elsewhere
	KnownTime     time.Time  `json:"known_time"`
	IssuedFor     string     `json:"issued_for,omitempty"`
	Replaces      string     `json:"replaces,omitempty"`
	MachineID     string     `json:"machine_id,omitempty"`
	Connections   uint32     `json:"connections"`
	RevokedTime   *time.Time `json:"revoked_time,omitempty"`
	RevokedBy     string     `json:"revoked_by,omitempty"`
	RevokedReason string     `json:"revoked_reason,omitempty"`
}

func certificateOf(c *pb.Certificate, now time.Time) Certificate {
	out := Certificate{
		Serial: c.GetSerial(), ID: c.GetIdentity(), Observes: c.GetObserves(), State: "ok",
		NotBefore: c.GetNotBefore().AsTime(), NotAfter: c.GetNotAfter().AsTime(), KnownTime: c.GetKnownTime().AsTime(),
		IssuedFor: c.GetIssuedFor(), Replaces: c.GetReplaces(), MachineID: c.GetMachineId(), Connections: c.GetConnections(),
		RevokedBy: c.GetRevokedBy(), RevokedReason: c.GetRevokedReason(),
	}
	switch c.GetOrigin() {
	case pb.CertificateOrigin_CERTIFICATE_ORIGIN_ENROLLMENT:
		out.Origin = "enrolment"
	case pb.CertificateOrigin_CERTIFICATE_ORIGIN_RENEWAL:
		out.Origin = "renewal"
	case pb.CertificateOrigin_CERTIFICATE_ORIGIN_ELSEWHERE, pb.CertificateOrigin_CERTIFICATE_ORIGIN_UNSPECIFIED:
		out.Origin = "elsewhere"
	}
	due := out.NotBefore.Add(out.NotAfter.Sub(out.NotBefore) / 3 * 2)
	switch {
	case c.GetRevokedTime() != nil:
		out.State, out.RevokedTime = "revoked", instant(c.GetRevokedTime())
	case now.Before(out.NotBefore):
		out.State = "not_yet_valid"
	case now.After(out.NotAfter):
		out.State = "expired"
	case !now.Before(due):
		out.State = "due"
	}
	return out
}

func certificatesOf(list []*pb.Certificate, now time.Time) []Certificate {
	out := make([]Certificate, 0, len(list))
	for _, c := range list {
		out = append(out, certificateOf(c, now))
	}
	return out
}

// IssuedCertificates prints the certificates that the hub knows.
func IssuedCertificates(ctx context.Context, e *cli.Env, host string, all, asJSON bool) error {
	return withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Certificates.ListCertificates(ctx, &pb.ListCertificatesRequest{Host: host, All: all})
		if err != nil {
			return c.Explain(err)
		}
		certs := certificatesOf(resp.GetCertificates(), e.Now())
		switch {
		case asJSON:
			return cli.WriteJSON(e.Stdout, map[string]any{"certificates": certs, "truncated": resp.GetTruncated()})
		case len(certs) == 0:
			_, err := fmt.Fprintln(e.Stdout, "the hub knows no such certificate")
			return err
		case resp.GetTruncated():
			fmt.Fprintln(e.Stderr, "warning: there are more; name a host with --host")
		}
		return certificateTable(certs).Write(e.Stdout)
	})
}

func certificateTable(certs []Certificate) *cli.Table {
	t := cli.NewTable("ID", "SERIAL", "STATE", "NOT AFTER", "ORIGIN", ">CONNECTIONS", "NOTE")
	for _, c := range certs {
		note := c.RevokedReason
		if c.RevokedTime != nil {
			note = strings.TrimSuffix("revoked "+c.RevokedTime.Local().Format("2006-01-02 15:04")+": "+note, ": ")
		}
		t.Row(strings.TrimPrefix(c.ID, "spiffe://"), c.Serial, c.State, c.NotAfter.Local().Format("2006-01-02 15:04"), c.Origin, c.Connections, note)
	}
	return t
}

// RevokeOptions say what to revoke: an agent, or a certificate by its serial.
type RevokeOptions struct {
	Agent  string // HOST or HOST/ID
	Serial string
	Reason string
	// Yes asks nobody, DryRun does nothing.
	Yes, DryRun, JSON bool
}

// Revoked is what the revoke commands print as JSON.
type Revoked struct {
	Target       string        `json:"target"`
	DryRun       bool          `json:"dry_run"`
	Certificates []Certificate `json:"certificates"`
	Agents       []string      `json:"agents"` // HOST/ID of every one that is cut
	Connections  uint32        `json:"connections"`
	Warning      string        `json:"warning,omitempty"`
}

// Revoke has the hub refuse certificates, after a person has seen whom it cuts, or
// has said yes beforehand.
func Revoke(ctx context.Context, e *cli.Env, o RevokeOptions) error {
	target := cmp.Or(o.Agent, o.Serial)
	if !o.Yes && !o.DryRun {
		foreseen, err := revoke(ctx, e, o, true)
		if err != nil {
			return err
		}
		if err := e.Confirm("This cuts " + cli.Clean(effect(foreseen)) + ". Go on?"); err != nil {
			return err
		}
	}
	done, err := revoke(ctx, e, o, o.DryRun)
	if err != nil {
		return err
	}
	if o.JSON {
		agents := append([]string{}, done.GetAgents()...)
		return cli.WriteJSON(e.Stdout, Revoked{
			Target: target, DryRun: o.DryRun, Certificates: certificatesOf(done.GetCertificates(), e.Now()), Agents: agents, Connections: done.GetConnections(), Warning: done.GetWarning(),
		})
	}
	verb := "revoked " + target + ", which cut "
	if o.DryRun {
		verb = "revoking " + target + " would cut "
	}
	fmt.Fprintln(e.Stdout, cli.Clean(verb+effect(done)))
	if done.GetWarning() != "" {
		fmt.Fprintln(e.Stderr, "warning: "+cli.Clean(done.GetWarning()))
	}
	if o.Agent != "" && !o.DryRun {
		fmt.Fprintln(e.Stdout, "it comes back when it enrols again: amoskys token create --host NAME")
	}
	return nil
}

// effect says in words what a revocation cuts.
func effect(r *pb.RevokeCertificatesResponse) string {
	if len(r.GetCertificates()) == 0 && len(r.GetAgents()) == 0 {
		return "nothing that the hub knows; what comes with it later is refused"
	}
	text := cli.Counted(len(r.GetCertificates()), "certificate", "certificates") + " and " +
		cli.Counted(int(r.GetConnections()), "open connection", "open connections")
	if len(r.GetAgents()) > 0 {
		text += " of " + cli.Counted(len(r.GetAgents()), "agent", "agents") + ": " + cli.Clean(strings.Join(r.GetAgents(), ", "))
	}
	return text
}

func revoke(ctx context.Context, e *cli.Env, o RevokeOptions, dryRun bool) (resp *pb.RevokeCertificatesResponse, err error) {
	req := &pb.RevokeCertificatesRequest{Reason: o.Reason, DryRun: dryRun, Actor: actor()}
	if o.Agent != "" {
		req.Target = &pb.RevokeCertificatesRequest_Agent{Agent: o.Agent}
	} else {
		req.Target = &pb.RevokeCertificatesRequest_Serial{Serial: o.Serial}
	}
	err = withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		var err error
		resp, err = c.Certificates.RevokeCertificates(ctx, req)
		return c.Explain(err)
	})
	return resp, err
}
