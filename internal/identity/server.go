package identity

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// ServerOptions says whom a server lets in. Zero fields take the defaults.
type ServerOptions struct {
	Allow  []Role // roles let in; any role when empty
	Domain string // trust domain of clients; the own certificate's when empty
	// NextProtos are the ALPN protocols in order of preference. Set them here and
	// not on the returned configuration, which is made anew for each connection.
	NextProtos []string
	// OptionalClientCert lets clients without a certificate in ([PeerID] then
	// returns ErrNoIdentity); a certificate that is presented must still be right.
	OptionalClientCert bool
	// BindClientAddress accepts a client certificate that names addresses and no
	// host names only from one of those addresses.
	BindClientAddress bool
	// Enroll lets clients that offer the ALPN protocol [EnrollProto] alone connect
	// without a certificate. Whoever accepts such connections must look at the
	// negotiated protocol and give them nothing but enrolment.
	Enroll bool
	// Revoked says why a certificate that is right otherwise is refused all the
	// same; "" when it is not. It is asked at each handshake, new or resumed.
	Revoked func(ID, *x509.Certificate) string
	Logger  *slog.Logger     // discarded when nil
	Now     func() time.Time // time.Now
	// OnReject is called for every refusal, from the connection's goroutine. A
	// [Listener] with an OnReject of its own calls that instead.
	OnReject func(Rejection)
}

// server is what the configurations of one ServerConfig share.
type server struct {
	o      ServerOptions
	source *source
	report *reporter
	base   *tls.Config
}

// ServerConfig returns a TLS configuration that presents f.Cert and demands a
// client certificate issued by f.CA, within its validity and with an allowed role;
// resumed sessions are checked again like new ones. Changed files are taken up by
// the next handshake a second later. It fails when the files cannot serve: a key
// that does not belong, an expired certificate, one that names no host.
func ServerConfig(f Files, o ServerOptions) (*tls.Config, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	for _, r := range o.Allow {
		if !r.Valid() {
			return nil, fmt.Errorf("server certificate: unknown role %q", r)
		}
	}
	s := &server{o: o, report: newReporter(o.Logger, o.OnReject, o.Now)}
	src, err := newSource(f, o.Now, o.Logger, func(m *material) error { return checkOwnServer(f, m, o.Now()) })
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	s.source = src
	m := src.get()
	if r := checkChain(m.chain(), m.roots); r != nil {
		o.Logger.Warn("own certificate was not issued by the authority in use", obs.KeyPath, f.Cert, keyDetail, r.Detail)
	}
	s.base = s.config()
	s.base.GetConfigForClient = s.configFor
	// What follows serves only those who strip GetConfigForClient from a clone.
	s.base.VerifyConnection = func(cs tls.ConnectionState) error {
		return s.refuse(s.verify(s.source.get(), nil, cs))
	}
	return s.base, nil
}

// config is what all connections have in common. Go picks AES-128-GCM by itself in
// TLS 1.3 where the processor has instructions for it, and the cheaper side of
// each curve; the lists below only bound the choice.
func (s *server) config() *tls.Config {
	cfg := baseConfig(s.o.Now, s.o.NextProtos)
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &s.source.get().cert, nil }
	cfg.ClientAuth = tls.RequestClientCert
	cfg.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		gen := s.source.get().generation
		ss.Extra = append(ss.Extra, gen[:])
		return s.base.EncryptTicket(cs, ss)
	}
	cfg.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		ss, err := s.base.DecryptTicket(ticket, cs)
		if err != nil || ss == nil {
			return nil, err
		}
		gen := s.source.get().generation
		if !slices.ContainsFunc(ss.Extra, func(b []byte) bool { return string(b) == string(gen[:]) }) {
			return nil, nil //nolint:nilnil // the API's way to ask for a full handshake: files changed since
		}
		return ss, nil
	}
	return cfg
}

// configFor makes the configuration of one connection, which knows its address.
func (s *server) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	m := s.source.get()
	cfg := s.config()
	cfg.GetCertificate = nil
	cfg.Certificates = []tls.Certificate{m.cert}
	conn := hello.Conn
	if hc, ok := conn.(*handshakeConn); ok {
		hc.server, hc.material, hc.serverName = s, m, hello.ServerName
	}
	if s.wantsEnrolment(hello) {
		return s.enrolConfig(m), nil
	}
	if _, ok := conn.(*handshakeConn); ok {
		// The listener sees the handshake's error, so it reports; and it knows an
		// absent certificate by the error, so the client may get the exact alert.
		if !s.o.OptionalClientCert {
			cfg.ClientAuth = tls.RequireAnyClientCert
		}
		cfg.VerifyConnection = func(cs tls.ConnectionState) error {
			if r := s.verify(m, conn, cs); r != nil {
				return r
			}
			return nil
		}
		return cfg, nil
	}
	cfg.VerifyConnection = func(cs tls.ConnectionState) error { return s.refuse(s.verify(m, conn, cs)) }
	return cfg, nil
}

// verify checks the client's certificate, in new and in resumed sessions.
func (s *server) verify(m *material, conn net.Conn, cs tls.ConnectionState) *Rejection {
	if len(cs.PeerCertificates) == 0 && s.o.OptionalClientCert {
		return nil
	}
	p := policy{
		whose: clientCertificate, usage: x509.ExtKeyUsageClientAuth, assume: RoleAgent,
		allow: s.o.Allow, domain: s.o.Domain, now: s.o.Now(), roots: m.roots, pool: m.pool,
	}
	if p.domain == "" {
		p.domain = domainOf(m.leaf)
	}
	remote := ""
	if conn != nil && conn.RemoteAddr() != nil {
		remote = conn.RemoteAddr().String()
	}
	if s.o.BindClientAddress {
		// Without an address to compare, a bound certificate is refused.
		p.bind = netip.IPv6Unspecified()
		if ap, err := netip.ParseAddrPort(remote); err == nil {
			p.bind = ap.Addr().WithZone("")
		}
	}
	r := p.check(cs.PeerCertificates)
	if r == nil {
		r = s.checkRevoked(cs.PeerCertificates[0])
	}
	if r != nil {
		r.Time, r.Remote, r.ServerName = p.now, remote, cs.ServerName
	}
	return r
}

// checkRevoked asks whoever knows of revocations.
func (s *server) checkRevoked(leaf *x509.Certificate) *Rejection {
	if s.o.Revoked == nil {
		return nil
	}
	id, _, err := identify(leaf, RoleAgent)
	if err != nil {
		return nil // refused by the check before
	}
	why := s.o.Revoked(id, leaf)
	if why == "" {
		return nil
	}
	r := &Rejection{Reason: ReasonRevoked, Detail: why, whose: clientCertificate}
	r.fill(leaf)
	return r
}

func (s *server) refuse(r *Rejection) error {
	if r == nil {
		return nil
	}
	s.report.report(r)
	return r
}

// checkOwnServer refuses a certificate that every client would refuse.
func checkOwnServer(f Files, m *material, now time.Time) error {
	p := policy{now: now}
	if r := p.timeFault(m.leaf, f.Cert); r != nil {
		return r
	}
	if len(m.leaf.ExtKeyUsage) > 0 && !slices.Contains(m.leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) &&
		!slices.Contains(m.leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return fmt.Errorf("%s may not be used by a server (extendedKeyUsage lacks serverAuth)", f.Cert)
	}
	if len(hostsOf(m.leaf)) == 0 {
		host, _ := os.Hostname()
		return fmt.Errorf("%s", missingHosts(f.Cert, nameFromFile(f.Cert), host))
	}
	return nil
}

// chain returns the parsed certificates the material presents.
func (m *material) chain() []*x509.Certificate {
	out := make([]*x509.Certificate, 0, len(m.cert.Certificate))
	for _, der := range m.cert.Certificate {
		if c, err := x509.ParseCertificate(der); err == nil {
			out = append(out, c)
		}
	}
	return out
}

// PeerID returns who is at the other end of a connection made with a configuration
// of this package. On connections made otherwise the identity is only a claim.
func PeerID(cs tls.ConnectionState) (ID, error) {
	if len(cs.PeerCertificates) == 0 {
		return ID{}, ErrNoIdentity
	}
	return FromCertificate(cs.PeerCertificates[0])
}

// baseConfig is common to both sides: TLS 1.3, and 1.2 with forward-secret AEAD
// suites only.
func baseConfig(now func() time.Time, protos []string) *tls.Config {
	return &tls.Config{
		Time:       now,
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
		NextProtos:       slices.Clone(protos),
		// Batches are tens of kilobytes: full records cost a third less than the
		// small ones Go starts each burst with.
		DynamicRecordSizingDisabled: true,
	}
}
