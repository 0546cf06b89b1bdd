package dissect

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
)

// Bounds on what is kept of a certificate.
const (
	maxCertificate = 12 << 10 // bytes
	maxNames       = 32
	// maxCertificates is how many certificates an Engine remembers: few servers make
	// up most handshakes, and taking one apart costs more than all else of a flow.
	maxCertificates = 512
)

// certificates remembers what certificates said, by their SHA-256. When it is full,
// any one goes.
type certificates map[[sha256.Size]byte]*TLS

// fill writes what a certificate says into t. Names are shared between flows.
func (c certificates) fill(t *TLS, der []byte) {
	sum := sha256.Sum256(der)
	known := c[sum]
	if known == nil {
		known = new(TLS)
		readCertificate(known, der, sum)
		if len(c) >= maxCertificates {
			for one := range c {
				delete(c, one)
				break
			}
		}
		c[sum] = known
	}
	t.Subject, t.Issuer, t.NotBefore, t.NotAfter = known.Subject, known.Issuer, known.NotBefore, known.NotAfter
	t.SHA256, t.SelfSigned, t.Names = known.SHA256, known.SelfSigned, slices.Clip(known.Names)
}

// leafCertificate returns the first certificate of the body of a Certificate message
// of TLS 1.2 and older (RFC 5246, section 7.4.2), if all of it is there.
func leafCertificate(b []byte) ([]byte, bool) {
	n := u24(b, 3)
	if n == 0 || n > maxCertificate || len(b) < 6+n {
		return nil, false
	}
	return b[6 : 6+n], true
}

// certificate fills Facts from a certificate in DER.
func (r *reading) certificate(der []byte) {
	t := r.tls()
	r.e.certificates.fill(t, der)
	if r.s.service == "" && torNames(t.SNI, strings.TrimPrefix(t.Subject, "CN="), strings.TrimPrefix(t.Issuer, "CN=")) {
		r.s.service = serviceTor
	}
}

func readCertificate(t *TLS, der []byte, sum [sha256.Size]byte) {
	t.SHA256 = hex.EncodeToString(sum[:])
	c, err := x509.ParseCertificate(der)
	if err != nil {
		// What the library refuses (negative serial numbers, old curves, odd names)
		// may still name its subject.
		looseCertificate(t, der)
		return
	}
	t.Subject = cleanText(c.Subject.String(), maxText)
	t.Issuer = cleanText(c.Issuer.String(), maxText)
	t.NotBefore, t.NotAfter = c.NotBefore.UTC(), c.NotAfter.UTC()
	t.SelfSigned = bytes.Equal(c.RawSubject, c.RawIssuer)
	t.Names = nil
	for _, n := range c.DNSNames {
		t.addName(n)
	}
	for _, ip := range c.IPAddresses {
		t.addName(ip.String())
	}
	for _, n := range c.EmailAddresses {
		t.addName(n)
	}
	for _, u := range c.URIs {
		t.addName(u.String())
	}
}

func (t *TLS) addName(n string) {
	if n = cleanText(n, maxName); n != "" && len(t.Names) < maxNames {
		t.Names = append(t.Names, n)
	}
}
