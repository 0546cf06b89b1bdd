package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/identity/hostname"
)

// EnrollProto is the ALPN protocol of a connection that only enrols. A client that
// offers it alone is asked for no certificate, and reaches nothing else.
const EnrollProto = "amoskys-enroll/1"

// wantsEnrolment reports whether a client offers to enrol and nothing besides.
func (s *server) wantsEnrolment(hello *tls.ClientHelloInfo) bool {
	return s.o.Enroll && len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == EnrollProto
}

// enrolConfig is the configuration of a connection that enrols. The client knows
// nothing but the authority's pin, so the authority comes with the chain. There
// are no session tickets: nothing of this connection may live on in another.
func (s *server) enrolConfig(m *material) *tls.Config {
	cfg := baseConfig(s.o.Now, []string{EnrollProto})
	cfg.MinVersion = tls.VersionTLS13
	cfg.SessionTicketsDisabled = true
	cert := m.cert
	cert.Certificate = slices.Clone(cert.Certificate)
	for _, root := range m.roots {
		cert.Certificate = append(cert.Certificate, root.Raw)
	}
	cfg.Certificates = []tls.Certificate{cert}
	return cfg
}

// EnrollClientConfig returns the configuration of a client that enrols with a token
// at host, the name dialled. The handshake succeeds only with a hub of the
// authority that the token pins: whoever else answers gets nothing. A refusal is a
// *[Rejection].
func EnrollClientConfig(t Token, host string, now func() time.Time) *tls.Config {
	cfg := baseConfig(now, []string{EnrollProto})
	cfg.MinVersion = tls.VersionTLS13
	cfg.ServerName = bareHost(host)
	// The standard check would want an authority that is known already. Ours
	// verifies chain, validity, role and name under the pinned one.
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if r := verifyPinned(t, host, now(), cs.PeerCertificates); r != nil {
			r.Time, r.ServerName = now(), host
			return r
		}
		if cs.NegotiatedProtocol != EnrollProto {
			return errors.New("the server does not enrol hosts")
		}
		return nil
	}
	return cfg
}

func verifyPinned(t Token, host string, now time.Time, chain []*x509.Certificate) *Rejection {
	i := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return isAuthority(c) == nil && PinOf(c) == t.Pin })
	if i < 0 {
		return &Rejection{
			Reason: ReasonUnknownAuthority, whose: serverCertificate,
			Detail: "the server is not of the authority that the token names; the token was not sent: " +
				"see that this is the hub that made it",
		}
	}
	roots := chain[i : i+1]
	p := policy{
		whose: serverCertificate, usage: x509.ExtKeyUsageServerAuth, assume: RoleHub, allow: []Role{RoleHub},
		domain: domainOf(chain[i]), host: host, now: now, roots: roots, pool: poolOf(roots),
	}
	return p.check(slices.Concat(chain[:i], chain[i+1:]))
}

// SigningRequest is a key made on this host with the request to certify it. KeyPEM
// is secret and stays here; CSRPEM is for the hub.
type SigningRequest struct{ KeyPEM, CSRPEM []byte }

// NewSigningRequest makes an ECDSA P-256 key and its request.
func NewSigningRequest() (*SigningRequest, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make a signing request: %w", err)
	}
	r := &SigningRequest{CSRPEM: pem.EncodeToMemory(&pem.Block{Type: csrType, Bytes: der})}
	if r.KeyPEM, err = marshalKey(key); err != nil {
		return nil, err
	}
	return r, nil
}

const csrType = "CERTIFICATE REQUEST"

// RequestedKey returns the public key of a PEM signing request whose sender has
// proven to hold the private half. Nothing else in the request counts.
func RequestedKey(text []byte) (crypto.PublicKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != csrType || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("signing request: want one PEM block of type " + csrType)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("signing request: %w", err)
	}
	switch key := csr.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return nil, errors.New("signing request: of the curves P-256 and P-384 are taken")
		}
	case ed25519.PublicKey:
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSA || n > maxRSA {
			return nil, fmt.Errorf("signing request: RSA key of %d bits, %d to %d are taken", n, minRSA, maxRSA)
		}
	default:
		return nil, errors.New("signing request: ECDSA, Ed25519 and RSA keys are taken")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("signing request: %w", err)
	}
	return csr.PublicKey, nil
}

// maxRSA bounds what a stranger's key may cost to check, in bits.
const maxRSA = 8192

// Enrolled is what a host that has enrolled writes to its certs/ folder.
type Enrolled struct {
	CA []byte
	// Of pairs, CertPEM and KeyPEM are used. A Node without a key is none: agents
	// enrolled alone.
	Node  KeyPair
	Agent KeyPair // for every agent, unless each has its own
	// Agents are those of agents that each have their own, by id.
	Agents map[string]KeyPair
}

// enrolled is one of the certificates.
type enrolled struct {
	role     Role
	id, file string // name in the identity, and in the folder
	pair     KeyPair
}

// all are the certificates of host.
func (e *Enrolled) all(host string) []enrolled {
	host = hostname.Normal(host)
	var list []enrolled
	if len(e.Node.KeyPEM) > 0 {
		list = append(list, enrolled{RoleNode, host, "node", e.Node})
	}
	if len(e.Agents) == 0 {
		return append(list, enrolled{RoleAgent, host, "agent", e.Agent})
	}
	for _, id := range slices.Sorted(maps.Keys(e.Agents)) {
		list = append(list, enrolled{RoleAgent, host + "/" + hostname.Normal(id), AgentName(id), e.Agents[id]})
	}
	return list
}

// Verify checks what a hub answered before anything is written: that the pinned
// authority is in it and issued the certificates, for the keys made here, to host
// and its agents, with the roles of a node and of agents.
func (e *Enrolled) Verify(t Token, host string, now time.Time) error {
	roots, err := ParseCertificates(e.CA)
	if err != nil {
		return fmt.Errorf("authority that the hub sent: %w", err)
	}
	if !slices.ContainsFunc(roots, func(c *x509.Certificate) bool { return PinOf(c) == t.Pin }) {
		return errors.New("authority that the hub sent: not the one that the token names")
	}
	for _, c := range roots {
		if err := isAuthority(c); err != nil {
			return fmt.Errorf("authority that the hub sent: %w", err)
		}
	}
	for _, one := range e.all(host) {
		if err := one.verify(roots, now); err != nil {
			return err
		}
	}
	return nil
}

func (o *enrolled) verify(roots []*x509.Certificate, now time.Time) error {
	certs, err := ParseCertificates(o.pair.CertPEM)
	if err != nil {
		return fmt.Errorf("%s's certificate that the hub sent: %w", o.file, err)
	}
	key, err := ParseKey(o.pair.KeyPEM)
	if err != nil {
		return fmt.Errorf("%s's key: %w", o.file, err)
	}
	if !belongs(key, certs[0]) {
		return fmt.Errorf("%s's certificate that the hub sent is for another key", o.file)
	}
	p := policy{
		whose: clientCertificate, usage: x509.ExtKeyUsageClientAuth, assume: RoleAgent, allow: []Role{o.role},
		now: now, roots: roots, pool: poolOf(roots),
	}
	if r := p.check(certs); r != nil {
		return r
	}
	if id, err := FromCertificate(certs[0]); err != nil || id.Name != o.id {
		return fmt.Errorf("%s's certificate that the hub sent names %s, not %s", o.file, id.Name, o.id)
	}
	return nil
}

// CanEnroll says why a certs/ folder must not be written to, or nil. With force,
// certificates may be replaced, but never where an authority issues.
func CanEnroll(dir string, force bool) error {
	if key := filepath.Join(dir, "ca.key"); exists(key) {
		return fmt.Errorf("%s is here, so this is the hub's own home, which needs no enrolment: name another with --home", key)
	}
	if force {
		return nil
	}
	own, err := filepath.Glob(filepath.Join(dir, AgentName("*")))
	if err != nil {
		return err
	}
	for _, name := range []string{"ca.crt", "node.crt", "node.key", "agent.crt", "agent.key"} {
		if file := filepath.Join(dir, name); exists(file) {
			own = append(own, file)
		}
	}
	if len(own) > 0 {
		return fmt.Errorf("%s is there already: --force replaces it, or name another folder with --home", own[len(own)-1])
	}
	return nil
}

// WriteEnrolled writes ca.crt, certificates and keys of node and agents, and the
// links client.crt and client.key, to the agents' shared certificate or else to the
// node's. Certificates of agents that another enrolment left are removed. Each file
// is there whole or not at all, and a certificate changes together with its key.
func WriteEnrolled(dir string, e *Enrolled, force bool) (err error) {
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return fmt.Errorf("certificates in %s: %w", dir, err)
	}
	if err := refuseOpenFolder(dir); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := finishSwaps(dir); err != nil {
		return err
	}
	if err := CanEnroll(dir, force); err != nil { // again, now that nobody else writes
		return err
	}
	if err := writeFile(dir, "ca.crt", e.CA, certMode); err != nil {
		return err
	}
	if err := removeAgents(dir, e); err != nil {
		return err
	}
	for _, one := range e.all("") {
		if err := swapPair(dir, one.file, &one.pair); err != nil {
			return err
		}
	}
	target := "agent"
	if len(e.Agents) > 0 {
		target = "node"
	}
	for _, ext := range []string{".crt", ".key"} {
		err := os.Symlink(target+ext, filepath.Join(dir, "client"+ext))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("link client%s: %w", ext, err)
		}
	}
	return syncDir(dir)
}

// WriteAgent writes the certificate and key of one agent that enrolled alone, and
// returns where they are. Those that were there are replaced.
func WriteAgent(dir, id string, pair KeyPair) (f Files, err error) {
	f = FilesFor(dir, AgentName(id))
	if err := refuseOpenFolder(dir); err != nil {
		return f, fmt.Errorf("certificates: %w", err)
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := finishSwaps(dir); err != nil {
		return f, err
	}
	return f, swapPair(dir, AgentName(id), &pair)
}

// removeAgents removes certificates of agents that e does not replace: an agent
// would take its own of before for the better one. Links to them go too.
func removeAgents(dir string, e *Enrolled) error {
	names, err := leafNames(dir)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, one := range e.all("") {
		keep[one.file] = true
	}
	for _, name := range names {
		stale := (name == "agent" || strings.HasPrefix(name, AgentName(""))) && !keep[name]
		if link, err := os.Readlink(filepath.Join(dir, name+".crt")); err == nil {
			stale = name == "client" && !keep[strings.TrimSuffix(link, ".crt")]
		}
		if !stale {
			continue
		}
		for _, ext := range []string{".crt", ".key"} {
			if err := removeIfThere(filepath.Join(dir, name+ext)); err != nil {
				return err
			}
		}
	}
	return nil
}
