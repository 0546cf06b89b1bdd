package dissect

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"
)

// Bounds on what is kept of a certificate.
const (
	maxCertificate = 12 << 10 // bytes
	maxNames       = 32
)

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
	readCertificate(t, der)
	if r.s.service == "" && torNames(t.SNI, strings.TrimPrefix(t.Subject, "CN="), strings.TrimPrefix(t.Issuer, "CN=")) {
		r.s.service = serviceTor
	}
}

func readCertificate(t *TLS, der []byte) {
	sum := sha256.Sum256(der)
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
