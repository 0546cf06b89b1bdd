package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/identity/hostname"
)

// Role is what the holder of a certificate is, and so what it may do.
type Role string

// The roles. Their strings are part of every certificate and never change.
const (
	RoleHub        Role = "eventbus"
	RoleAgent      Role = "agent"
	RoleNode       Role = "node"
	RoleDashboard  Role = "dashboard"
	RoleOperator   Role = "operator"
	RoleSubscriber Role = "subscriber"
	RoleStore      Role = "store"
	RoleAnalysis   Role = "analysis"
)

// DefaultDomain is the trust domain of an installation that chose no other.
const DefaultDomain = "amoskys.local"

// maxID bounds the text of an ID: the log stores publishers in one length byte.
const maxID = 255

const scheme = "spiffe://"

// ErrNoIdentity is returned when a connection carries no peer certificate.
var ErrNoIdentity = errors.New("the peer presented no certificate")

// Roles returns every role, in a fixed order.
func Roles() []Role {
	return []Role{RoleHub, RoleAgent, RoleNode, RoleDashboard, RoleOperator, RoleSubscriber, RoleStore, RoleAnalysis}
}

// Valid reports whether r is one of [Roles].
func (r Role) Valid() bool { return slices.Contains(Roles(), r) }

// ID is the name in a certificate. Name is a host, or HOST/AGENT_ID, which binds
// the certificate to one agent of that host. IDs that come from a certificate are
// in normal form (see [ID.Normal]) and so comparable.
type ID struct {
	Domain string
	Role   Role
	Name   string
}

// String returns spiffe://DOMAIN/ROLE/NAME.
func (id ID) String() string { return scheme + id.Domain + "/" + string(id.Role) + "/" + id.Name }

// IsZero reports whether id names nobody.
func (id ID) IsZero() bool { return id == ID{} }

// Host returns the host part of the name.
func (id ID) Host() string {
	host, _, _ := strings.Cut(id.Name, "/")
	return host
}

// AgentID returns the one agent the ID is bound to, or "" when it speaks for
// every agent of its host.
func (id ID) AgentID() string {
	_, agent, _ := strings.Cut(id.Name, "/")
	return agent
}

// Normal returns id with host and agent in the form in which names are compared,
// kept and shown: VM and vm. are the host vm (see package hostname).
func (id ID) Normal() ID {
	host, agent, bound := strings.Cut(id.Name, "/")
	id.Name = hostname.Normal(host)
	if bound {
		id.Name += "/" + hostname.Normal(agent)
	}
	return id
}

// Validate returns what is wrong with id, or nil when [Parse] would return it
// from its String.
func (id ID) Validate() error {
	if err := checkDomain(id.Domain); err != nil {
		return err
	}
	if !id.Role.Valid() {
		return fmt.Errorf("unknown role %q: the roles are %s", id.Role, joinRoles(Roles()))
	}
	segments := strings.Split(id.Name, "/")
	if len(segments) > 2 {
		return fmt.Errorf("name %q has more than two parts (HOST/AGENT_ID)", id.Name)
	}
	for _, s := range segments {
		if err := checkSegment(s); err != nil {
			return fmt.Errorf("name %q: %w", id.Name, err)
		}
	}
	if n := len(id.String()); n > maxID {
		return fmt.Errorf("identity of %d bytes is longer than %d", n, maxID)
	}
	return nil
}

// Parse reads spiffe://DOMAIN/ROLE/NAME[/AGENT_ID]. It is strict, as the SPIFFE
// specification asks: no port, query, fragment, percent-encoding, upper-case
// domain or empty part.
func Parse(s string) (ID, error) {
	if len(s) > maxID {
		return ID{}, fmt.Errorf("parse identity: %d bytes are more than %d", len(s), maxID)
	}
	rest, ok := strings.CutPrefix(s, scheme)
	if !ok {
		return ID{}, fmt.Errorf("parse identity %q: does not start with %s", s, scheme)
	}
	domain, path, _ := strings.Cut(rest, "/")
	role, name, ok := strings.Cut(path, "/")
	if !ok {
		return ID{}, fmt.Errorf("parse identity %q: want %sDOMAIN/ROLE/NAME", s, scheme)
	}
	id := ID{Domain: domain, Role: Role(role), Name: name}
	if err := id.Validate(); err != nil {
		return ID{}, fmt.Errorf("parse identity %q: %w", s, err)
	}
	return id, nil
}

// FromCertificate returns the identity a certificate carries: its SPIFFE URI, or,
// for certificates made by other tools, the role named by an organisational unit
// (agent when none names one) and as name the first DNS name or the common name.
// The name is in normal form. It does not verify the certificate.
func FromCertificate(cert *x509.Certificate) (ID, error) {
	id, _, err := identify(cert, RoleAgent)
	return id, err
}

// FromServerCertificate is [FromCertificate] for the certificate of a hub: the
// role is eventbus when the certificate names none.
func FromServerCertificate(cert *x509.Certificate) (ID, error) {
	id, _, err := identify(cert, RoleHub)
	return id, err
}

// identify is FromCertificate with the role to assume when none is named. named
// tells whether the certificate itself carries a SPIFFE ID.
func identify(cert *x509.Certificate, assume Role) (id ID, named bool, err error) {
	for _, u := range cert.URIs {
		if !strings.EqualFold(u.Scheme, "spiffe") {
			continue
		}
		if named {
			return ID{}, true, errors.New("certificate carries more than one SPIFFE ID")
		}
		if id, err = Parse(u.String()); err != nil {
			return ID{}, true, err
		}
		named = true
	}
	if named {
		id = id.Normal()
		if err := id.Validate(); err != nil { // a name of dots alone is nobody's
			return ID{}, true, err
		}
		return id, true, nil
	}
	id = ID{Domain: DefaultDomain, Role: assume, Name: cleanName(cert.Subject.CommonName)}
	if len(cert.DNSNames) > 0 {
		id.Name = cleanName(cert.DNSNames[0])
	}
	for _, unit := range cert.Subject.OrganizationalUnit {
		if r := Role(strings.ToLower(unit)); r.Valid() {
			id.Role = r
			break
		}
	}
	if id.Name == "" {
		return ID{}, false, errors.New("certificate names nobody: it has no SPIFFE ID, DNS name or common name " +
			"(with openssl, add -subj /CN=HOST to the req command)")
	}
	if err := id.Validate(); err != nil {
		return ID{}, false, err
	}
	return id, false, nil
}

// cleanName turns free text into one path segment in normal form: every byte that
// may not stand in a SPIFFE path becomes '-', and the result is cut to 64 bytes.
func cleanName(s string) string {
	b := []byte(hostname.Normal(s))
	for i, c := range b {
		if !pathByte(c) {
			b[i] = '-'
		}
	}
	if len(b) > 64 {
		b = b[:64]
	}
	return hostname.Normal(string(b))
}

func checkDomain(s string) error {
	if s == "" {
		return errors.New("trust domain is empty")
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_' {
			continue
		}
		return fmt.Errorf("trust domain %q: %q is not allowed (lower-case letters, digits, '.', '-' and '_' are)", s, c)
	}
	return nil
}

func checkSegment(s string) error {
	if s == "" || s == "." || s == ".." {
		return fmt.Errorf("part %q is not allowed", s)
	}
	for i := range len(s) {
		if !pathByte(s[i]) {
			return fmt.Errorf("%q is not allowed (letters, digits, '.', '-' and '_' are)", s[i])
		}
	}
	return nil
}

func pathByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_'
}

func joinRoles(roles []Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}
