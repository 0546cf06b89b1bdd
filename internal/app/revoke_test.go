package app

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func (h *enrolHub) revoke(t *testing.T, req *pb.RevokeCertificatesRequest) *pb.RevokeCertificatesResponse {
	t.Helper()
	resp, err := h.certificates(t).RevokeCertificates(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func revokeAgent(name string) *pb.RevokeCertificatesRequest {
	return &pb.RevokeCertificatesRequest{Target: &pb.RevokeCertificatesRequest_Agent{Agent: name}, Reason: "stolen", Actor: "cli:test"}
}

func revokeSerial(cert *x509.Certificate) *pb.RevokeCertificatesRequest {
	return &pb.RevokeCertificatesRequest{Target: &pb.RevokeCertificatesRequest_Serial{Serial: cert.SerialNumber.Text(16)}}
}

// serials of what an answer names.
func serials(resp *pb.RevokeCertificatesResponse) []string {
	var list []string
	for _, c := range resp.GetCertificates() {
		list = append(list, c.GetSerial())
	}
	slices.Sort(list)
	return list
}

// issued puts one more agent's certificate on a host.
func (j joined) issued(t *testing.T, name string, o identity.IssueOptions) {
	t.Helper()
	o.NotBefore = j.hub.clock.Now().Add(-5 * time.Minute)
	pair, err := j.hub.ca.Issue(o)
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string][]byte{name + ".crt": pair.CertPEM, name + ".key": pair.KeyPEM} {
		if err := os.WriteFile(filepath.Join(j.home.Certs(), file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRevokedHost: a stolen host is cut at once, also on connections that are open,
// with certificates that were renewed before, and after a restart of the hub. With a
// new token it comes back at once.
func TestRevokedHost(t *testing.T) {
	h := startEnrolHub(t, true)
	host, other := h.joined(t, "web-1"), h.joined(t, "web-2")
	if _, err := host.renewer("node", "agent").Renew(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	h.agents = map[string][]string{"web-1": {"proc_agent", "flow_agent"}}
	theirs, others := h.publishing(t, host.files("agent")), h.publishing(t, other.files("agent"))
	for _, s := range []interface{ SendMsg(any) error }{theirs, others} {
		if err := s.SendMsg(&pb.PublishRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	dry := revokeAgent("WEB-1.")
	dry.DryRun = true
	foreseen := h.revoke(t, dry)
	if err := host.publish(t); err != nil {
		t.Errorf("a dry run cuts: %v", err)
	}
	began := time.Now()
	done := h.revoke(t, revokeAgent("WEB-1."))
	if err := ended(t, theirs); status.Code(err) != codes.Unavailable {
		t.Errorf("a stream of it: %v", err)
	}
	if took := time.Since(began); took > 15*time.Second { // at once; this machine may be busy
		t.Errorf("cut after %s", took)
	}
	if want := []string{"web-1/flow_agent", "web-1/proc_agent"}; !slices.Equal(done.GetAgents(), want) || done.GetConnections() == 0 {
		t.Errorf("agents %v, %d connections", done.GetAgents(), done.GetConnections())
	}
	// Two of node and agent each: those that were renewed do not outlive it.
	if len(done.GetCertificates()) != 4 || !cmp.Equal(serials(foreseen), serials(done)) {
		t.Errorf("foreseen %v, done %v", serials(foreseen), serials(done))
	}
	if err := others.SendMsg(&pb.PublishRequest{}); err != nil {
		t.Errorf("a stream of another host: %v", err)
	}
	if !h.acts.has("agent.revoke true web-1") {
		t.Errorf("audited: %q", h.acts.list)
	}
	for range 2 {
		for _, name := range []string{"agent", "node"} {
			if _, err := identity.Probe(t.Context(), h.addr, host.files(name), identity.ClientOptions{ServerName: "127.0.0.1", Now: h.clock.Now}); err == nil {
				t.Errorf("a revoked %s gets in", name)
			}
		}
		if err := h.stop(); err != nil {
			t.Fatal(err)
		}
		h.start(t, true)
	}
	if err := other.publish(t); err != nil {
		t.Errorf("another host: %v", err)
	}
	list, err := h.certificates(t).ListCertificates(t.Context(), &pb.ListCertificatesRequest{Host: "web-1", All: true})
	if err != nil || len(list.GetCertificates()) != 4 || list.GetCertificates()[0].GetRevokedReason() != "stolen" ||
		!strings.HasPrefix(list.GetCertificates()[0].GetRevokedBy(), "cli:test by spiffe://") {
		t.Errorf("list: %v, %v", list, err)
	}
	if err := h.join(t, host.home, h.token(t, "web-1"), "web-1", true); err != nil {
		t.Fatal(err)
	}
	if err := host.publish(t); err != nil {
		t.Errorf("after it has enrolled again: %v", err)
	}
	if _, err := host.renewer("node", "agent").Renew(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := host.publish(t); err != nil {
		t.Errorf("after a renewal: %v", err)
	}
}

// TestRevokedHostCannotRenew: a renewal that was under way when the host was revoked
// gives it nothing.
func TestRevokedHostCannotRenew(t *testing.T) {
	h := startEnrolHub(t, true)
	host := h.joined(t, "web-1")
	held, err := identity.Hold(host.files("agent"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := host.renewer("agent").Renew(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	h.revoke(t, revokeSerial(held.Cert))
	csr, err := identity.NewSigningRequest()
	if err != nil {
		t.Fatal(err)
	}
	client := pb.NewCertificatesClient(h.dial(t, host.files("agent"))) // the successor is in force
	_, err = client.RenewCertificates(t.Context(), &pb.RenewCertificatesRequest{
		Renewals: []*pb.CertificateRenewal{{Certificate: string(held.PEM), Csr: string(csr.CSRPEM)}},
	})
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("renewal of a revoked certificate: %v", err)
	}
}

// TestRevocationSaysWhomElseItCuts: agents that share a certificate are cut with the
// one that is meant, and those with their own are not.
func TestRevocationSaysWhomElseItCuts(t *testing.T) {
	agentID := func(name string) identity.IssueOptions {
		return identity.IssueOptions{ID: identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleAgent, Name: name}}
	}
	h := startEnrolHub(t, true)
	h.agents = map[string][]string{"web-1": {"proc_agent", "flow_agent", "snmp_agent"}}
	host := h.joined(t, "web-1")
	host.issued(t, "agent-snmp_agent", agentID("web-1/snmp_agent"))
	host.issued(t, "agent-flow_agent", agentID("web-1/flow_agent"))
	for _, name := range []string{"agent-snmp_agent", "agent-flow_agent"} { // issued elsewhere: known since they connect
		if err := host.with(name).publishAs(t); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		target string
		agents []string
		cut    []string
		stays  []string
	}{
		{"web-1/snmp_agent", []string{"web-1/proc_agent", "web-1/snmp_agent"}, []string{"agent", "agent-snmp_agent"}, []string{"node", "agent-flow_agent"}},
		{"web-1/flow_agent", []string{"web-1/flow_agent"}, []string{"agent-flow_agent"}, []string{"node"}},
		{"web-1", []string{}, []string{"node"}, nil},
	} {
		resp := h.revoke(t, revokeAgent(tt.target))
		if diff := cmp.Diff(tt.agents, append([]string{}, resp.GetAgents()...)); diff != "" {
			t.Errorf("%s: %s", tt.target, diff)
		}
		var want []string
		for _, name := range tt.cut {
			want = append(want, host.cert(t, name).SerialNumber.Text(16))
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, serials(resp)); diff != "" {
			t.Errorf("%s: %s", tt.target, diff)
		}
		for _, name := range tt.cut {
			if err := host.with(name).publishAs(t); err == nil {
				t.Errorf("%s: %s still gets in", tt.target, name)
			}
		}
		for _, name := range tt.stays {
			if _, err := identity.Probe(t.Context(), h.addr, host.files(name), identity.ClientOptions{ServerName: "127.0.0.1", Now: h.clock.Now}); err != nil {
				t.Errorf("%s: %s is cut too: %v", tt.target, name, err)
			}
		}
	}
}

// as is a host that connects with one certificate.
type as struct {
	joined
	name string
}

func (j joined) with(name string) as { return as{j, name} }

func (a as) publishAs(t *testing.T) error {
	t.Helper()
	conn := a.hub.dial(t, a.files(a.name))
	defer func() { _ = conn.Close() }()
	ev := someEvent(a.hub.clock.Now())
	if _, agent, bound := strings.Cut(a.name, "-"); bound {
		ev.Agent.Id = agent
	}
	_, err := pb.NewEventBusClient(conn).PublishEvent(t.Context(), ev)
	return err
}

func TestRevokeOneCertificate(t *testing.T) {
	h := startEnrolHub(t, true)
	h.agents = map[string][]string{"web-1": {"proc_agent"}}
	host := h.joined(t, "web-1")
	old := host.cert(t, "agent")
	if _, err := host.renewer("agent").Renew(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if resp := h.revoke(t, revokeSerial(old)); !slices.Equal(serials(resp), []string{old.SerialNumber.Text(16)}) || len(resp.GetAgents()) != 0 {
		t.Errorf("one that was renewed: %v", resp)
	}
	if err := host.publish(t); err != nil {
		t.Errorf("its successor: %v", err)
	}
	colons := strings.ToUpper(host.cert(t, "agent").SerialNumber.Text(16))
	resp := h.revoke(t, &pb.RevokeCertificatesRequest{Target: &pb.RevokeCertificatesRequest_Serial{Serial: "0" + colons[:len(colons)-2] + ":" + colons[len(colons)-2:]}})
	if len(resp.GetCertificates()) != 1 || !slices.Equal(resp.GetAgents(), []string{"web-1/proc_agent"}) {
		t.Errorf("as openssl writes it: %v", resp)
	}
	if err := host.publish(t); err == nil {
		t.Error("a revoked certificate publishes")
	}
	// One that has never been here can be refused beforehand.
	host.issued(t, "agent-proc_agent", identity.IssueOptions{ID: identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleAgent, Name: "web-1/proc_agent"}})
	if resp := h.revoke(t, revokeSerial(host.cert(t, "agent-proc_agent"))); len(resp.GetCertificates()) != 0 {
		t.Errorf("an unknown one: %v", resp)
	}
	if err := host.with("agent-proc_agent").publishAs(t); err == nil {
		t.Error("it connects all the same")
	}
	for name, req := range map[string]*pb.RevokeCertificatesRequest{
		"nothing":         {},
		"no serial":       {Target: &pb.RevokeCertificatesRequest_Serial{Serial: "xyz"}},
		"zero":            {Target: &pb.RevokeCertificatesRequest_Serial{Serial: "0"}},
		"a long serial":   {Target: &pb.RevokeCertificatesRequest_Serial{Serial: strings.Repeat("f", 100)}},
		"the hub's":       revokeSerial(joined{h.home, h}.cert(t, "eventbus")),
		"no name":         revokeAgent("a b"),
		"three parts":     revokeAgent("a/b/c"),
		"nobody's host":   revokeAgent("web-9"),
		"a long reason":   {Target: &pb.RevokeCertificatesRequest_Agent{Agent: "web-1"}, Reason: strings.Repeat("x", 513)},
		"half a serial":   {Target: &pb.RevokeCertificatesRequest_Serial{Serial: host.cert(t, "agent").SerialNumber.Text(16)[:8]}},
		"a serial's sign": {Target: &pb.RevokeCertificatesRequest_Serial{Serial: "-1"}},
	} {
		_, err := h.certificates(t).RevokeCertificates(t.Context(), req)
		if c := status.Code(err); c != codes.InvalidArgument && (c != codes.NotFound || name != "nobody's host") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRevocationReachesWhatBeginsLater: certificates that were issued while the hub's
// clock was ahead begin after the revocation, and are ended by it all the same.
func TestRevocationReachesWhatBeginsLater(t *testing.T) {
	h := startEnrolHub(t, true)
	h.clock.Add(day)
	host := h.joined(t, "web-1")
	h.clock.Add(-day)
	if done := h.revoke(t, revokeAgent("web-1")); len(done.GetCertificates()) != 2 {
		t.Errorf("it names %d certificates, want 2", len(done.GetCertificates()))
	}
	list, err := h.certificates(t).ListCertificates(t.Context(), &pb.ListCertificatesRequest{Host: "web-1"})
	if err != nil || len(list.GetCertificates()) != 0 {
		t.Errorf("still in force: %v, %v", list.GetCertificates(), err)
	}
	h.clock.Add(day)
	if err := host.with("agent").publishAs(t); err == nil {
		t.Error("a revoked agent gets in once its certificate begins")
	}
	h.clock.Add(time.Minute)
	if err := h.joined(t, "web-1").with("agent").publishAs(t); err != nil {
		t.Errorf("enrolled again: %v", err)
	}
}
