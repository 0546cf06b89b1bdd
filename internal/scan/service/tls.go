package service

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/scan/stack"
)

var errNoTLS = errors.New("the peer does not agree on TLS any more")

// tlsConfig takes every version and suite that there is: what a peer speaks is asked,
// and nothing secret is sent.
func (q *inquiry) tlsConfig() *tls.Config {
	known := append(tls.CipherSuites(), tls.InsecureCipherSuites()...)
	suites := make([]uint16, len(known))
	for i, s := range known {
		suites[i] = s.ID
	}
	return &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // the certificate is what is looked at, not trusted
		MinVersion:         tls.VersionTLS10, CipherSuites: suites, ServerName: q.serverName(),
	}
}

// askTLS tries the handshake. Where it succeeds the port is secure from here on, and
// the connection is kept for the first question within.
func askTLS(q *inquiry, l *line) Facts {
	c, facts := q.handshake(l)
	if c == nil && facts != nil {
		if again, err := q.dial(l.ctx); err == nil {
			defer again.hangUp()
			if old := askOldTLS(again); old["tls"] != "" {
				old["tls.old"] = "yes"
				return old
			}
		}
	}
	if c == nil {
		return facts
	}
	q.secure = true
	q.idle = c
	return facts
}

// handshake agrees on TLS on l. The line returned is nil where that failed; facts may
// still say that the peer speaks TLS.
func (q *inquiry) handshake(l *line) (*line, Facts) {
	c := tls.Client(l, q.tlsConfig())
	_ = l.SetDeadline(time.Now().Add(l.wait))
	if err := c.HandshakeContext(l.ctx); err != nil {
		if text := err.Error(); strings.Contains(text, "remote error: tls") || strings.Contains(text, "certificate") || strings.Contains(text, "server selected") {
			return nil, Facts{"tls": "refused: " + printable(text, 120)}
		}
		return nil, nil
	}
	_ = l.SetDeadline(time.Time{})
	state := c.ConnectionState()
	f := Facts{"tls": "yes", "tls.version": tls.VersionName(state.Version)}
	if len(state.PeerCertificates) > 0 {
		f.certificate(state.PeerCertificates[0])
	}
	inner := &line{Conn: c, ctx: l.ctx, left: maxLine, wait: l.wait, detach: l.detach, under: l}
	return inner, f
}

// secured agrees on TLS before anything is said on a port that is known to want it.
func (q *inquiry) secured(l *line) (*line, error) {
	inner, _ := q.handshake(l)
	if inner == nil {
		_ = l.Close()
		return nil, errNoTLS
	}
	return inner, nil
}

// certificate notes what a certificate says: all of it is the peer's own claim.
func (f Facts) certificate(c *x509.Certificate) {
	sum := sha256.Sum256(c.Raw)
	f.put("tls.sha256", hex.EncodeToString(sum[:]))
	f.put("tls.subject", printable(c.Subject.String(), 512))
	f.put("tls.issuer", printable(c.Issuer.String(), 512))
	f.put("tls.names", printable(strings.Join(c.DNSNames[:min(len(c.DNSNames), 32)], " "), 1024))
	f.put("tls.not_after", c.NotAfter.UTC().Format(time.RFC3339))
	if selfSigned(c) {
		f.put("tls.self_signed", "yes")
	}
}

// selfSigned tells that a certificate names itself as its issuer and is signed by its
// own key. The signature is checked with care of nothing else: a certificate of a
// device is seldom an authority's.
func selfSigned(c *x509.Certificate) bool {
	return string(c.RawSubject) == string(c.RawIssuer) && (c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil || len(c.AuthorityKeyId) == 0 || string(c.AuthorityKeyId) == string(c.SubjectKeyId))
}

// finishTLS fills the port's fields about TLS.
func (q *inquiry) finishTLS() {
	p, f := q.port, q.facts
	p.TlsVersion = f["tls.version"]
	p.CertificateSubject, p.CertificateIssuer = f["tls.subject"], f["tls.issuer"]
	p.CertificateSha256 = f["tls.sha256"]
	p.CertificateSelfSigned = f["tls.self_signed"] != ""
	if at, err := time.Parse(time.RFC3339, f["tls.not_after"]); err == nil {
		if stamp := timestamppb.New(at); stamp.IsValid() {
			p.CertificateNotAfter = stamp
		}
	}
	if why, ok := strings.CutPrefix(f["tls"], "refused: "); ok {
		q.remark("TLS handshake: " + why)
		p.Service = firstOf(p.GetService(), "tls")
	}
	q.remark(f["tls.fault"])
	for name := range strings.FieldsSeq(f["tls.names"]) {
		if !strings.HasPrefix(name, "*") && !isIP(name) {
			q.clue(stack.Clue{Name: name, Source: "certificate on port " + q.where()})
		}
	}
}
