package identity

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPinnedHub: of all certificates of the pinned authority only a hub's that
// names the dialled host, within its validity, gets the token.
func TestPinnedHub(t *testing.T) {
	ca, _, err := CreateCA(CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stranger, _, err := CreateCA(CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	hub := IssueOptions{ID: ID{Domain: DefaultDomain, Role: RoleHub, Name: "hub1"}, Hosts: []string{"hub1"}, TTL: time.Hour}
	with := func(change func(*IssueOptions)) IssueOptions {
		o := hub
		change(&o)
		return o
	}
	for name, tt := range map[string]struct {
		by   *CA
		leaf IssueOptions
		sent []*x509.Certificate
		want Reason
	}{
		"right":         {ca, hub, []*x509.Certificate{ca.Cert}, ""},
		"two roots":     {ca, hub, []*x509.Certificate{stranger.Cert, ca.Cert}, ""},
		"no authority":  {ca, hub, nil, ReasonUnknownAuthority},
		"stranger":      {stranger, hub, []*x509.Certificate{stranger.Cert}, ReasonUnknownAuthority},
		"borrowed root": {stranger, hub, []*x509.Certificate{stranger.Cert, ca.Cert}, ReasonUnknownAuthority},
		"other host":    {ca, with(func(o *IssueOptions) { o.Hosts = []string{"hub2"} }), []*x509.Certificate{ca.Cert}, ReasonWrongHost},
		"dashboard":     {ca, with(func(o *IssueOptions) { o.ID.Role = RoleDashboard }), []*x509.Certificate{ca.Cert}, ReasonWrongRole},
		"agent":         {ca, with(func(o *IssueOptions) { o.ID.Role = RoleAgent }), []*x509.Certificate{ca.Cert}, ReasonBadCertificate},
		"other domain":  {ca, with(func(o *IssueOptions) { o.ID.Domain = "other.example" }), []*x509.Certificate{ca.Cert}, ReasonWrongDomain},
		"expired":       {ca, with(func(o *IssueOptions) { o.NotBefore = now.Add(-2 * time.Hour) }), []*x509.Certificate{ca.Cert}, ReasonExpired},
	} {
		pair, err := tt.by.Issue(tt.leaf)
		if err != nil {
			t.Fatal(err)
		}
		got := Reason("")
		if r := verifyPinned(NewToken(ca.Cert), "hub1", now, append([]*x509.Certificate{pair.Cert}, tt.sent...)); r != nil {
			got = r.Reason
		}
		if got != tt.want {
			t.Errorf("%s: reason %q, want %q", name, got, tt.want)
		}
	}
}

// TestEnrolledIsVerified: what a hub answers is looked at before it is written.
func TestEnrolledIsVerified(t *testing.T) {
	ca, caPair, err := CreateCA(CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := CreateCA(CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	issue := func(role Role, host string) KeyPair {
		pair, err := ca.Issue(IssueOptions{ID: ID{Domain: DefaultDomain, Role: role, Name: host}})
		if err != nil {
			t.Fatal(err)
		}
		return *pair
	}
	node, agent := issue(RoleNode, "web-1"), issue(RoleAgent, "web-1")
	foreign := node
	foreign.CertPEM = issue(RoleNode, "web-1").CertPEM
	good := &Enrolled{CA: caPair.CertPEM, Node: node, Agent: agent}
	token := NewToken(ca.Cert)
	for want, e := range map[string]*Enrolled{
		"":                    good,
		"not the one":         {CA: other.CertPEM, Node: node, Agent: agent},
		"not an authority":    {CA: append(append([]byte{}, caPair.CertPEM...), node.CertPEM...), Node: node, Agent: agent},
		"needs agent":         {CA: caPair.CertPEM, Node: node, Agent: node},
		"is for another key":  {CA: caPair.CertPEM, Node: foreign, Agent: agent},
		"names web-2":         {CA: caPair.CertPEM, Node: issue(RoleNode, "web-2"), Agent: issue(RoleAgent, "web-2")},
		"no PEM certificate":  {CA: caPair.CertPEM, Node: KeyPair{KeyPEM: node.KeyPEM}, Agent: agent},
		"no PEM certificate ": {},
	} {
		err := e.Verify(token, "web-1", time.Now())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%q: got %v", want, err)
		}
	}
	own := &Enrolled{CA: caPair.CertPEM, Node: node, Agents: map[string]KeyPair{"proc_agent": issue(RoleAgent, "web-1/proc_agent")}}
	if err := own.Verify(token, "WEB-1.", time.Now()); err != nil {
		t.Error(err)
	}
	if err := (&Enrolled{CA: caPair.CertPEM, Node: node, Agents: map[string]KeyPair{"proc_agent": agent}}).Verify(token, "web-1", time.Now()); err == nil {
		t.Error("an agent's own certificate that speaks for all of them")
	}
	dir := filepath.Join(t.TempDir(), "certs")
	if err := WriteEnrolled(dir, good, false); err != nil {
		t.Fatal(err)
	}
	if err := WriteEnrolled(dir, good, false); err == nil {
		t.Error("written over certificates")
	}
	if err := WriteEnrolled(dir, good, true); err != nil {
		t.Error(err)
	}
	if _, err := ClientConfig(FilesFor(dir, "client"), ClientOptions{ServerName: "hub1"}); err != nil {
		t.Error(err)
	}
	if entries, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(entries) != 8 {
		t.Errorf("the folder has %q", entries)
	}
	// From one layout to the other nothing of before is left that an agent would take.
	if err := WriteEnrolled(dir, own, true); err != nil {
		t.Error(err)
	}
	if err := WriteEnrolled(dir, own, false); err == nil {
		t.Error("written over certificates of agents")
	}
	if names, err := leafNames(dir); err != nil || !slices.Equal(names, []string{"agent-proc_agent", "client", "node"}) {
		t.Errorf("one for each agent: %q, %v", names, err)
	}
	if _, findings := Verify(dir, VerifyOptions{}); len(findings) > 0 {
		t.Errorf("one for each agent: %v", findings)
	}
	if err := WriteEnrolled(dir, good, true); err != nil {
		t.Error(err)
	}
	if names, err := leafNames(dir); err != nil || !slices.Equal(names, []string{"agent", "client", "node"}) {
		t.Errorf("one for all agents: %q, %v", names, err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := WriteEnrolled(dir, good, true); err == nil {
		t.Error("written to a folder that others may write")
	}
}
