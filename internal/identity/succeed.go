package identity

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// RenewAt is when a certificate is to be renewed: after two thirds of its life, and
// up to a twelfth later, so that a fleet that joined in one hour does not come back
// in one. The moment hangs on the serial alone: a restart does not change it.
func RenewAt(cert *x509.Certificate) time.Time {
	life := cert.NotAfter.Sub(cert.NotBefore)
	sum := sha256.Sum256(cert.SerialNumber.Bytes())
	spread := time.Duration(float64(life) / 12 * float64(binary.BigEndian.Uint32(sum[:4])) / (1 << 32))
	return cert.NotBefore.Add(life/3*2 + spread)
}

// RenewLate is when a certificate should have been renewed: people are told then.
func RenewLate(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 4 * 3)
}

// ExpiryMetric is the gauge in which every process shows when its certificates end,
// in seconds since 1970, and ExpiryHelp its help text.
const (
	ExpiryMetric = "amoskys_certificate_expiry_timestamp_seconds"
	ExpiryHelp   = "When a certificate of this process ends."
)

// EndOf is when the certificate in a file ends, or the first to end of several
// authorities.
func EndOf(file string) (time.Time, error) {
	certs, err := readCerts(file)
	if err != nil {
		return time.Time{}, err
	}
	if !certs[0].IsCA {
		return certs[0].NotAfter, nil
	}
	return slices.MinFunc(certs, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter, nil
}

// AgentName is the name in a certs/ folder of a certificate that one agent has for
// itself; its files are agent-ID.crt and agent-ID.key.
func AgentName(id string) string { return "agent-" + id }

// Held is a certificate whose key is on this host.
type Held struct {
	Files Files
	Cert  *x509.Certificate
	ID    ID
	PEM   []byte // the certificate with its chain
}

// Hold reads the certificate of f.
func Hold(f Files) (Held, error) {
	certs, err := readCerts(f.Cert)
	if err != nil {
		return Held{}, missingHint(f.Cert, err)
	}
	id, _, err := identify(certs[0], RoleAgent)
	if err != nil {
		return Held{}, fmt.Errorf("%s: %w", f.Cert, err)
	}
	return Held{Files: f, Cert: certs[0], ID: id, PEM: marshalCerts(certs...)}, nil
}

// place resolves the folder and the name of a certificate whose key lies beside it.
// Links are followed, so that client.crt is agent.crt.
func (h *Held) place() (dir, name string, err error) {
	crt, err := filepath.EvalSymlinks(h.Files.Cert)
	if err != nil {
		return "", "", err
	}
	key, err := filepath.EvalSymlinks(h.Files.Key)
	if err != nil {
		return "", "", err
	}
	name, isCrt := strings.CutSuffix(filepath.Base(crt), ".crt")
	if dir = filepath.Dir(crt); !isCrt || key != filepath.Join(dir, name+".key") {
		return "", "", fmt.Errorf("%s and %s are not NAME.crt and NAME.key in one folder: renew them where they come from", crt, key)
	}
	return dir, name, nil
}

// Place names the file that holds the certificate itself, to tell whether two are
// one.
func (h *Held) Place() string {
	dir, name, err := h.place()
	if err != nil {
		return h.Files.Cert
	}
	return filepath.Join(dir, name+".crt")
}

// Succeed puts a renewed certificate with its new key in the place of h, both as
// one. ca are the authorities that it is verified with. It reports false, and
// changes nothing, when another process was quicker.
func (h *Held) Succeed(certPEM, keyPEM, ca []byte, now time.Time) (replaced bool, err error) {
	pair := &KeyPair{CertPEM: certPEM, KeyPEM: keyPEM}
	if err := h.judge(pair, ca, now); err != nil {
		return false, fmt.Errorf("renew %s: %w", h.Files.Cert, err)
	}
	dir, name, err := h.place()
	if err != nil {
		return false, fmt.Errorf("renew %s: %w", h.Files.Cert, err)
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return false, fmt.Errorf("renew %s: %w", h.Files.Cert, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := finishSwaps(dir); err != nil {
		return false, fmt.Errorf("renew %s: %w", h.Files.Cert, err)
	}
	certs, err := readCerts(filepath.Join(dir, name+".crt"))
	if err != nil {
		return false, fmt.Errorf("renew %s: %w", h.Files.Cert, err)
	}
	if !certs[0].Equal(h.Cert) {
		return false, nil
	}
	return true, swapPair(dir, name, pair)
}

// judge checks what a hub answered before anything is written.
func (h *Held) judge(pair *KeyPair, ca []byte, now time.Time) error {
	roots, err := ParseCertificates(ca)
	if err != nil {
		return fmt.Errorf("authority that the hub sent: %w", err)
	}
	certs, err := ParseCertificates(pair.CertPEM)
	if err != nil {
		return fmt.Errorf("certificate that the hub sent: %w", err)
	}
	key, err := ParseKey(pair.KeyPEM)
	if err != nil {
		return fmt.Errorf("new key: %w", err)
	}
	if !belongs(key, certs[0]) {
		return errors.New("the certificate that the hub sent is for another key")
	}
	p := policy{
		whose: clientCertificate, usage: x509.ExtKeyUsageClientAuth, assume: RoleAgent, allow: []Role{h.ID.Role},
		now: now, roots: roots, pool: poolOf(roots),
	}
	if r := p.check(certs); r != nil {
		return r
	}
	if id, err := FromCertificate(certs[0]); err != nil || id.Name != h.ID.Name {
		return fmt.Errorf("the certificate that the hub sent names %s, not %s", id.Name, h.ID.Name)
	}
	return nil
}

// UpdateAuthorities replaces the file of authorities when the hub has others now.
// server is the chain that the hub presented: a bundle which does not hold its
// authority would lock this host out, and is refused. Where the authority's key lies
// beside the file nothing is changed.
func UpdateAuthorities(file string, ca []byte, server []*x509.Certificate) error {
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		return fmt.Errorf("authorities: %w", err)
	}
	dir, name := filepath.Split(target)
	have, err := readPEM(target)
	if err != nil {
		return fmt.Errorf("authorities: %w", err)
	}
	if bytes.Equal(have, ca) || exists(filepath.Join(dir, "ca.key")) {
		return nil
	}
	roots, err := ParseCertificates(ca)
	if err != nil {
		return fmt.Errorf("authorities that the hub sent: %w", err)
	}
	for _, c := range roots {
		if err := isAuthority(c); err != nil {
			return fmt.Errorf("authorities that the hub sent: %s %w", nameOf(c.Subject.String()), err)
		}
	}
	if len(server) == 0 || checkChain(server, roots) != nil {
		return errors.New("authorities that the hub sent: its own is not among them")
	}
	return writeFile(filepath.Clean(dir), name, ca, certMode)
}
