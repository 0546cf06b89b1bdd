package app

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/agent/renewal"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const day = 24 * time.Hour

// joined is a host with certificates of its own.
type joined struct {
	home config.Home
	hub  *enrolHub
}

func (h *enrolHub) joined(t *testing.T, host string) joined {
	t.Helper()
	home := config.Home(filepath.Join(t.TempDir(), host))
	if err := h.join(t, home, h.token(t, host), host, false); err != nil {
		t.Fatal(err)
	}
	return joined{home, h}
}

func (j joined) files(name string) identity.Files { return identity.FilesFor(j.home.Certs(), name) }

func (j joined) cert(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	held, err := identity.Hold(j.files(name))
	if err != nil {
		t.Fatal(err)
	}
	return held.Cert
}

// renewer looks after the certificates of these names, the first of which calls.
func (j joined) renewer(names ...string) *renewal.Renewer {
	files := make([]identity.Files, 0, len(names))
	for _, n := range names {
		files = append(files, j.files(n))
	}
	return renewal.New(renewal.Options{
		Files: func() []identity.Files { return files }, Now: j.hub.clock.Now,
		Dial: func() (*grpc.ClientConn, error) {
			cfg, err := identity.ClientConfig(files[0], identity.ClientOptions{ServerName: "127.0.0.1", Now: j.hub.clock.Now})
			if err != nil {
				return nil, err
			}
			return grpc.NewClient("passthrough:///"+j.hub.addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
		},
	})
}

// publish sends one event with the agent's certificate over a connection of its own.
func (j joined) publish(t *testing.T) error {
	t.Helper()
	conn := j.hub.dial(t, j.files("agent"))
	defer func() { _ = conn.Close() }()
	ev := someEvent(j.hub.clock.Now())
	ev.Host.Name = filepath.Base(string(j.home))
	_, err := pb.NewEventBusClient(conn).PublishEvent(t.Context(), ev)
	return err
}

func someEvent(at time.Time) *pb.Event {
	return &pb.Event{
		Id: []byte("0123456789abcdef"), Time: timestamppb.New(at), Type: "process.execution",
		Host: &pb.Host{Name: "web-1"}, Agent: &pb.Agent{Id: "proc_agent"},
	}
}

// renewHubCertificate does what up does for the hub's own: it stays valid while the
// clock of a test goes on for months.
func (h *enrolHub) renewHubCertificate(t *testing.T) {
	t.Helper()
	_, err := identity.Renew(h.home.Certs(), identity.RenewOptions{Names: []string{"eventbus", "operator"}, Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
}

// TestHostOutlivesItsCertificates: a host that has joined once is there a year
// later, though ca.key has never been on it; nothing is restarted, and a connection
// that is open stays open through a renewal.
func TestHostOutlivesItsCertificates(t *testing.T) {
	h := startEnrolHub(t, true)
	host := h.joined(t, "web-1")
	open := pb.NewEventBusClient(h.dial(t, host.files("agent")))
	r := host.renewer("node", "agent", "client")
	if done, err := r.Renew(t.Context(), false); err != nil || len(done) != 0 {
		t.Errorf("right after joining: %v, %v", done, err)
	}
	first := host.cert(t, "agent")
	for passed := time.Duration(0); passed < 365*day; passed += 70 * day {
		h.clock.Add(70 * day)
		h.renewHubCertificate(t)
		before := host.cert(t, "agent")
		done, err := r.Renew(t.Context(), false)
		if err != nil || len(done) != 2 { // client is a link to agent's
			t.Fatalf("after %s: %v, %v", passed, done, err)
		}
		after := host.cert(t, "agent")
		if after.Equal(before) || after.NotAfter.Sub(h.clock.Now()) < 89*day {
			t.Errorf("after %s: until %s", passed, after.NotAfter)
		}
		if same, ok := before.PublicKey.(interface{ Equal(x any) bool }); ok && same.Equal(after.PublicKey) {
			t.Error("the key is the old one")
		}
		if err := host.publish(t); err != nil {
			t.Errorf("after %s: %v", passed, err)
		}
		if passed == 0 {
			if _, err := open.PublishEvent(t.Context(), someEvent(h.clock.Now())); err != nil {
				t.Errorf("a connection that was open: %v", err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(host.home.Certs(), "ca.key")); err == nil {
		t.Error("the authority's key is on the host")
	}
	if _, err := h.db.Certificate(t.Context(), first.SerialNumber.Text(16)); err == nil {
		t.Error("a certificate that ended months ago is kept")
	}
	list, err := h.certificates(t).ListCertificates(t.Context(), &pb.ListCertificatesRequest{Host: "WEB-1"})
	if err != nil || len(list.GetCertificates()) == 0 {
		t.Fatalf("list: %v, %v", list, err)
	}
	for _, c := range list.GetCertificates() {
		if c.GetOrigin() == pb.CertificateOrigin_CERTIFICATE_ORIGIN_RENEWAL && c.GetReplaces() == "" {
			t.Errorf("it does not say what it replaced: %v", c)
		}
	}
	if !h.acts.has("certificate.renew true node/web-1 agent/web-1") {
		t.Errorf("audited: %q", h.acts.list)
	}
}

func (h *enrolHub) certificates(t *testing.T) pb.CertificatesClient {
	t.Helper()
	return pb.NewCertificatesClient(h.dial(t, identity.FilesFor(h.home.Certs(), "operator")))
}

// TestRenewalKeepsWhatACertificateAllows: observing kinds and lifetime live on, and
// the request has no say in them.
func TestRenewalKeepsWhatACertificateAllows(t *testing.T) {
	h := startEnrolHub(t, true)
	host := h.joined(t, "web-1")
	pair, err := h.ca.Issue(identity.IssueOptions{
		ID: identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleAgent, Name: "web-1/snmp_agent"}, Observes: []string{"snmp"}, TTL: 48 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"agent-snmp_agent.crt": pair.CertPEM, "agent-snmp_agent.key": pair.KeyPEM} {
		if err := os.WriteFile(filepath.Join(host.home.Certs(), name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// By hand, now: by the node, and then by the agent itself.
	for _, r := range []*renewal.Renewer{host.renewer("node", "agent-snmp_agent"), host.renewer("agent-snmp_agent")} {
		if _, err := r.Renew(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	cert := host.cert(t, "agent-snmp_agent")
	if !slices.Equal(identity.Observes(cert), []string{"snmp"}) || cert.NotAfter.Sub(cert.NotBefore) != 48*time.Hour {
		t.Errorf("observes %v, lives %s", identity.Observes(cert), cert.NotAfter.Sub(cert.NotBefore))
	}
	if got := ownID(host.files("agent-snmp_agent").Cert).String(); got != "spiffe://amoskys.local/agent/web-1/snmp_agent" {
		t.Errorf("identity %s", got)
	}
}

// TestRenewalIsRefused: nobody gets a certificate by renewal that is not a successor
// of one that may be renewed.
func TestRenewalIsRefused(t *testing.T) {
	h := startEnrolHub(t, true)
	host, other := h.joined(t, "web-1"), h.joined(t, "web-2")
	stranger, _, err := identity.CreateCA(identity.CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	forged, err := stranger.Issue(identity.IssueOptions{ID: identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleAgent, Name: "web-1"}})
	if err != nil {
		t.Fatal(err)
	}
	text := func(j joined, name string) string {
		held, err := identity.Hold(j.files(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(held.PEM)
	}
	operator := joined{h.home, h}
	ended, err := h.ca.Issue(identity.IssueOptions{
		ID:  identity.ID{Domain: identity.DefaultDomain, Role: identity.RoleAgent, Name: "web-1"},
		TTL: time.Hour, NotBefore: h.clock.Now().Add(-2 * time.Hour), Observes: []string{"snmp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.NewSigningRequest()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		as, certificate, csr string
		want                 codes.Code
	}{
		"a node its own":                 {"node", text(host, "node"), string(csr.CSRPEM), codes.OK},
		"a node its agents'":             {"node", text(host, "agent"), string(csr.CSRPEM), codes.OK},
		"an agent its own":               {"agent", text(host, "agent"), string(csr.CSRPEM), codes.OK},
		"an agent its node's":            {"agent", text(host, "node"), string(csr.CSRPEM), codes.PermissionDenied},
		"a node another node's":          {"node", text(other, "node"), string(csr.CSRPEM), codes.PermissionDenied},
		"a node another host's agents'":  {"node", text(other, "agent"), string(csr.CSRPEM), codes.PermissionDenied},
		"a node an operator's":           {"node", text(operator, "operator"), string(csr.CSRPEM), codes.PermissionDenied},
		"a node the hub's":               {"node", text(operator, "eventbus"), string(csr.CSRPEM), codes.PermissionDenied},
		"one that has ended":             {"agent", string(ended.CertPEM), string(csr.CSRPEM), codes.PermissionDenied},
		"of another authority":           {"agent", string(forged.CertPEM), string(csr.CSRPEM), codes.PermissionDenied},
		"no certificate":                 {"agent", "x", string(csr.CSRPEM), codes.InvalidArgument},
		"no request":                     {"agent", text(host, "agent"), "x", codes.InvalidArgument},
		"a request that was cut in half": {"agent", text(host, "agent"), string(csr.CSRPEM[:len(csr.CSRPEM)/2]), codes.InvalidArgument},
	} {
		client := pb.NewCertificatesClient(h.dial(t, host.files(tt.as)))
		resp, err := client.RenewCertificates(t.Context(), &pb.RenewCertificatesRequest{
			Renewals: []*pb.CertificateRenewal{{Certificate: tt.certificate, Csr: tt.csr}},
		})
		if status.Code(err) != tt.want || err != nil && len(resp.GetCertificates()) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	client := pb.NewCertificatesClient(h.dial(t, host.files("node")))
	many := make([]*pb.CertificateRenewal, 258)
	for _, renewals := range [][]*pb.CertificateRenewal{nil, many} {
		_, err := client.RenewCertificates(t.Context(), &pb.RenewCertificatesRequest{Renewals: renewals})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%d certificates: %v", len(renewals), err)
		}
	}
	for range 3 { // what one certificate asks for within an hour is bounded
		_, err = client.RenewCertificates(t.Context(), &pb.RenewCertificatesRequest{Renewals: many[:250]})
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("750 certificates: %v", err)
	}
}

// TestRenewalWithoutTheAuthoritysKey: the hub says why it cannot, and the host until
// when its certificate lasts; afterwards that it has to enrol again.
func TestRenewalWithoutTheAuthoritysKey(t *testing.T) {
	h := startEnrolHub(t, true)
	host := h.joined(t, "web-1")
	h.clock.Add(70 * day)
	h.renewHubCertificate(t)
	key := filepath.Join(h.home.Certs(), "ca.key")
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	before := host.cert(t, "agent")
	_, err := host.renewer("node", "agent").Renew(t.Context(), false)
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "put the authority's key back") ||
		!strings.Contains(err.Error(), before.NotAfter.UTC().Format(time.RFC3339)) || strings.Contains(err.Error(), "rpc error") {
		t.Errorf("got %v", err)
	}
	if !host.cert(t, "agent").Equal(before) {
		t.Error("the certificate has changed")
	}
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	h.clock.Add(25 * day)
	h.renewHubCertificate(t)
	_, err = host.renewer("node", "agent").Renew(t.Context(), false)
	if err == nil || !strings.Contains(err.Error(), "expired on") || !strings.Contains(err.Error(), "amoskys-agent enroll --hub") {
		t.Errorf("after the end: %v", err)
	}
	if err := host.publish(t); err == nil {
		t.Error("an expired certificate publishes")
	}
	if err := h.join(t, host.home, h.token(t, "web-1"), "web-1", true); err != nil {
		t.Fatal(err)
	}
	if err := host.publish(t); err != nil {
		t.Errorf("after it has enrolled again: %v", err)
	}
}

// TestTwoRenewersOfOneFile: a node and an agent that was started by hand renew the
// same certificate; one wins, and what is there works.
func TestTwoRenewersOfOneFile(t *testing.T) {
	h := startEnrolHub(t, true)
	host := h.joined(t, "web-1")
	results := make(chan error, 2)
	for _, r := range []*renewal.Renewer{host.renewer("node", "agent"), host.renewer("agent")} {
		go func() {
			_, err := r.Renew(t.Context(), true)
			results <- err
		}()
	}
	if err := errors.Join(<-results, <-results); err != nil {
		t.Error(err)
	}
	if err := host.publish(t); err != nil {
		t.Error(err)
	}
}

// TestHostTakesUpANewAuthority: an authority that was appended on the hub reaches
// hosts with the next renewal, and one that lacks the hub's own does not.
func TestHostTakesUpANewAuthority(t *testing.T) {
	h := startEnrolHub(t, true)
	host := h.joined(t, "web-1")
	_, next, err := identity.CreateCA(identity.CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(h.home.Certs(), "ca.crt")
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	both := append(slices.Clone(old), next.CertPEM...)
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := host.renewer("node", "agent").Renew(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(host.files("agent").CA)
	if err != nil || string(got) != string(both) {
		t.Errorf("the host trusts %d bytes, want %d, %v", len(got), len(both), err)
	}
	if err := identity.UpdateAuthorities(host.files("agent").CA, next.CertPEM, []*x509.Certificate{h.ca.Cert}); err == nil {
		t.Error("authorities without the hub's own were taken")
	}
}

func readFile(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// writePair writes a certificate and its key, with the authority of home, into a
// folder of their own.
func writePair(t *testing.T, home config.Home, pair *identity.KeyPair) identity.Files {
	t.Helper()
	dir := t.TempDir()
	files := identity.FilesFor(dir, "own")
	ca, err := os.ReadFile(filepath.Join(home.Certs(), "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string][]byte{files.CA: ca, files.Cert: pair.CertPEM, files.Key: pair.KeyPEM} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// publishing is an open stream with the certificate of files.
func (h *enrolHub) publishing(t *testing.T, files identity.Files) grpc.ClientStream {
	t.Helper()
	s, err := pb.NewEventBusClient(h.dial(t, files)).Publish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ended waits for the end of a stream and returns its error.
func ended(t *testing.T, s grpc.ClientStream) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			err = s.RecvMsg(&pb.PublishAck{})
		}
		got <- err
	}()
	select {
	case err := <-got:
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	case <-ctx.Done():
		t.Fatal("the stream goes on")
		return nil
	}
}
