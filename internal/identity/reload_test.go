package identity

import (
	"crypto/tls"
	"os"
	"strings"
	"testing"
	"time"
)

// TestReload renews certificates under a running server and client.
func TestReload(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	now, log := newClock(epoch), &lines{}
	s.serverOpts.Now, s.clientOpts.Now, s.serverOpts.Logger = now.Now, now.Now, log.logger()
	cfg, err := ServerConfig(s.server, s.serverOpts)
	must(t, err)
	ln := NewListener(listen(t), cfg, ListenerOptions{})
	echo(t, ln)
	client := clientFor(t, s, 0)
	serial := func() string {
		t.Helper()
		cs, err := exchange(t.Context(), ln.Addr().String(), client)
		must(t, err)
		return cs.PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	renew := func() {
		t.Helper()
		_, err := Renew(s.own.dir, RenewOptions{Now: now.Now})
		must(t, err)
	}
	renew()
	if serial() != first {
		t.Error("the files were read again within a second")
	}
	now.Add(2 * time.Second)
	second := serial()
	if second == first {
		t.Error("the renewed certificate is not used")
	}
	if !strings.Contains(log.String(), "certificate read again") {
		t.Errorf("nothing logged:\n%s", log)
	}

	// A certificate that is no good: the old one stays and one line says so.
	must(t, os.WriteFile(s.server.Cert, []byte("half a cert"), 0o600))
	for range 5 {
		now.Add(2 * time.Second)
		if serial() != second {
			t.Error("the certificate changed")
		}
	}
	if n := strings.Count(log.String(), "changed certificate is no good"); n != 1 {
		t.Errorf("%d log lines, want 1:\n%s", n, log)
	}
	renewed, err := s.own.Issue(IssueOptions{ID: hubID(), Hosts: []string{"127.0.0.1"}, NotBefore: epoch})
	must(t, err)
	must(t, swapPair(s.own.dir, "eventbus", renewed))
	now.Add(2 * time.Second)
	if serial() != renewed.Cert.SerialNumber.String() {
		t.Error("the repaired certificate is not used")
	}
	// A clock set back does not stop the looking.
	again, err := s.own.Issue(IssueOptions{ID: hubID(), Hosts: []string{"127.0.0.1"}, NotBefore: epoch.Add(-time.Hour)})
	must(t, err)
	must(t, swapPair(s.own.dir, "eventbus", again))
	now.Add(-10 * time.Second)
	if serial() != again.Cert.SerialNumber.String() {
		t.Error("after the clock was set back the certificate is not used")
	}
}

// TestResumption shows that resumed sessions are checked like new ones.
func TestResumption(t *testing.T) {
	t.Parallel()
	for version, maximum := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			now, got := newClock(epoch), newRejections()
			s.serverOpts.Now, s.clientOpts.Now, s.serverOpts.OnReject = now.Now, now.Now, got.add
			s.client = s.own.leaf(t, "agent", IssueOptions{ID: agentID(), TTL: 3 * time.Hour})
			cfg, err := ServerConfig(s.server, s.serverOpts)
			must(t, err)
			ln := NewListener(listen(t), cfg, ListenerOptions{})
			echo(t, ln)
			client := clientFor(t, s, maximum)
			client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
			connect := func(wantResumed bool) {
				t.Helper()
				cs, err := exchange(t.Context(), ln.Addr().String(), client)
				must(t, err)
				if cs.DidResume != wantResumed {
					t.Errorf("resumed %v, want %v", cs.DidResume, wantResumed)
				}
			}
			connect(false)
			connect(true)

			// A new certificate on the server ends old sessions.
			_, err = Renew(s.own.dir, RenewOptions{Names: []string{"eventbus"}, Now: now.Now})
			must(t, err)
			now.Add(2 * time.Second)
			connect(false)
			connect(true)

			// The client's certificate ends while its session lives.
			now.Add(3 * time.Hour)
			_, err = exchange(t.Context(), ln.Addr().String(), client)
			if err == nil {
				t.Fatal("an expired certificate was let in by resumption")
			}
			if r := got.next(t); r.Reason != ReasonExpired {
				t.Errorf("refused for %s", r.Reason)
			}
			// Renewed, the client gets in again.
			_, err = Renew(s.own.dir, RenewOptions{Names: []string{"agent"}, Now: now.Now})
			must(t, err)
			now.Add(2 * time.Second)
			connect(false)
			got.none(t)

			// The client checks the server on resumption too.
			connect(true)
			narrow := client.Clone()
			narrow.ServerName = "hub2.example"
			if _, err := exchange(t.Context(), ln.Addr().String(), narrow); ClassifyHandshakeError(err) != ReasonWrongHost {
				t.Errorf("another name: %v", err)
			}
		})
	}
}

// TestServerTightened shows that a ticket is no pass through stricter rules.
func TestServerTightened(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	wide, err := ServerConfig(s.server, s.serverOpts)
	must(t, err)
	got := newRejections()
	s.serverOpts.Allow, s.serverOpts.OnReject = []Role{RoleDashboard}, got.add
	strict, err := ServerConfig(s.server, s.serverOpts)
	must(t, err)
	key := [32]byte{1}
	wide.SetSessionTicketKeys([][32]byte{key})
	strict.SetSessionTicketKeys([][32]byte{key})
	first := NewListener(listen(t), wide, ListenerOptions{})
	second := NewListener(listen(t), strict, ListenerOptions{})
	echo(t, first)
	echo(t, second)
	client := clientFor(t, s, tls.VersionTLS13)
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	_, err = exchange(t.Context(), first.Addr().String(), client)
	must(t, err)
	if _, err := exchange(t.Context(), second.Addr().String(), client); err == nil {
		t.Error("a session of a wider server was resumed on a strict one")
	}
	if r := got.next(t); r.Reason != ReasonWrongRole {
		t.Errorf("refused for %s", r.Reason)
	}
}
