package certificates

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// maxRenewals bounds one request: more agents than a node may have.
const maxRenewals = 257

// RenewCertificates issues successors of the caller's certificate and, for a node,
// of those of its host's agents. Whom they name and what they allow is taken from
// the certificates that the authority signed before, never from the request.
func (s *Service) RenewCertificates(ctx context.Context, req *pb.RenewCertificatesRequest) (*pb.RenewCertificatesResponse, error) {
	caller, _, ok := s.o.Caller(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "the connection carries no client certificate")
	}
	if n := len(req.GetRenewals()); n == 0 || n > maxRenewals {
		return nil, status.Errorf(codes.InvalidArgument, "want 1 to %d certificates to renew, not %d", maxRenewals, n)
	}
	if !s.limits.take(caller, len(req.GetRenewals()), s.o.Now()) {
		return nil, status.Errorf(codes.ResourceExhausted, "%s asked for more than %d certificates within an hour: try again later", caller, renewalsPerHour)
	}
	ca, err := s.o.Issuer.Issuing()
	if err != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "this hub renews no certificates because %v", err)
	}
	text, roots, err := s.o.Issuer.Roots()
	if err != nil {
		return nil, s.internal(ctx, "renew certificates", err)
	}
	requests := make([]Request, 0, len(req.GetRenewals()))
	var names []string
	for _, r := range req.GetRenewals() {
		one, err := s.successor(caller, r, ca, roots)
		if err != nil {
			return nil, s.refuseRenewal(ctx, caller, err)
		}
		requests = append(requests, one)
		names = append(names, string(one.ID.Role)+"/"+one.ID.Name)
	}
	pairs, err := s.o.Issuer.Issue(ca, requests...)
	if errors.Is(err, ErrRequest) {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err == nil {
		err = s.o.Issuer.Keep(ctx, requests, pairs)
	}
	if err != nil {
		return nil, s.internal(ctx, "renew certificates", err)
	}
	s.o.Auditor.Audit(ctx, &pb.AuditActivity{
		Actor: caller.String(), Operation: "certificate.renew", Target: strings.Join(names, " "), Success: true,
		Detail: "until " + pairs[0].Cert.NotAfter.UTC().Format(time.RFC3339),
	})
	if under, err := s.o.Issuer.Rotation(); err == nil && under.Stage != identity.StageNone {
		for _, r := range requests {
			s.rotation.succeeds(r.Replaces)
		}
	}
	out := &pb.RenewCertificatesResponse{Ca: string(text)}
	for _, p := range pairs {
		out.Certificates = append(out.Certificates, string(p.CertPEM))
	}
	return out, nil
}

func (s *Service) refuseRenewal(ctx context.Context, caller identity.ID, err error) error {
	s.o.Auditor.Audit(ctx, &pb.AuditActivity{
		Actor: caller.String(), Operation: "certificate.renew", Detail: status.Convert(err).Message(),
	})
	return err
}

// successor judges one renewal.
func (s *Service) successor(caller identity.ID, r *pb.CertificateRenewal, ca *identity.CA, roots []*x509.Certificate) (Request, error) {
	chain, err := identity.ParseCertificates([]byte(r.GetCertificate()))
	if err != nil {
		return Request{}, status.Errorf(codes.InvalidArgument, "certificate to renew: %v", err)
	}
	old := chain[0]
	if refused := identity.CheckIssued(chain, roots); refused != nil {
		return Request{}, status.Errorf(codes.PermissionDenied, "certificate to renew: %s", refused.Detail)
	}
	id, err := identity.FromCertificate(old)
	if err != nil {
		return Request{}, status.Errorf(codes.InvalidArgument, "certificate to renew: %v", err)
	}
	itself := id.Role == caller.Role && id.Name == caller.Name
	ofHost := caller.Role == identity.RoleNode && id.Role == identity.RoleAgent && id.Host() == caller.Host()
	if !itself && !ofHost {
		return Request{}, status.Errorf(codes.PermissionDenied, "%s may renew its own certificate, and a node those of its host's agents, but not %s", caller, id)
	}
	// Or what a certificate once allowed, such as to speak of others, would come back.
	if s.o.Now().After(old.NotAfter) {
		return Request{}, status.Errorf(codes.PermissionDenied, "the certificate of %s ended on %s: its host has to enrol again, with a new token",
			id, old.NotAfter.UTC().Format(time.RFC3339))
	}
	if why := s.o.Revocations.Refusal(id, old); why != "" {
		return Request{}, status.Error(codes.PermissionDenied, why)
	}
	return Request{
		ID: s.o.Issuer.ID(ca, id.Role, id.Name), CSR: r.GetCsr(), Observes: identity.Observes(old),
		TTL: lifetime(old, ca.Cert), NotBefore: old.NotBefore,
		Origin: state.OriginRenewal, For: caller.String(), Replaces: old.SerialNumber.Text(16),
	}, nil
}

// lifetime is what a certificate was issued for, at most the default: its successor
// lives as long. One that was cut short by the authority's own end counts as
// default.
func lifetime(old, ca *x509.Certificate) time.Duration {
	life := old.NotAfter.Sub(old.NotBefore)
	if life <= 0 || life > identity.DefaultLeafTTL || old.NotAfter.Equal(ca.NotAfter) {
		return identity.DefaultLeafTTL
	}
	return life
}

// renewalsPerHour is for how many certificates one identity may ask: a bearer gone
// wild must fill neither the disk nor the audit trail.
const renewalsPerHour = 600

// renewals counts certificates of the present hour by identity. It holds no more
// entries than identities have connected in it.
type renewals struct {
	mu    sync.Mutex // guards what follows
	since time.Time
	used  map[identity.ID]int
}

func (l *renewals) take(id identity.ID, n int, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := now.Sub(l.since); age < 0 || age >= time.Hour {
		l.since = now
		clear(l.used)
	}
	if l.used[id]+n > renewalsPerHour {
		return false
	}
	l.used[id] += n
	return true
}
