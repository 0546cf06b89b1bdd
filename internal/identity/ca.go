package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
)

// Lifetimes and the allowance for clocks that are behind ours.
const (
	DefaultLeafTTL = 90 * 24 * time.Hour
	DefaultCATTL   = 10 * 365 * 24 * time.Hour
	backdate       = 5 * time.Minute
)

// CA is a certificate authority that can issue. It is safe for use by several
// goroutines at once.
type CA struct {
	// Cert is the authority's own certificate.
	Cert *x509.Certificate

	key crypto.Signer
}

// CAOptions says what authority to make. Zero fields take the defaults.
type CAOptions struct {
	Domain string           // DefaultDomain
	TTL    time.Duration    // DefaultCATTL
	Now    func() time.Time // time.Now

	key crypto.Signer // reuse this key, left behind by an interrupted run
}

// KeyPair is a certificate with its key, ready to be written. KeyPEM is secret.
type KeyPair struct {
	Cert    *x509.Certificate
	CertPEM []byte
	KeyPEM  []byte // nil when the key was made elsewhere
}

// IssueOptions says what leaf to issue.
type IssueOptions struct {
	ID    ID
	Hosts []string // DNS names and IP addresses the holder is reached by
	// Observes are the kinds of agents, such as snmp, whose events may be about
	// other hosts and devices. Each becomes an organisational unit "observes:KIND".
	Observes []string
	TTL      time.Duration
	// NotBefore is when the certificate begins, 5 minutes ago when zero. The
	// lifetime counts from it.
	NotBefore time.Time
	// PublicKey is certified when set, as for a signing request made on another
	// host; without it a new ECDSA P-256 key is made.
	PublicKey crypto.PublicKey
}

// CreateCA makes a self-signed authority with an ECDSA P-256 key. It may issue
// leaves only: its path length is 0.
func CreateCA(o CAOptions) (*CA, *KeyPair, error) {
	if o.Domain == "" {
		o.Domain = DefaultDomain
	}
	if err := checkDomain(o.Domain); err != nil {
		return nil, nil, fmt.Errorf("create authority: %w", err)
	}
	if o.TTL == 0 {
		o.TTL = DefaultCATTL
	}
	if o.TTL < 0 {
		return nil, nil, fmt.Errorf("create authority: lifetime %s is negative", o.TTL)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	key := o.key
	if key == nil {
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, fmt.Errorf("create authority: %w", err)
		}
		key = made
	}
	ski, err := keyID(key.Public())
	if err != nil {
		return nil, nil, fmt.Errorf("create authority: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	begin := o.Now().Add(-backdate).UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"AMOSKYS"}, CommonName: cut("AMOSKYS CA "+o.Domain, 64)},
		NotBefore:             begin,
		NotAfter:              begin.Add(o.TTL),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          ski,
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: o.Domain}},
	}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("create authority: %w", err)
	}
	keyPEM, err := marshalKey(key)
	if err != nil {
		return nil, nil, err
	}
	return &CA{Cert: cert, key: key}, &KeyPair{Cert: cert, CertPEM: marshalCerts(cert), KeyPEM: keyPEM}, nil
}

// LoadCA reads an authority made by [CreateCA] or by another tool. When certFile
// holds several certificates the one that keyFile belongs to is used.
func LoadCA(certFile, keyFile string) (*CA, error) {
	certs, err := readAuthorities(certFile)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	key, err := readKey(keyFile)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	for _, cert := range certs {
		if belongs(key, cert) {
			return &CA{Cert: cert, key: key}, nil
		}
	}
	return nil, fmt.Errorf("load authority: %s does not belong to %s: put back the key that was made with it", keyFile, certFile)
}

// Domain returns the trust domain the authority was made for, or "" when it was
// made by a tool that names none.
func (ca *CA) Domain() string { return domainOf(ca.Cert) }

// Issue makes a certificate, and a key unless the options bring one.
func (ca *CA) Issue(o IssueOptions) (*KeyPair, error) {
	o.ID = o.ID.Normal()
	if err := o.ID.Validate(); err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	template, err := ca.template(o)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", o.ID, err)
	}
	pair := &KeyPair{}
	public := o.PublicKey
	if public == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("issue certificate for %s: %w", o.ID, err)
		}
		if pair.KeyPEM, err = marshalKey(key); err != nil {
			return nil, err
		}
		public = key.Public()
	}
	if template.SubjectKeyId, err = keyID(public); err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", o.ID, err)
	}
	if pair.Cert, err = sign(template, ca.Cert, public, ca.key); err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", o.ID, err)
	}
	pair.CertPEM = marshalCerts(pair.Cert)
	return pair, nil
}

func (ca *CA) template(o IssueOptions) (*x509.Certificate, error) {
	if o.TTL == 0 {
		o.TTL = DefaultLeafTTL
	}
	if o.TTL < 0 {
		return nil, fmt.Errorf("lifetime %s is negative", o.TTL)
	}
	if o.NotBefore.IsZero() {
		o.NotBefore = time.Now().Add(-backdate)
	}
	begin := o.NotBefore.UTC().Truncate(time.Second)
	end := begin.Add(o.TTL)
	if end.After(ca.Cert.NotAfter) {
		end = ca.Cert.NotAfter
	}
	if !end.After(begin) {
		return nil, fmt.Errorf("the authority %s ended on %s", nameOf(ca.Cert.Subject.String()), stamp(ca.Cert.NotAfter))
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	observes, err := observingUnits(o.Observes)
	if err != nil {
		return nil, err
	}
	uri, err := url.Parse(o.ID.String())
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{
			Organization:       []string{"AMOSKYS"},
			OrganizationalUnit: append([]string{string(o.ID.Role)}, observes...),
			CommonName:         cut(o.ID.Name, 64),
		},
		NotBefore:             begin,
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{uri},
	}
	if serves(o.ID.Role) {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	return t, addHosts(t, o.Hosts)
}

// serves reports whether the holders of a role are dialled by others and so need
// the server usage and host names.
func serves(r Role) bool { return r == RoleHub || r == RoleStore || r == RoleDashboard }

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial returns 127 random bits, never 0 (RFC 5280, 4.1.2.2).
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

// keyID is method 1 of RFC 7093: the leftmost 160 bits of the SHA-256 of the key.
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(info.Key.Bytes)
	return sum[:20], nil
}

// readAuthorities reads a file of authorities and refuses one that is none.
func readAuthorities(file string) ([]*x509.Certificate, error) {
	certs, err := readCerts(file)
	if err != nil {
		return nil, err
	}
	for _, c := range certs {
		if err := isAuthority(c); err != nil {
			return nil, fmt.Errorf("%s: %s %w", file, nameOf(c.Subject.String()), err)
		}
	}
	return certs, nil
}

func isAuthority(c *x509.Certificate) error {
	if c.Version >= 3 && (!c.BasicConstraintsValid || !c.IsCA) {
		return errors.New("is not an authority's certificate (basicConstraints lacks CA:TRUE)")
	}
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return errors.New("may not sign certificates (keyUsage lacks keyCertSign)")
	}
	return nil
}

// domainOf returns the trust domain in a certificate's SPIFFE URI, or "".
func domainOf(cert *x509.Certificate) string {
	for _, u := range cert.URIs {
		if strings.EqualFold(u.Scheme, "spiffe") {
			return u.Host
		}
	}
	return ""
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
