package identity

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// observesMark begins the organisational units that say which kinds of agents of
// the holder may speak of other hosts and devices.
const observesMark = "observes:"

// Bounds of a kind's name and of how many a certificate carries. RFC 5280 allows
// an organisational unit 64 characters.
const (
	maxKind     = 48
	maxObserves = 64
)

// Observes returns the kinds of agents that the holder of a certificate may use to
// speak of other hosts and devices, sorted; none for a certificate that does not
// say so. It does not verify the certificate.
func Observes(cert *x509.Certificate) []string {
	var kinds []string
	for _, unit := range cert.Subject.OrganizationalUnit {
		if kind, ok := strings.CutPrefix(strings.ToLower(unit), observesMark); ok && CheckKind(kind) == nil {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// observingUnits are the organisational units for kinds.
func observingUnits(kinds []string) ([]string, error) {
	if len(kinds) > maxObserves {
		return nil, fmt.Errorf("%d kinds of agents observe others, at most %d can", len(kinds), maxObserves)
	}
	units := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		if err := CheckKind(kind); err != nil {
			return nil, err
		}
		units = append(units, observesMark+kind)
	}
	slices.Sort(units)
	return slices.Compact(units), nil
}

// CheckKind returns what is wrong with the name of a kind of agents, or nil.
func CheckKind(kind string) error {
	if kind == "" || len(kind) > maxKind || strings.ContainsFunc(kind, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
	}) {
		return fmt.Errorf("kind of agent %q: want 1 to %d of a-z, 0-9 and _", kind, maxKind)
	}
	return nil
}

// Holder is whom a certificate file speaks for.
type Holder struct {
	ID       ID
	Observes []string // see [Observes]
}

// ReadHolder reads the certificate in a file. It says what the file claims, which
// a server believes only after it has verified the certificate. A certificate that
// names no role is taken for an agent's.
func ReadHolder(certFile string) (Holder, error) {
	certs, err := readCerts(certFile)
	if err != nil {
		return Holder{}, missingHint(certFile, err)
	}
	id, err := FromCertificate(certs[0])
	if err != nil {
		return Holder{}, fmt.Errorf("%s: %w", certFile, err)
	}
	return Holder{ID: id, Observes: Observes(certs[0])}, nil
}

// observedBy returns kinds for the certificate that all agents of a host share, and
// none for another's.
func observedBy(id ID, kinds []string) []string {
	if id.Role != RoleAgent || id.AgentID() != "" {
		return nil
	}
	return kinds
}

// lacks reports whether a certificate of this package should let one of kinds
// speak of others, and does not, or is a store's from when stores only dialled. What
// other tools made is theirs to change.
func lacks(cert *x509.Certificate, kinds []string) bool {
	id, named, err := identify(cert, RoleAgent)
	if !named || err != nil {
		return false
	}
	if id.Role == RoleStore && len(hostsOf(cert)) == 0 {
		return true
	}
	has := Observes(cert)
	return slices.ContainsFunc(observedBy(id, kinds), func(k string) bool { return !slices.Contains(has, k) })
}
