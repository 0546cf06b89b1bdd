package identity

import (
	"crypto/x509"
	"fmt"
)

func (l *layout) ensureCA() error {
	crt, key := l.path("ca.crt"), l.path("ca.key")
	if exists(crt) {
		roots, err := readAuthorities(crt)
		if err != nil {
			return err
		}
		l.roots = roots
		l.report.Kept = append(l.report.Kept, "ca.crt")
		if exists(key) {
			// A key that others can read is a compromised authority even if
			// nothing needs issuing today.
			if err := l.loadCA(); err != nil {
				return err
			}
			l.report.Kept = append(l.report.Kept, "ca.key")
		}
		return l.checkDomain()
	}
	if leaf := l.firstLeaf(); leaf != "" {
		return fmt.Errorf("%s is missing but %s exists: put back the authority that issued it, "+
			"or start anew with amoskys certs init --force", crt, leaf)
	}
	o := CAOptions{Domain: l.o.Domain, TTL: l.o.CATTL, Now: l.o.Now}
	hadKey := exists(key)
	if hadKey { // a crash came between the key and its certificate
		signer, err := readKey(key)
		if err != nil {
			return err
		}
		o.key = signer
	}
	ca, pair, err := CreateCA(o)
	if err != nil {
		return err
	}
	if !hadKey {
		if err := writeFile(l.dir, "ca.key", pair.KeyPEM, keyMode); err != nil {
			return err
		}
		l.report.Created = append(l.report.Created, "ca.key")
	}
	if err := writeFile(l.dir, "ca.crt", pair.CertPEM, certMode); err != nil {
		return err
	}
	l.report.Created = append(l.report.Created, "ca.crt")
	l.ca, l.roots = ca, []*x509.Certificate{ca.Cert}
	return nil
}

func (l *layout) loadCA() error {
	ca, err := LoadCA(l.path("ca.crt"), l.path("ca.key"))
	if err != nil {
		return err
	}
	l.ca = ca
	l.warnOpen(l.path("ca.key"), keyMode)
	return nil
}

// checkDomain refuses to issue for a domain other than the authority's.
func (l *layout) checkDomain() error {
	for _, root := range l.roots {
		if have := domainOf(root); have != "" && l.o.Domain != "" && have != l.o.Domain {
			return fmt.Errorf("%s is the authority of domain %s, not of %s: keep its domain, "+
				"or start anew with amoskys certs init --force", l.path("ca.crt"), have, l.o.Domain)
		}
	}
	return nil
}

// domain is what leaves are issued for.
func (l *layout) domain() string {
	if l.o.Domain != "" {
		return l.o.Domain
	}
	if d := l.ca.Domain(); d != "" {
		return d
	}
	for _, s := range layoutLeaves() {
		if certs, err := readCerts(l.path(s.name + ".crt")); err == nil {
			if d := domainOf(certs[0]); d != "" {
				return d
			}
		}
	}
	return DefaultDomain
}
