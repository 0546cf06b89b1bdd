package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// ClientOptions says which server a client wants to reach. Zero fields take the
// defaults.
type ClientOptions struct {
	// ServerName is the host name or address dialled, which the server's
	// certificate must name. It may be empty only when the dialler sets the name on
	// the configuration and it is not an address.
	ServerName string
	ServerRole Role     // RoleHub
	Domain     string   // trust domain of the server; the own certificate's when empty
	NextProtos []string // ALPN
	Logger     *slog.Logger
	// Dial opens [Probe]'s connection to host:port; nil means TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	Now  func() time.Time
}

// ClientConfig returns a TLS configuration that presents f.Cert and accepts only a
// server whose certificate was issued by f.CA, is within its validity, names
// ServerName and has the role ServerRole. A refusal is a *[Rejection]. Changed
// files are taken up by the next handshake a second later.
func ClientConfig(f Files, o ClientOptions) (*tls.Config, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.ServerRole == "" {
		o.ServerRole = RoleHub
	}
	if !o.ServerRole.Valid() {
		return nil, fmt.Errorf("client certificate: unknown server role %q", o.ServerRole)
	}
	src, err := newSource(f, o.Now, o.Logger, nil)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	cfg := baseConfig(o.Now, o.NextProtos)
	cfg.ServerName = bareHost(o.ServerName)
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		// Presented whatever the server asks for: its refusal names the reason.
		return &src.get().cert, nil
	}
	// This turns the standard check off, which knows neither roles nor changed
	// authorities, in favour of ours: VerifyConnection checks chain, validity, name and
	// role, on resumed sessions too.
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if r := verifyServer(src.get(), o, cs); r != nil {
			return r
		}
		return nil
	}
	return cfg, nil
}

func verifyServer(m *material, o ClientOptions, cs tls.ConnectionState) *Rejection {
	p := policy{
		whose: serverCertificate, usage: x509.ExtKeyUsageServerAuth,
		// A certificate made by another tool often names no role. Its host name is
		// then what tells the server from others.
		assume: o.ServerRole, allow: []Role{o.ServerRole},
		domain: o.Domain, host: o.ServerName, now: o.Now(), roots: m.roots, pool: m.pool,
	}
	if cs.ServerName != "" { // what was really dialled; empty for addresses
		p.host = cs.ServerName
	}
	if p.domain == "" {
		p.domain = domainOf(m.leaf)
	}
	r := p.check(cs.PeerCertificates)
	if r != nil {
		r.Time, r.ServerName = p.now, p.host
	}
	return r
}
