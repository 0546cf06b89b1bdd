package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// State is how a certificate stands against the clock.
type State string

// The states.
const (
	StateOK          State = "ok"
	StateDue         State = "due" // less than a third of its life is left
	StateExpired     State = "expired"
	StateNotYetValid State = "not_yet_valid"
	StateUnreadable  State = "unreadable"
)

// Info is one certificate file, for people and programs.
type Info struct {
	Name        string    `json:"name"`
	File        string    `json:"file"`
	LinkTo      string    `json:"link_to,omitempty"`
	ID          string    `json:"id"`
	Role        Role      `json:"role,omitempty"`
	Hosts       []string  `json:"hosts"`
	Observes    []string  `json:"observes,omitempty"` // kinds of agents that may speak of others
	Issuer      string    `json:"issuer"`
	Key         string    `json:"key"`
	Serial      string    `json:"serial"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	DaysLeft    int       `json:"days_left"`
	State       State     `json:"state"`
	Fingerprint string    `json:"fingerprint_sha256"`
	Error       string    `json:"error,omitempty"`
}

// List describes every certificate in a certs/ folder, the authority first.
func List(dir string, now time.Time) ([]Info, error) {
	names, err := leafNames(dir)
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	if exists(filepath.Join(dir, "ca.crt")) {
		names = append([]string{"ca"}, names...)
	}
	out := make([]Info, 0, len(names))
	for _, n := range names {
		out = append(out, describe(dir, n, now))
	}
	return out, nil
}

func describe(dir, name string, now time.Time) Info {
	file := filepath.Join(dir, name+".crt")
	info := Info{Name: name, File: file, State: StateUnreadable, Hosts: []string{}}
	if target, err := os.Readlink(file); err == nil {
		info.LinkTo = target
	}
	certs, err := readCerts(file)
	if err != nil {
		info.Error = err.Error()
		return info
	}
	cert := certs[0]
	info.ID = subjectOf(cert)
	if id, _, err := identify(cert, roleOfFile(name)); err == nil && !cert.IsCA {
		info.ID, info.Role = id.String(), id.Role
	}
	info.Hosts, info.Observes = hostsOf(cert), Observes(cert)
	info.Issuer = nameOf(cert.Issuer.String())
	info.Key = keyKind(cert)
	info.Serial = cert.SerialNumber.Text(16)
	info.NotBefore, info.NotAfter = cert.NotBefore, cert.NotAfter
	info.DaysLeft = int(cert.NotAfter.Sub(now).Hours() / 24)
	info.Fingerprint = Fingerprint(cert)
	info.State = stateOf(cert, now)
	return info
}

func stateOf(cert *x509.Certificate, now time.Time) State {
	switch {
	case now.Before(cert.NotBefore):
		return StateNotYetValid
	case now.After(cert.NotAfter):
		return StateExpired
	case dueForRenewal(cert, now):
		return StateDue
	default:
		return StateOK
	}
}

func roleOfFile(name string) Role {
	for _, s := range layoutLeaves() {
		if s.name == name {
			return s.role
		}
	}
	return RoleAgent
}

func keyKind(cert *x509.Certificate) string {
	switch k := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	default:
		return cert.PublicKeyAlgorithm.String()
	}
}
