package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ClassifyHandshakeError returns the reason a TLS handshake failed with err, on
// either side; "" for nil. Everything that fits nowhere is ReasonProtocolError.
func ClassifyHandshakeError(err error) Reason {
	if err == nil {
		return ""
	}
	return rejectionOf(err).Reason
}

// ExplainHandshake turns the error of a client's handshake, or of its first read,
// into a *[Rejection] that says what to do. When the server refused this side, f
// (which may be zero) is looked at for the cause. Errors that gRPC has turned into
// text are understood too; errors that are not of TLS come back as they are.
func ExplainHandshake(err error, f Files, now time.Time) error {
	if err == nil {
		return nil
	}
	r := rejectionOf(err)
	if r.Reason == ReasonProtocolError && !strings.Contains(err.Error(), "tls: ") {
		return err
	}
	if r.Time.IsZero() {
		r.Time = now
	}
	if !r.ByPeer {
		return r
	}
	if r.Reason == ReasonProtocolError { // which is not about a certificate
		return r
	}
	r.whose = clientCertificate
	certs, readErr := readCerts(f.Cert)
	if readErr != nil {
		return r
	}
	r.fill(certs[0])
	p := policy{now: now}
	if fault := p.timeFault(certs[0], f.Cert); fault != nil {
		r.Reason, r.Detail = fault.Reason, fault.Detail
		if fault.Reason == ReasonExpired && !exists(filepath.Join(filepath.Dir(f.CA), "ca.key")) {
			r.Detail = fmt.Sprintf("%s expired on %s, %s ago: %s", f.Cert, stamp(certs[0].NotAfter), span(now.Sub(certs[0].NotAfter)), EnrolAgain)
		}
		return r
	}
	switch r.Reason {
	case ReasonUnknownAuthority:
		r.Detail = f.Cert + " was issued by " + r.Issuer + ", which the server does not trust"
	case ReasonNoCertificate:
		r.Detail = "the server demands a certificate and got none"
	case ReasonBadCertificate:
		r.Detail = "the server refused " + f.Cert + " (" + r.Subject + ", issued by " + r.Issuer + "); its log says why. " +
			"If it was revoked, this host has to enrol again"
	default:
	}
	return r
}

// EnrolAgain says what to do on a host whose certificates no longer let it in.
const EnrolAgain = "enrol this host again: amoskys token create on the hub, then here amoskys-agent enroll --hub HOST:PORT --token TOKEN --force"

const (
	remoteError   = "remote error: tls: "
	noProtocol    = "no application protocol"
	noCertificate = "client didn't provide a certificate"
)

// rejectionOf describes any handshake error. Some errors of crypto/tls exist only
// as text; TestStandardLibraryTexts watches over those.
func rejectionOf(err error) *Rejection {
	var r *Rejection
	if errors.As(err, &r) {
		return r
	}
	text := err.Error()
	if r = rejectionIn(text); r != nil {
		r.Err = err
		return r
	}
	r = &Rejection{Err: err, Detail: nameOf(text)}
	var header tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.As(err, &header) && header.Conn != nil:
		r.Reason, r.Detail = ReasonNotTLS, notTLS(header.RecordHeader)
	case strings.Contains(text, remoteError):
		_, alert, _ := strings.Cut(text, remoteError)
		r.Reason, r.ByPeer = alertReason(alert), true
		r.Detail = "the other side ended the handshake with the alert: " + nameOf(alert)
		if strings.HasPrefix(alert, noProtocol) {
			r.Detail = "the other side does not speak this protocol on this port: is it the hub's own port?"
		}
	case strings.HasSuffix(text, noCertificate):
		p := policy{whose: clientCertificate}
		none := p.check(nil)
		r.Reason, r.Detail, r.whose = none.Reason, none.Detail, none.whose
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		r.Reason, r.Detail = ReasonHandshakeTimeout, "the handshake was not finished in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, io.ErrClosedPipe), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, context.Canceled):
		r.Reason, r.Detail = ReasonConnectionClosed, "the connection was closed during the handshake"
	default:
		r.Reason = certificateReason(err)
	}
	return r
}

// rejectionIn finds a Rejection's own text within that of another error.
func rejectionIn(text string) *Rejection {
	for _, whose := range []string{serverCertificate, clientCertificate} {
		_, rest, found := strings.Cut(text, whose+" refused (")
		reason, detail, ok := strings.Cut(rest, "): ")
		if found && ok && slices.Contains(Reasons(), Reason(reason)) {
			return &Rejection{Reason: Reason(reason), Detail: strings.TrimSuffix(detail, `"`), whose: whose}
		}
	}
	return nil
}

// certificateReason sorts the errors of the standard verification, which other
// configurations than ours produce, from everything else.
func certificateReason(err error) Reason {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown):
		return ReasonUnknownAuthority
	case errors.As(err, &host):
		return ReasonWrongHost
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if strings.Contains(invalid.Detail, " is before ") {
			return ReasonNotYetValid
		}
		return ReasonExpired
	case errors.As(err, &invalid), errors.As(err, &verification):
		return ReasonBadCertificate
	}
	for _, part := range []string{
		"failed to parse client certificate", "failed to parse certificate from server", "certificate containing RSA key",
		"unsupported public key", "invalid signature by the client certificate", "invalid signature by the server certificate",
	} {
		if strings.Contains(err.Error(), part) {
			return ReasonBadCertificate
		}
	}
	return ReasonProtocolError
}

// alertReason maps the text of a TLS alert (RFC 8446, section 6.2) to a reason.
func alertReason(alert string) Reason {
	for _, m := range []struct {
		prefix string
		reason Reason
	}{
		{"certificate required", ReasonNoCertificate},
		{"unknown certificate authority", ReasonUnknownAuthority},
		{"expired certificate", ReasonExpired},
		{"bad certificate", ReasonBadCertificate},
		{"unsupported certificate", ReasonBadCertificate},
		{"revoked certificate", ReasonRevoked},
		{"unknown certificate", ReasonBadCertificate},
		{"access denied", ReasonBadCertificate},
	} {
		if strings.HasPrefix(alert, m.prefix) {
			return m.reason
		}
	}
	return ReasonProtocolError
}

// notTLS says what arrived instead of a TLS record.
func notTLS(header [5]byte) string {
	switch {
	case looksLikeHTTP(header):
		return "plain HTTP arrived instead of TLS: use https:// and a client certificate"
	case string(header[:]) == "HTTP/":
		return "the server answered in plain HTTP: it speaks no TLS on this port"
	case strings.HasPrefix(string(header[:]), "SSH-"):
		return "SSH arrived instead of TLS: this is another service's port"
	default:
		return "bytes arrived that are not TLS"
	}
}

// looksLikeHTTP recognises the start of a request, HTTP/2's with prior knowledge
// (a gRPC client without TLS) included.
func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET", "TRACE", "CONNE", "PRI *":
		return true
	default:
		return false
	}
}

// diagnose says why a client refused this server's certificate. The alert itself
// rarely tells, but the server knows its dates and the name the client dialled.
func (c *handshakeConn) diagnose(r *Rejection) {
	m := c.material
	if m == nil || r.Reason == ReasonProtocolError || r.Reason == ReasonNoCertificate {
		return
	}
	r.whose = serverCertificate
	r.fill(m.leaf)
	r.ServerName = c.serverName
	p := policy{now: c.server.o.Now()}
	if fault := p.timeFault(m.leaf, "this server's certificate"); fault != nil {
		r.Reason, r.Detail = fault.Reason, fault.Detail
		return
	}
	dialled, how := c.serverName, "the client dialled "+c.serverName
	if dialled == "" {
		if host, _, err := net.SplitHostPort(c.LocalAddr().String()); err == nil {
			dialled, how = bareHost(host), "the client dialled an address and arrived at "+bareHost(host)
		}
	}
	if dialled != "" && r.Reason == ReasonBadCertificate && m.leaf.VerifyHostname(dialled) != nil {
		r.Reason = ReasonWrongHost
		r.Detail = how + ", this server's certificate names " + listHosts(m.leaf) +
			": add the name with amoskys certs renew eventbus --host " + dialled
		return
	}
	if r.Reason == ReasonUnknownAuthority {
		r.Detail = "the client does not trust the authority " + r.Issuer + ": give it this server's ca.crt"
		return
	}
	r.Detail = "the client refused this server's certificate (" + r.Subject + ", issued by " + r.Issuer +
		"); its own log says why (alert: " + strings.TrimPrefix(r.Detail, "the other side ended the handshake with the alert: ") + ")"
}
