package certificates

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/state"
)

// IssuerOptions are what an Issuer needs. All but Domain, Revoked and Now are
// required.
type IssuerOptions struct {
	// CACert and CAKey are the authority's files. They are read whenever they are
	// needed, so that the key may come and go.
	CACert, CAKey string
	// Domain is the trust domain if the authority names none.
	Domain string
	Store  interface {
		AddCertificates(ctx context.Context, certs ...state.Certificate) error
	}
	// Revoked is when an identity was last revoked: what is issued from now on must
	// begin no earlier.
	Revoked func(id identity.ID) time.Time
	Now     func() time.Time
}

// Issuer certifies keys that were made on other hosts, and keeps a record of each
// certificate. It is safe for concurrent use.
type Issuer struct{ o IssuerOptions }

// NewIssuer returns an Issuer.
func NewIssuer(o IssuerOptions) *Issuer {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Domain == "" {
		o.Domain = identity.DefaultDomain
	}
	if o.Revoked == nil {
		o.Revoked = func(identity.ID) time.Time { return time.Time{} }
	}
	return &Issuer{o: o}
}

// Authority reads the authority with its key. The error says why this hub cannot
// issue, and what to do.
func (i *Issuer) Authority() (*identity.CA, error) {
	ca, err := identity.LoadCA(i.o.CACert, i.o.CAKey)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: put the authority's key back on this hub, or issue the certificates where it is", i.o.CAKey)
	}
	return ca, err
}

// Issuing reads the authority from which hosts get their certificates now: Authority,
// or the new one while that is being replaced.
func (i *Issuer) Issuing() (*identity.CA, error) {
	ca, err := identity.LoadIssuingCA(i.o.CACert, i.o.CAKey, i.o.Now())
	if errors.Is(err, os.ErrNotExist) {
		return i.Authority()
	}
	return ca, err
}

// Rotation is the change of the authority that is under way.
func (i *Issuer) Rotation() (identity.Rotation, error) {
	return identity.ReadRotation(filepath.Dir(i.o.CAKey))
}

// Roots returns what hosts are to trust, as PEM and parsed.
func (i *Issuer) Roots() ([]byte, []*x509.Certificate, error) {
	text, err := os.ReadFile(i.o.CACert)
	if err != nil {
		return nil, nil, fmt.Errorf("read the authority: %w", err)
	}
	roots, err := identity.ParseCertificates(text)
	if err != nil {
		return nil, nil, fmt.Errorf("read the authority: %w", err)
	}
	return text, roots, nil
}

// ID is the identity of a name in a role, in the domain of the authority.
func (i *Issuer) ID(ca *identity.CA, role identity.Role, name string) identity.ID {
	domain := ca.Domain()
	if domain == "" {
		domain = i.o.Domain
	}
	return identity.ID{Domain: domain, Role: role, Name: name}
}

// Since is the earliest beginning of what an identity gets anew. A certificate that
// begins before its identity was revoked is refused: the allowance for clocks must not
// reach back behind that.
func (i *Issuer) Since(id identity.ID) time.Time { return i.o.Revoked(id) }

// Request is one certificate to issue.
type Request struct {
	ID  identity.ID
	CSR string // PEM; only the key in it counts
	// Observes are the kinds with which the bearer may speak of others.
	Observes []string
	// TTL is the lifetime, identity.DefaultLeafTTL when 0. NotBefore is the earliest
	// beginning: of a successor that of the old certificate, so that a revocation which
	// comes while it is made ends it too, and else what Since says.
	TTL       time.Duration
	NotBefore time.Time
	// The rest goes into the record.
	Origin   state.Origin
	For      string
	Replaces string
	Machine  string
}

// ErrRequest says that a signing request is not acceptable.
var ErrRequest = errors.New("signing request refused")

// backdate allows for clocks of hosts that are behind this one.
const backdate = 5 * time.Minute

// Issue certifies the keys of requests. Nothing is kept until Keep, or until Records are.
func (i *Issuer) Issue(ca *identity.CA, requests ...Request) ([]*identity.KeyPair, error) {
	pairs := make([]*identity.KeyPair, 0, len(requests))
	for _, r := range requests {
		key, err := identity.RequestedKey([]byte(r.CSR))
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrRequest, r.ID.Role, err)
		}
		begin := i.o.Now().Add(-backdate)
		if begin.Before(r.NotBefore) {
			begin = r.NotBefore
		}
		pair, err := ca.Issue(identity.IssueOptions{
			ID: r.ID, PublicKey: key, Observes: r.Observes, TTL: r.TTL, NotBefore: begin,
		})
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}

// Keep records certificates that Issue made for the same requests. It comes before
// they are handed out, so that every one of them can be listed and revoked.
func (i *Issuer) Keep(ctx context.Context, requests []Request, pairs []*identity.KeyPair) error {
	return i.o.Store.AddCertificates(ctx, i.Records(requests, pairs)...)
}

// Records are what is to be kept of certificates that Issue made for the same requests, for
// who keeps them by more than Keep does.
func (i *Issuer) Records(requests []Request, pairs []*identity.KeyPair) []state.Certificate {
	kept := make([]state.Certificate, 0, len(pairs))
	for n, pair := range pairs {
		c := describe(pair.Cert, requests[n].ID)
		c.Origin, c.IssuedFor, c.Replaces, c.Machine = requests[n].Origin, requests[n].For, requests[n].Replaces, requests[n].Machine
		c.Known = i.o.Now()
		kept = append(kept, c)
	}
	return kept
}

// describe is the record of a certificate, but for what it does not say itself.
func describe(cert *x509.Certificate, id identity.ID) state.Certificate {
	return state.Certificate{
		Serial: cert.SerialNumber.Text(16), Identity: id.String(), Host: id.Host(), Observes: identity.Observes(cert),
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, Origin: state.OriginElsewhere,
	}
}
