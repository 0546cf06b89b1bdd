package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stage is everything a refusal needs: two authorities and a hub.
type stage struct {
	t          *testing.T
	own, other authority
	server     Files
	client     Files
	serverOpts ServerOptions
	clientOpts ClientOptions
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, own: newAuthority(t, "", atEpoch), other: newAuthority(t, "", atEpoch)}
	s.server = s.own.leaf(t, "eventbus", IssueOptions{ID: hubID(), Hosts: []string{"localhost", "127.0.0.1"}})
	s.client = s.own.leaf(t, "agent", IssueOptions{ID: agentID()})
	s.serverOpts = ServerOptions{Allow: []Role{RoleAgent, RoleNode}, Now: atEpoch}
	s.clientOpts = ClientOptions{ServerName: "127.0.0.1", Now: atEpoch}
	return s
}

// selfSigned writes a certificate of its own making as name.
func selfSigned(t *testing.T, dir, name string, change func(*x509.Certificate)) Files {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "mallory"},
		NotBefore: epoch.Add(-time.Hour), NotAfter: epoch.Add(time.Hour),
	}
	change(tmpl)
	cert, err := sign(tmpl, tmpl, key.Public(), key)
	must(t, err)
	text, err := marshalKey(key)
	must(t, err)
	must(t, writeFile(dir, name+".key", text, keyMode))
	must(t, writeFile(dir, name+".crt", marshalCerts(cert), certMode))
	return FilesFor(dir, name)
}

type refusal struct {
	name  string
	setup func(s *stage)
	// by is who refuses.
	byClient bool
	// server is the reason the server reports, with words of its detail.
	server Reason
	says   []string
	// client is the reason the client's error explains to, with words of it.
	client     Reason
	clientSays []string
}

func refusals() []refusal {
	day := 24 * time.Hour
	return []refusal{
		{
			name:   "no certificate",
			setup:  func(s *stage) { s.client = Files{} },
			server: ReasonNoCertificate, says: []string{"presented none", "--cert"},
			client: ReasonNoCertificate,
		},
		{
			name: "another authority's certificate",
			setup: func(s *stage) {
				s.client = s.other.leaf(s.t, "agent", IssueOptions{ID: agentID()})
				s.client.CA = s.server.CA
			},
			server: ReasonUnknownAuthority, says: []string{"spiffe://amoskys.local/agent/web1", "another authority that is also called", "AMOSKYS CA"},
			client: ReasonBadCertificate, clientSays: []string{"its log says why"},
		},
		{
			name: "self-signed certificate",
			setup: func(s *stage) {
				s.client = selfSigned(s.t, s.other.dir, "self", func(*x509.Certificate) {})
				s.client.CA = s.server.CA
			},
			server: ReasonUnknownAuthority, says: []string{"self-signed", "mallory"},
			client: ReasonBadCertificate,
		},
		{
			name: "expired certificate",
			setup: func(s *stage) {
				s.client = s.own.leaf(s.t, "agent", IssueOptions{ID: agentID(), NotBefore: epoch.Add(-4 * day), TTL: day})
			},
			server: ReasonExpired, says: []string{"expired on 2026-02-26T12:00:00Z, 3 days ago", "amoskys certs renew"},
			client: ReasonExpired, clientSays: []string{"expired on 2026-02-26T12:00:00Z", "agent.crt"},
		},
		{
			name: "certificate not yet valid",
			setup: func(s *stage) {
				s.client = s.own.leaf(s.t, "agent", IssueOptions{ID: agentID(), NotBefore: epoch.Add(day)})
			},
			server: ReasonNotYetValid, says: []string{"valid only from 2026-03-02T12:00:00Z, in 24h0m", "clocks is wrong"},
			client: ReasonNotYetValid, clientSays: []string{"valid only from"},
		},
		{
			name: "expired certificate of another authority",
			setup: func(s *stage) {
				s.client = s.other.leaf(s.t, "agent", IssueOptions{ID: agentID(), NotBefore: epoch.Add(-4 * day), TTL: day})
				s.client.CA = s.server.CA
			},
			server: ReasonUnknownAuthority, client: ReasonExpired,
		},
		{
			name: "wrong role",
			setup: func(s *stage) {
				s.client = s.own.leaf(s.t, "operator", IssueOptions{ID: ID{DefaultDomain, RoleOperator, "ann"}})
			},
			server: ReasonWrongRole, says: []string{"has role operator, needs one of agent, node"},
			client: ReasonBadCertificate,
		},
		{
			name: "wrong domain",
			setup: func(s *stage) {
				s.client = s.own.leaf(s.t, "agent", IssueOptions{ID: ID{"elsewhere.example", RoleAgent, "web1"}})
				s.clientOpts.Domain = DefaultDomain
			},
			server: ReasonWrongDomain, says: []string{"is of domain elsewhere.example, this side is of amoskys.local"},
			client: ReasonBadCertificate,
		},
		{
			name: "client bound to another address",
			setup: func(s *stage) {
				s.serverOpts.BindClientAddress = true
				s.client = s.own.leaf(s.t, "agent", IssueOptions{ID: agentID(), Hosts: []string{"192.0.2.7"}})
			},
			server: ReasonWrongHost, says: []string{"is bound to 192.0.2.7; it was presented from 127.0.0.1"},
			client: ReasonBadCertificate,
		},
		{
			name: "authority's own certificate",
			setup: func(s *stage) {
				s.client = Files{s.server.CA, s.server.CA, filepath.Join(s.own.dir, "ca.key")}
			},
			server: ReasonBadCertificate, says: []string{"is an authority's certificate"},
			client: ReasonBadCertificate,
		},
		{
			name: "server usage only",
			setup: func(s *stage) {
				s.client = s.own.custom(s.t, "odd", func(c *x509.Certificate) {
					c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
				})
			},
			server: ReasonBadCertificate, says: []string{"extendedKeyUsage lacks clientAuth"},
			client: ReasonBadCertificate,
		},
		{
			name: "server of another authority", byClient: true,
			setup: func(s *stage) {
				s.client = s.other.leaf(s.t, "agent", IssueOptions{ID: agentID()})
			},
			server: ReasonBadCertificate, says: []string{"the client refused this server's certificate", "its own log says why"},
			client: ReasonUnknownAuthority, clientSays: []string{"server certificate refused", "another authority"},
		},
		{
			name: "server of another host by address", byClient: true,
			setup: func(s *stage) {
				s.server = s.own.leaf(s.t, "eventbus", IssueOptions{ID: hubID(), Hosts: []string{"hub1.example", "10.0.0.1"}})
			},
			server: ReasonWrongHost, says: []string{"arrived at 127.0.0.1", "names hub1.example, 10.0.0.1", "--host 127.0.0.1"},
			client: ReasonWrongHost, clientSays: []string{"names hub1.example, 10.0.0.1; dialled 127.0.0.1"},
		},
		{
			name: "server of another host by name", byClient: true,
			setup:  func(s *stage) { s.clientOpts.ServerName = "hub2.example" },
			server: ReasonWrongHost, says: []string{"the client dialled hub2.example, this server's certificate names localhost, 127.0.0.1"},
			client: ReasonWrongHost, clientSays: []string{"names localhost, 127.0.0.1; dialled hub2.example"},
		},
		{
			name: "server with another role", byClient: true,
			setup: func(s *stage) {
				s.server = s.own.leaf(s.t, "dashboard", IssueOptions{ID: ID{DefaultDomain, RoleDashboard, "d"}, Hosts: []string{"127.0.0.1"}})
			},
			server: ReasonBadCertificate,
			client: ReasonWrongRole, clientSays: []string{"has role dashboard, needs eventbus"},
		},
		{
			name: "expired server", byClient: true,
			setup: func(s *stage) {
				s.server = s.own.leaf(s.t, "eventbus", IssueOptions{ID: hubID(), Hosts: []string{"127.0.0.1"}, TTL: 2 * time.Hour})
				s.clientOpts.Now = func() time.Time { return epoch.Add(day) }
			},
			server: ReasonBadCertificate,
			client: ReasonExpired, clientSays: []string{"server certificate refused (expired)", "2026-03-01T13:00:00Z, 23h0m ago"},
		},
		{
			name: "server not yet valid for a client whose clock is behind", byClient: true,
			setup: func(s *stage) {
				s.clientOpts.Now = func() time.Time { return epoch.Add(-day) }
			},
			server: ReasonBadCertificate,
			client: ReasonNotYetValid, clientSays: []string{"clock here reads 2026-02-28T12:00:00Z"},
		},
		{
			name: "server by address with no name known", byClient: true,
			setup:  func(s *stage) { s.clientOpts.ServerName = "" },
			server: ReasonBadCertificate,
			client: ReasonWrongHost, clientSays: []string{"set ServerName"},
		},
	}
}

// custom issues a certificate with fields Issue would not set.
func (a authority) custom(t *testing.T, name string, change func(*x509.Certificate)) Files {
	t.Helper()
	tmpl, err := a.template(IssueOptions{ID: agentID(), NotBefore: epoch.Add(-time.Hour)})
	must(t, err)
	change(tmpl)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	cert, err := sign(tmpl, a.Cert, key.Public(), a.key)
	must(t, err)
	text, err := marshalKey(key)
	must(t, err)
	must(t, writeFile(a.dir, name+".key", text, keyMode))
	must(t, writeFile(a.dir, name+".crt", marshalCerts(cert), certMode))
	return FilesFor(a.dir, name)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, tc := range refusals() {
		for version, maximum := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
			for _, through := range []string{"listener", "config"} {
				t.Run(tc.name+"/"+version+"/"+through, func(t *testing.T) {
					t.Parallel()
					s := newStage(t)
					tc.setup(s)
					checkRefusal(t, tc, s, maximum, through)
				})
			}
		}
	}
}

func checkRefusal(t *testing.T, tc refusal, s *stage, maximum uint16, through string) {
	t.Helper()
	got, log := newRejections(), &lines{}
	s.serverOpts.OnReject, s.serverOpts.Logger = got.add, log.logger()
	serverCfg, err := ServerConfig(s.server, s.serverOpts)
	must(t, err)
	serverCfg.MaxVersion = maximum
	inner := listen(t)
	ln := tls.NewListener(inner, serverCfg)
	if through == "listener" {
		ln = NewListener(inner, serverCfg, ListenerOptions{})
	}
	echo(t, ln)

	_, err = exchange(t.Context(), inner.Addr().String(), clientFor(t, s, maximum))
	if err == nil {
		t.Fatal("the connection was accepted")
	}
	explained := ExplainHandshake(err, s.client, s.clientOpts.Now())
	var r *Rejection
	if !errors.As(explained, &r) || r.Reason != tc.client && tc.server != ReasonNoCertificate {
		t.Errorf("client: %v\nexplained: %v\nwant reason %s", err, explained, tc.client)
	}
	for _, words := range tc.clientSays {
		if !strings.Contains(explained.Error(), words) {
			t.Errorf("client error %q does not say %q", explained, words)
		}
	}
	if tc.byClient && through == "config" {
		return // only the listener sees the other side's alerts
	}
	server := got.next(t)
	if server.Reason != tc.server || server.ByPeer != tc.byClient {
		t.Errorf("server: %v, want reason %s, by peer %v", &server, tc.server, tc.byClient)
	}
	if host, _, _ := net.SplitHostPort(server.Remote); host != "127.0.0.1" {
		t.Errorf("remote is %q", server.Remote)
	}
	for _, words := range tc.says {
		if !strings.Contains(server.Detail, words) {
			t.Errorf("server detail %q does not say %q", server.Detail, words)
		}
	}
	got.none(t)
	if n := strings.Count(log.String(), "connection refused"); n != 1 {
		t.Errorf("%d log lines, want 1:\n%s", n, log)
	}
	if !strings.Contains(log.String(), "reason="+string(tc.server)) || !strings.Contains(log.String(), "addr=127.0.0.1:") {
		t.Errorf("log line lacks reason or address:\n%s", log)
	}
}

// clientFor makes the client's configuration; an authority's certificate and none
// at all are things ClientConfig itself refuses.
func clientFor(t *testing.T, s *stage, maximum uint16) *tls.Config {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true}
	switch {
	case s.client == Files{}:
	case s.client.Cert == s.client.CA:
		pair, err := tls.LoadX509KeyPair(s.client.Cert, s.client.Key)
		must(t, err)
		cfg.Certificates = []tls.Certificate{pair}
	default:
		made, err := ClientConfig(s.client, s.clientOpts)
		must(t, err)
		cfg = made
	}
	cfg.MaxVersion = maximum
	return cfg
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*stage){
		"by address": func(*stage) {},
		"by name":    func(s *stage) { s.clientOpts.ServerName = "localhost" },
		"by absolute name": func(s *stage) {
			s.clientOpts.ServerName = "localhost."
		},
		"bound to its address": func(s *stage) {
			s.serverOpts.BindClientAddress = true
			s.client = s.own.leaf(s.t, "agent", IssueOptions{ID: agentID(), Hosts: []string{"192.0.2.1", "127.0.0.1"}})
		},
		"names are no binding": func(s *stage) {
			s.serverOpts.BindClientAddress = true
			s.client = s.own.leaf(s.t, "agent", IssueOptions{ID: agentID(), Hosts: []string{"web1.example", "192.0.2.1"}})
		},
	} {
		for version, maximum := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
			t.Run(name+"/"+version, func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				change(s)
				got := newRejections()
				s.serverOpts.OnReject = got.add
				s.serverOpts.NextProtos = []string{"http/1.1", "h2"}
				s.clientOpts.NextProtos = []string{"h2"}
				cfg, err := ServerConfig(s.server, s.serverOpts)
				must(t, err)
				ln := NewListener(listen(t), cfg, ListenerOptions{})
				peers := make(chan ID, 1)
				echo(t, &peerListener{ln, peers})
				cs, err := exchange(t.Context(), ln.Addr().String(), clientFor(t, s, maximum))
				must(t, err)
				if cs.Version != maximum || cs.NegotiatedProtocol != "h2" {
					t.Errorf("version %x, protocol %q", cs.Version, cs.NegotiatedProtocol)
				}
				if peer := <-peers; peer != agentID() {
					t.Errorf("peer is %s", peer)
				}
				if hub, err := PeerID(cs); err != nil || hub != hubID() {
					t.Errorf("server is %s, %v", hub, err)
				}
				got.none(t)
			})
		}
	}
}

// peerListener tells who connected.
type peerListener struct {
	net.Listener
	peers chan ID
}

func (l *peerListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	id, _ := PeerID(c.(*tls.Conn).ConnectionState())
	l.peers <- id
	return c, nil
}

func TestOptionalClientCertificate(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	got := newRejections()
	s.serverOpts.OptionalClientCert, s.serverOpts.OnReject = true, got.add
	cfg, err := ServerConfig(s.server, s.serverOpts)
	must(t, err)
	ln := NewListener(listen(t), cfg, ListenerOptions{})
	echo(t, ln)
	if _, err := exchange(t.Context(), ln.Addr().String(), &tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Errorf("without a certificate: %v", err)
	}
	s.client = s.own.leaf(t, "operator", IssueOptions{ID: ID{DefaultDomain, RoleOperator, "ann"}})
	if _, err := exchange(t.Context(), ln.Addr().String(), clientFor(t, s, 0)); err == nil {
		t.Error("a certificate with the wrong role was let in")
	}
	if r := got.next(t); r.Reason != ReasonWrongRole {
		t.Errorf("refused for %s", r.Reason)
	}
}

func TestWeakVersionsAndSuites(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	got := newRejections()
	s.serverOpts.OnReject = got.add
	cfg, err := ServerConfig(s.server, s.serverOpts)
	must(t, err)
	ln := NewListener(listen(t), cfg, ListenerOptions{})
	echo(t, ln)
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 },
		"CBC": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		},
	} {
		client := clientFor(t, s, 0)
		change(client)
		if _, err := exchange(t.Context(), ln.Addr().String(), client); ClassifyHandshakeError(err) != ReasonProtocolError {
			t.Errorf("%s: client got %v", name, err)
		}
		if r := got.next(t); r.Reason != ReasonProtocolError || r.ByPeer {
			t.Errorf("%s: server reports %v", name, &r)
		}
	}
}

func TestServerConfigRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(s *stage)
		want   string
	}{
		"missing":     {func(s *stage) { must(s.t, os.Remove(s.server.Cert)) }, "amoskys certs init"},
		"another key": {func(s *stage) { s.server.Key = s.client.Key }, "does not belong to"},
		"open key":    {func(s *stage) { must(s.t, os.Chmod(s.server.Key, 0o644)) }, "chmod 600"},
		"no host": {func(s *stage) {
			s.server = s.own.leaf(s.t, "eventbus", IssueOptions{ID: hubID()})
		}, "eventbus.crt names no host (subjectAltName is missing): add -extfile <(printf 'subjectAltName="},
		"expired": {func(s *stage) {
			s.serverOpts.Now = func() time.Time { return epoch.AddDate(1, 0, 0) }
		}, "expired on"},
		"client certificate": {func(s *stage) {
			s.server = s.own.leaf(s.t, "agent", IssueOptions{ID: agentID(), Hosts: []string{"localhost"}})
		}, "lacks serverAuth"},
		"leaf as authority": {func(s *stage) { s.server.CA = s.client.Cert }, "basicConstraints lacks CA:TRUE"},
		"empty file":        {func(s *stage) { must(s.t, os.WriteFile(s.server.Cert, nil, 0o600)) }, "holds no PEM certificate"},
		"unknown role":      {func(s *stage) { s.serverOpts.Allow = []Role{"king"} }, `unknown role "king"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			tc.change(s)
			_, err := ServerConfig(s.server, s.serverOpts)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want words %q", err, tc.want)
			}
		})
	}
}
