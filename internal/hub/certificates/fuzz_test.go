package certificates

import (
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// FuzzAgentOrder: whatever is typed after agents revoke is refused, or means
// certificates of one host in its one form.
func FuzzAgentOrder(f *testing.F) {
	for _, s := range []string{"web-1", "WEB-1.", "web-1/proc_agent", "a/b/c", "", "*", "web-1/*", " ", "../x", "web-1/", "/x", strings.Repeat("a", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		o, err := agentOrder(name)
		if err != nil {
			return
		}
		if o.host == "" || strings.ContainsAny(o.host, "/* ") {
			t.Fatalf("%q is host %q", name, o.host)
		}
		meant := identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleAgent, Name: name}.Normal()
		other := identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleAgent, Name: o.host + "x"}
		operator := identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleOperator, Name: o.host}
		if !o.ends(meant, "1") || o.ends(other, "1") || o.ends(operator, "1") {
			t.Fatalf("%q means %q", name, o.targets)
		}
	})
}

// FuzzSerialOrder: a serial has one form, however it is written.
func FuzzSerialOrder(f *testing.F) {
	for _, s := range []string{"1", "0A:ff", "-1", "0", "xyz", " a ", "0x10", "1_0", strings.Repeat("f", 41)} {
		f.Add(s)
	}
	s := New(Options{Store: nothing{}})
	f.Fuzz(func(t *testing.T, text string) {
		o, err := s.order(t.Context(), &pb.RevokeCertificatesRequest{Target: &pb.RevokeCertificatesRequest_Serial{Serial: text}})
		if err != nil {
			return
		}
		again, err := s.order(t.Context(), &pb.RevokeCertificatesRequest{Target: &pb.RevokeCertificatesRequest_Serial{Serial: o.target}})
		if err != nil || again.target != o.target || strings.HasPrefix(o.target, "0") || len(o.target) > 40 {
			t.Fatalf("%q is %q, and that is %+v, %v", text, o.target, again, err)
		}
	})
}
