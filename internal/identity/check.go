package identity

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// policy is what one side demands of the other's certificate.
type policy struct {
	whose  string // clientCertificate or serverCertificate
	usage  x509.ExtKeyUsage
	assume Role   // of certificates that name none
	allow  []Role // none: any role
	domain string // "" : any
	host   string // the name dialled; servers only
	// bind is the address the connection comes from when certificates that name
	// only addresses are bound to them; invalid otherwise.
	bind  netip.Addr
	now   time.Time
	roots []*x509.Certificate
	pool  *x509.CertPool
}

// minRSA is the shortest RSA key accepted, in bits (NIST SP 800-57: 112 bits of
// security).
const minRSA = 2048

// check verifies a peer's chain, leaf first, and returns why it is refused, or nil.
// Authority comes before validity, because dates in a certificate nobody trusts
// mean nothing.
func (p *policy) check(chain []*x509.Certificate) *Rejection {
	if len(chain) == 0 {
		return &Rejection{
			Reason: ReasonNoCertificate, whose: p.whose,
			Detail: "the other side presented none; give it a certificate and key issued by the authority in ca.crt " +
				"(for curl: --cert certs/client.crt --key certs/client.key)",
		}
	}
	r := p.checkTrust(chain)
	if r == nil {
		r = p.checkLeaf(chain[0])
	}
	if r != nil {
		r.whose = p.whose
		r.fill(chain[0])
	}
	return r
}

// checkLeaf looks at what a trusted certificate says.
func (p *policy) checkLeaf(leaf *x509.Certificate) *Rejection {
	if leaf.IsCA {
		return &Rejection{Reason: ReasonBadCertificate, Detail: nameOf(leaf.Subject.String()) +
			" is an authority's certificate; present one that the authority issued"}
	}
	if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < minRSA {
		return &Rejection{Reason: ReasonBadCertificate, Detail: fmt.Sprintf(
			"RSA key of %d bits is too short, %d are needed", key.N.BitLen(), minRSA)}
	}
	id, named, err := identify(leaf, p.assume)
	if err != nil {
		return &Rejection{Reason: ReasonBadCertificate, Detail: nameOf(err.Error()), Err: err}
	}
	if named && p.domain != "" && id.Domain != p.domain {
		return &Rejection{Reason: ReasonWrongDomain, Detail: fmt.Sprintf(
			"%s is of domain %s, this side is of %s", id, id.Domain, p.domain)}
	}
	if len(p.allow) > 0 && !slices.Contains(p.allow, id.Role) {
		need := "needs " + joinRoles(p.allow)
		if len(p.allow) > 1 {
			need = "needs one of " + joinRoles(p.allow)
		}
		return &Rejection{Reason: ReasonWrongRole, Detail: fmt.Sprintf("%s has role %s, %s", id, id.Role, need)}
	}
	return p.checkHost(leaf)
}

// checkTrust verifies the chain, the times in it and its usage.
func (p *policy) checkTrust(chain []*x509.Certificate) *Rejection {
	inter := x509.NewCertPool()
	for _, c := range chain[1:] {
		inter.AddCert(c)
	}
	leaf := chain[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: p.pool, Intermediates: inter, CurrentTime: p.now, KeyUsages: []x509.ExtKeyUsage{p.usage},
	})
	if err == nil {
		return nil
	}
	path, root := p.path(chain)
	if root == nil {
		return &Rejection{Reason: ReasonUnknownAuthority, Detail: p.unknownAuthority(leaf), Err: err}
	}
	r := p.timeFault(leaf, "the certificate of "+subjectOf(leaf))
	for _, c := range append(path[1:], root) {
		if r == nil {
			r = p.timeFault(c, "the authority "+nameOf(c.Subject.String()))
		}
	}
	if r != nil {
		r.Err = err
		return r
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage {
		use := "clientAuth"
		if p.usage == x509.ExtKeyUsageServerAuth {
			use = "serverAuth"
		}
		return &Rejection{Reason: ReasonBadCertificate, Err: err, Detail: fmt.Sprintf(
			"the certificate of %s may not be used this way (extendedKeyUsage lacks %s)", subjectOf(leaf), use)}
	}
	return &Rejection{Reason: ReasonBadCertificate, Detail: nameOf(err.Error()), Err: err}
}

// path follows signatures from the leaf to a trusted root, whatever else is wrong
// with the certificates on the way; root is nil when none is reached. It only
// explains a refusal.
func (p *policy) path(chain []*x509.Certificate) (path []*x509.Certificate, root *x509.Certificate) {
	const longest = 5
	path = []*x509.Certificate{chain[0]}
	for len(path) <= longest {
		last := path[len(path)-1]
		issued := func(c *x509.Certificate) bool {
			return bytes.Equal(c.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(c) == nil
		}
		if i := slices.IndexFunc(p.roots, issued); i >= 0 {
			return path, p.roots[i]
		}
		i := slices.IndexFunc(chain[:min(len(chain), 2*longest)], func(c *x509.Certificate) bool { return c != last && issued(c) })
		if i < 0 {
			break
		}
		path = append(path, chain[i])
	}
	return path, nil
}

func (p *policy) timeFault(cert *x509.Certificate, what string) *Rejection {
	switch {
	case p.now.After(cert.NotAfter):
		return &Rejection{Reason: ReasonExpired, Detail: fmt.Sprintf(
			"%s expired on %s, %s ago (the clock here reads %s): renew it, amoskys certs renew does",
			what, stamp(cert.NotAfter), span(p.now.Sub(cert.NotAfter)), stamp(p.now))}
	case p.now.Before(cert.NotBefore):
		return &Rejection{Reason: ReasonNotYetValid, Detail: fmt.Sprintf(
			"%s is valid only from %s, in %s (the clock here reads %s): if the certificate is in use already, "+
				"one of the two clocks is wrong", what, stamp(cert.NotBefore), span(cert.NotBefore.Sub(p.now)), stamp(p.now))}
	}
	return nil
}

func (p *policy) unknownAuthority(leaf *x509.Certificate) string {
	issuer := nameOf(leaf.Issuer.String())
	text := fmt.Sprintf("the certificate of %s was issued by %s, which is not in this side's ca.crt", subjectOf(leaf), issuer)
	if bytes.Equal(leaf.RawIssuer, leaf.RawSubject) {
		text = fmt.Sprintf("the certificate of %s is self-signed", subjectOf(leaf))
	}
	var trusted []string
	for _, root := range p.roots {
		if bytes.Equal(root.RawSubject, leaf.RawIssuer) {
			return fmt.Sprintf("the certificate of %s was issued by another authority that is also called %s; "+
				"this side trusts the one with SHA-256 %s…", subjectOf(leaf), issuer, shortPrint(root))
		}
		trusted = append(trusted, nameOf(root.Subject.String())+" (SHA-256 "+shortPrint(root)+"…)")
	}
	return text + "; trusted here: " + strings.Join(trusted[:min(len(trusted), 4)], ", ")
}

// CheckIssued verifies that an authority among roots issued the chain, leaf first,
// and nothing else: not the dates, the use or the names in it. It returns nil if so.
func CheckIssued(chain, roots []*x509.Certificate) *Rejection { return checkChain(chain, roots) }

// checkChain verifies only that roots issued the chain, whenever that was.
func checkChain(chain, roots []*x509.Certificate) *Rejection {
	p := policy{roots: roots}
	if _, root := p.path(chain); root == nil {
		return &Rejection{Reason: ReasonUnknownAuthority, Detail: p.unknownAuthority(chain[0])}
	}
	return nil
}

func poolOf(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool
}

// checkHost compares the names in the certificate with where it is used.
func (p *policy) checkHost(leaf *x509.Certificate) *Rejection {
	if p.whose == serverCertificate {
		if p.host == "" {
			return &Rejection{Reason: ReasonWrongHost, Detail: "the name dialled is not known, so the server's name " +
				"cannot be checked: set ServerName"}
		}
		if len(hostsOf(leaf)) == 0 {
			return &Rejection{Reason: ReasonWrongHost, Detail: missingHosts("the server's certificate", "eventbus", p.host) +
				"; dialled " + p.host}
		}
		if err := leaf.VerifyHostname(bareHost(p.host)); err != nil {
			return &Rejection{Reason: ReasonWrongHost, Err: err, Detail: fmt.Sprintf(
				"the certificate of %s names %s; dialled %s: dial one of these, or on the hub let it name that too: amoskys certs renew eventbus --host %s",
				subjectOf(leaf), listHosts(leaf), p.host, bareHost(p.host))}
		}
		return nil
	}
	if !p.bind.IsValid() || len(leaf.IPAddresses) == 0 || len(leaf.DNSNames) > 0 {
		return nil
	}
	from := net.IP(p.bind.Unmap().AsSlice())
	if slices.ContainsFunc(leaf.IPAddresses, from.Equal) {
		return nil
	}
	return &Rejection{Reason: ReasonWrongHost, Detail: fmt.Sprintf(
		"the certificate of %s is bound to %s; it was presented from %s", subjectOf(leaf), listHosts(leaf), p.bind.Unmap())}
}

// bareHost takes the zone off an IPv6 address and the dot off an absolute name.
func bareHost(host string) string {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if addr, _, ok := strings.Cut(host, "%"); ok && isIP(addr) {
		host = addr
	}
	return strings.TrimSuffix(host, ".")
}
