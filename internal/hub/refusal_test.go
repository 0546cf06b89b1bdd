package hub

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestRefusedClients: each kind of wrong client certificate is turned away from
// the real port, and the log says which kind it was.
func TestRefusedClients(t *testing.T) {
	h := startHub(t, "")
	agent := identity.ID{Role: identity.RoleAgent, Name: "host-1"}
	day := 24 * time.Hour
	tests := []struct {
		reason identity.Reason
		home   config.Home
		with   identity.IssueOptions
	}{
		{identity.ReasonUnknownAuthority, newHome(t), identity.IssueOptions{ID: agent, TTL: day}},
		{identity.ReasonExpired, h.home, identity.IssueOptions{ID: agent, NotBefore: time.Now().Add(-3 * day), TTL: day}},
		{identity.ReasonNotYetValid, h.home, identity.IssueOptions{ID: agent, NotBefore: time.Now().Add(day), TTL: day}},
		{identity.ReasonWrongHost, h.home, identity.IssueOptions{ID: agent, Hosts: []string{"192.0.2.9"}, TTL: day}},
		{identity.ReasonWrongDomain, h.home, identity.IssueOptions{ID: identity.ID{Domain: "other.example", Role: identity.RoleAgent, Name: "h"}, TTL: day}},
	}
	for _, tt := range tests {
		t.Run(string(tt.reason), func(t *testing.T) {
			pair := certificate(t, tt.home, tt.with)
			d := tls.Dialer{Config: &tls.Config{
				InsecureSkipVerify: true, NextProtos: []string{"h2"},
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil },
			}}
			if c, err := d.DialContext(t.Context(), "tcp", h.Addr().String()); err == nil {
				if _, err := c.Read(make([]byte, 1)); err == nil { // TLS 1.3 tells with the first read
					t.Error("it was let in")
				}
				_ = c.Close()
			}
			eventually(t, "it is counted", func() bool {
				return h.metric(t, "eventbus_errors_total", "reason", string(tt.reason)) == 1
			})
			if !strings.Contains(h.log.String(), "reason="+string(tt.reason)) {
				t.Errorf("the log does not say so:\n%s", h.log.String())
			}
		})
	}

	// What is bound to the address it calls from is welcome.
	here := certificate(t, h.home, identity.IssueOptions{ID: agent, Hosts: []string{"127.0.0.1"}, TTL: day})
	cfg := h.tlsConfig(t, "agent")
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return here, nil }
	d := tls.Dialer{Config: cfg}
	c, err := d.DialContext(t.Context(), "tcp", h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := c.Read(answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Errorf("answer %q, %v", answer, err)
	}
}

// certificate issues a leaf from the authority of a home.
func certificate(t *testing.T, home config.Home, o identity.IssueOptions) *tls.Certificate {
	t.Helper()
	ca, err := identity.LoadCA(filepath.Join(home.Certs(), "ca.crt"), filepath.Join(home.Certs(), "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if o.ID.Domain == "" {
		o.ID.Domain = ca.Domain()
	}
	pair, err := ca.Issue(o)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

// TestBindClientAddressCanBeSwitchedOff is for hubs behind a proxy.
func TestBindClientAddressCanBeSwitchedOff(t *testing.T) {
	h := startHub(t, "", func(o *Options, _ *StorageOptions) { o.Config.TLS.BindClientAddress = false })
	dir := t.TempDir()
	files := identity.Files{
		CA: filepath.Join(h.home.Certs(), "ca.crt"), Cert: filepath.Join(dir, "x.crt"), Key: filepath.Join(dir, "x.key"),
	}
	ca, err := identity.LoadCA(files.CA, filepath.Join(h.home.Certs(), "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(identity.IssueOptions{
		ID: identity.ID{Domain: ca.Domain(), Role: identity.RoleAgent, Name: "h"}, Hosts: []string{"192.0.2.9"}, TTL: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{files.Cert: pair.CertPEM, files.Key: pair.KeyPEM} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := publishStream(t, dialFiles(t, h.Addr().String(), files), "")
	if ack := exchange(t, s, &pb.PublishRequest{Events: [][]byte{encode(t, &pb.Event{Type: "a.b", Host: &pb.Host{Name: "h"}})}}); ack.GetAccepted() != 1 {
		t.Errorf("ack %v", ack)
	}
}
