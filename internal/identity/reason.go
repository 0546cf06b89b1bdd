package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Reason is why a connection was refused: a stable word for logs and metrics.
type Reason string

// The reasons. The first nine are about a certificate, the others about what
// came instead of a handshake.
const (
	ReasonNoCertificate    Reason = "no_certificate"
	ReasonUnknownAuthority Reason = "unknown_authority"
	ReasonExpired          Reason = "expired"
	ReasonNotYetValid      Reason = "not_yet_valid"
	ReasonWrongRole        Reason = "wrong_role"
	ReasonWrongHost        Reason = "wrong_host"
	ReasonWrongDomain      Reason = "wrong_domain"
	ReasonBadCertificate   Reason = "bad_certificate"
	ReasonRevoked          Reason = "revoked"

	ReasonNotTLS           Reason = "not_tls"
	ReasonHandshakeTimeout Reason = "handshake_timeout"
	ReasonProtocolError    Reason = "protocol_error"
	ReasonConnectionClosed Reason = "connection_closed"
	ReasonOverloaded       Reason = "overloaded"
)

// Reasons returns every reason in a fixed order, so that counters can exist
// before the first refusal.
func Reasons() []Reason {
	return []Reason{
		ReasonNoCertificate, ReasonUnknownAuthority, ReasonExpired, ReasonNotYetValid, ReasonWrongRole,
		ReasonWrongHost, ReasonWrongDomain, ReasonBadCertificate, ReasonRevoked, ReasonNotTLS,
		ReasonHandshakeTimeout, ReasonProtocolError, ReasonConnectionClosed, ReasonOverloaded,
	}
}

// Rejection is one refused connection. As an error it reads as a whole sentence.
// It goes to logs and counters; nothing of it is secret.
type Rejection struct { //nolint:errname // it is first a record of a refused connection, and an error besides
	Reason      Reason
	Time        time.Time // when, by this side's clock
	Remote      string    // address of the other side; empty on the client's side
	ServerName  string    // the name the client dialled, when it is known
	Subject     string    // identity or subject in the refused certificate
	Issuer      string    // who issued it
	Fingerprint string    // SHA-256 of it, hex
	NotBefore   time.Time // validity of it
	NotAfter    time.Time
	Detail      string // what failed and what to do about it
	ByPeer      bool   // the other side refused us; Subject is then our own certificate
	Err         error  // the underlying error, may be nil

	whose string // "client certificate", "server certificate", "connection"
}

// Error returns "client certificate refused (expired): …".
func (r *Rejection) Error() string {
	whose := r.whose
	if whose == "" {
		whose = "connection"
	}
	verb := " refused ("
	if r.ByPeer {
		verb = " refused by the other side ("
	}
	return whose + verb + string(r.Reason) + "): " + r.Detail
}

// Unwrap returns the underlying error.
func (r *Rejection) Unwrap() error { return r.Err }

const (
	clientCertificate = "client certificate"
	serverCertificate = "server certificate"
)

// fill records which certificate the rejection is about.
func (r *Rejection) fill(cert *x509.Certificate) {
	r.Subject = subjectOf(cert)
	r.Issuer = nameOf(cert.Issuer.String())
	r.Fingerprint = Fingerprint(cert)
	r.NotBefore, r.NotAfter = cert.NotBefore, cert.NotAfter
}

// Fingerprint returns the SHA-256 of a certificate in lower-case hex.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// shortPrint is enough of a fingerprint to tell two authorities apart by eye.
func shortPrint(cert *x509.Certificate) string { return Fingerprint(cert)[:16] }

// subjectOf returns the SPIFFE ID of cert when it has one, else its subject.
func subjectOf(cert *x509.Certificate) string {
	if id, named, err := identify(cert, RoleAgent); err == nil && named {
		return id.String()
	}
	return nameOf(cert.Subject.String())
}

// nameOf makes a distinguished name fit for one log line: bounded, never empty.
func nameOf(dn string) string {
	const most = 200
	if dn == "" {
		return "(empty name)"
	}
	dn = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, dn)
	if len(dn) > most {
		dn = strings.ToValidUTF8(dn[:most], "") + "…"
	}
	return dn
}

// hostsOf lists the DNS names and addresses of a certificate.
func hostsOf(cert *x509.Certificate) []string {
	hosts := make([]string, 0, len(cert.DNSNames)+len(cert.IPAddresses))
	hosts = append(hosts, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}

// listHosts is hostsOf for a sentence, bounded.
func listHosts(cert *x509.Certificate) string {
	const most = 12
	hosts := hostsOf(cert)
	if len(hosts) == 0 {
		return "no host"
	}
	more := ""
	if len(hosts) > most {
		more = fmt.Sprintf(" and %d more", len(hosts)-most)
		hosts = hosts[:most]
	}
	return nameOf(strings.Join(hosts, ", ")) + more
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// span writes a duration as a person would: "3 days", "5h10m", "42s".
func span(d time.Duration) string {
	d = d.Abs()
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= time.Minute:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	default:
		return d.Truncate(time.Second).String()
	}
}

// missingHosts says how to put host names into a certificate that has none.
func missingHosts(what, name, host string) string {
	if host == "" || host == "localhost" || host == "127.0.0.1" || host == "::1" {
		host = "HOST"
	}
	kind := "DNS:" + host
	if isIP(host) {
		kind = "IP:" + host
	}
	return what + " names no host (subjectAltName is missing): add -extfile <(printf 'subjectAltName=DNS:localhost," +
		kind + ",IP:127.0.0.1') to the openssl x509 command, or run amoskys certs renew " + name
}
