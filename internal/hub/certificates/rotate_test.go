package certificates

import (
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
)

// TestRotationIsDue: which nodes are told and which connections are closed, at which
// step, and at what pace.
func TestRotationIsDue(t *testing.T) {
	old, fresh := newCA(t), newCA(t)
	of := func(ca *identity.CA, role identity.Role, name string) peer {
		id := identity.ID{Domain: identity.DefaultDomain, Role: role, Name: name}
		pair, err := ca.Issue(identity.IssueOptions{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		return peer{id, pair.Cert}
	}
	both := []*x509.Certificate{old.Cert, fresh.Cert}
	now := time.Now()
	r := newRotation()
	if r.follow(both[:1], identity.Rotation{}) {
		t.Error("the first look is a change")
	}
	if !r.follow(both, identity.Rotation{Stage: identity.StageTrusting}) || r.follow(both, identity.Rotation{}) {
		t.Error("a change is not seen, or seen twice")
	}
	behind, came, silent := of(old, identity.RoleNode, "behind"), of(fresh, identity.RoleNode, "came"), of(old, identity.RoleNode, "silent")
	agent, dashboard := of(old, identity.RoleAgent, "behind"), of(old, identity.RoleDashboard, "hub1")
	r.has["behind"], r.has["came"], r.has["gone"] = "what it trusted", r.digest, "x"
	peers := []peer{behind, came, silent, agent, dashboard}

	tell, cut := r.due(peers, old.Cert, false, now)
	if fmt.Sprint(tell) != "[behind silent]" || len(cut) != 0 || r.has["gone"] != "" {
		t.Errorf("told %v, cut %v, has %v", tell, cut, r.has)
	}
	if tell, _ = r.due(peers, old.Cert, false, now.Add(turnAgain/2)); len(tell) != 0 {
		t.Errorf("told again: %v", tell)
	}
	if tell, _ = r.due(peers, old.Cert, false, now.Add(turnAgain)); fmt.Sprint(tell) != "[behind silent]" {
		t.Errorf("not told again: %v", tell)
	}
	serial := func(p peer) string { return p.cert.SerialNumber.Text(16) }
	r.succeeds(serial(agent))
	if _, cut = r.due(peers, old.Cert, false, now); len(cut) != 1 || !cut[serial(agent)] {
		t.Errorf("cut %v", cut)
	}
	if _, cut = r.due(peers, old.Cert, true, now); len(cut) != 1 || !cut[serial(dashboard)] {
		t.Errorf("when hub and dashboard have gone over, cut %v", cut)
	}
	if _, cut = r.due(peers, old.Cert, true, now); len(cut) != 0 {
		t.Errorf("cut twice: %v", cut)
	}
	r.follow(both[1:], identity.Rotation{})
	if len(r.succeeded) != 0 || len(r.cut) != 0 {
		t.Error("what is remembered outlasts the rotation")
	}
	// At the end, who has not taken the old one away is told.
	if tell, cut = r.due(peers[1:2], nil, false, now); fmt.Sprint(tell) != "[came]" || len(cut) != 0 {
		t.Errorf("at the end: told %v, cut %v", tell, cut)
	}
	many := make([]peer, 0, turnAtOnce+10)
	for i := range turnAtOnce + 10 {
		p := came
		p.id.Name = fmt.Sprint("n", i)
		r.has[p.id.Name] = "other"
		many = append(many, p)
	}
	if tell, _ = r.due(many, nil, false, now); len(tell) != turnAtOnce {
		t.Errorf("%d told at once", len(tell))
	}
	if tell, _ = r.due(many, nil, false, now); len(tell) != 10 {
		t.Errorf("%d told in the next turn", len(tell))
	}
}

func newCA(t *testing.T) *identity.CA {
	t.Helper()
	ca, _, err := identity.CreateCA(identity.CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}
