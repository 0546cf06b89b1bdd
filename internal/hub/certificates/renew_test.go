package certificates

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/revoked"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// noted is a Store and an Auditor that keeps nothing but certificates.
type noted struct {
	Store
	certs []state.Certificate
}

func (n *noted) AddCertificates(_ context.Context, certs ...state.Certificate) error {
	n.certs = append(n.certs, certs...)
	return nil
}

func (*noted) Audit(context.Context, *pb.AuditActivity) {}

// TestRevokedWhileRenewed: whoever is revoked after the hub has looked, and before it
// signs, gets a successor that is revoked as well.
func TestRevokedWhileRenewed(t *testing.T) {
	ca, pair, err := identity.CreateCA(identity.CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := IssuerOptions{CACert: filepath.Join(dir, "ca.crt"), CAKey: filepath.Join(dir, "ca.key"), Store: &noted{}}
	for file, text := range map[string][]byte{o.CACert: pair.CertPEM, o.CAKey: pair.KeyPEM} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	agent := identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleAgent, Name: "web-1/snmp_agent"}
	node := identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleNode, Name: "web-1"}
	old, err := ca.Issue(identity.IssueOptions{ID: agent, NotBefore: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.NewSigningRequest()
	if err != nil {
		t.Fatal(err)
	}
	revocations := revoked.New()
	o.Now = func() time.Time { // is asked when the certificate is about to be made
		now := time.Now()
		revocations.Add(revoked.Entry{Target: "agent/web-1/snmp_agent", Time: now})
		return now
	}
	o.Revoked = revocations.Since
	s := New(Options{
		Issuer: NewIssuer(o), Revocations: revocations, Auditor: &noted{}, Store: &noted{},
		Caller: func(context.Context) (identity.ID, *x509.Certificate, bool) { return node, nil, true },
	})
	resp, err := s.RenewCertificates(t.Context(), &pb.RenewCertificatesRequest{
		Renewals: []*pb.CertificateRenewal{{Certificate: string(old.CertPEM), Csr: string(csr.CSRPEM)}},
	})
	if err != nil {
		return // refused: as good
	}
	chain, err := identity.ParseCertificates([]byte(resp.GetCertificates()[0]))
	if err != nil {
		t.Fatal(err)
	}
	if revocations.Refusal(agent, chain[0]) == "" {
		t.Errorf("the successor begins at %s and is in force", chain[0].NotBefore)
	}
}
