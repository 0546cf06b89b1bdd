// Package certificates keeps the certificates of a fleet alive, and ends them: it
// issues (Issuer), renews, lists and revokes.
//
// A revocation names either one certificate, by its serial, or an identity. The
// latter ends every certificate of that identity which began before it: those in
// use, those that were renewed from them, and those of another tool alike. A host
// that enrols again gets certificates that begin no earlier than the revocation,
// and so they work. Nothing has to be remembered of certificates for that.
// Certificates of the identity that are known to begin later all the same, as those
// from a clock that was ahead, are revoked by serial with it. Package revoked says
// what targets mean; stores follow the list.
//
// A certificate agent/HOST speaks for each agent of its host, so revoking HOST/ID
// ends it too, and with it the other agents that connect with it.
package certificates

import (
	"context"
	"crypto/x509"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/revoked"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// Store keeps certificates and revocations; *state.DB does.
type Store interface {
	NoteCertificates(ctx context.Context, certs []state.Certificate) error
	Certificates(ctx context.Context, host string, since time.Time, limit int) ([]state.Certificate, error)
	Certificate(ctx context.Context, serial string) (state.Certificate, error)
	Revoke(ctx context.Context, list ...state.Revocation) error
}

// Auditor records an act; *audit.Trail does.
type Auditor interface {
	Audit(ctx context.Context, act *pb.AuditActivity)
}

// Peers are the live connections; *hub.Hub has them.
type Peers interface {
	// CutPeers closes the connections whose certificate matches, at once, and
	// returns how many those were.
	CutPeers(match func(identity.ID, *x509.Certificate) bool) int
	// EachPeer calls do for every connection.
	EachPeer(do func(identity.ID, *x509.Certificate))
	// EachPeerOf calls do for those of one identity, at no cost of the others: each
	// host may ask for them.
	EachPeerOf(id identity.ID, do func(*x509.Certificate))
}

// Options are what a Service needs. All but Own, Agents, Warnings, Now and Logger
// are required.
type Options struct {
	Store       Store
	Issuer      *Issuer
	Revocations *revoked.List
	Auditor     Auditor
	// Peers returns the live connections; it is called when they are needed, because
	// the hub is made after its services.
	Peers func() Peers
	// Caller is who makes a call, and with which certificate.
	Caller func(ctx context.Context) (identity.ID, *x509.Certificate, bool)
	// Own is the hub's own certificate; nil when it cannot be read.
	Own func() *x509.Certificate
	// Agents names the agents that are known of a host.
	Agents func(host string) []string
	// Warnings are what people should know of a host.
	Warnings func(host string) []string
	// Tell sends a node a command, and says whether it is on its way; nil to nobody.
	Tell   func(nodeID string, c *pb.NodeCommand) bool
	Now    func() time.Time
	Logger *slog.Logger
}

// Service implements the Certificates service.
type Service struct {
	pb.UnimplementedCertificatesServer
	o        Options
	limits   renewals
	rotation rotation

	mu   sync.Mutex // guards seen and owed
	seen map[string]state.Certificate
	owed []state.Revocation // in force and not on disk; bounded by what a person types
	wake chan struct{}
}

// New returns the service. Run must be called too.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.Own == nil {
		o.Own = func() *x509.Certificate { return nil }
	}
	if o.Agents == nil {
		o.Agents = func(string) []string { return nil }
	}
	if o.Tell == nil {
		o.Tell = func(string, *pb.NodeCommand) bool { return false }
	}
	if o.Warnings == nil {
		o.Warnings = func(string) []string { return nil }
	}
	return &Service{
		o: o, limits: renewals{used: map[identity.ID]int{}}, rotation: newRotation(),
		seen: map[string]state.Certificate{}, wake: make(chan struct{}, 1),
	}
}

// maxSeen bounds the certificates that wait to be noted; more are noted when they
// connect again.
const maxSeen = 4_096

// Seen notes a certificate that has connected, so that those of other tools are
// listed too. It never blocks.
func (s *Service) Seen(id identity.ID, cert *x509.Certificate) {
	c := describe(cert, id)
	c.Known = s.o.Now()
	s.mu.Lock()
	if len(s.seen) < maxSeen {
		s.seen[c.Serial] = c
	}
	s.mu.Unlock()
	s.nudge()
}

// noteEvery spaces writes, so that a fleet that comes back is few transactions.
const noteEvery = time.Second

// Run writes down what was seen until ctx ends, and once more then.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			s.Flush(last)
			return nil
		case <-s.wake:
		}
		s.Flush(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// payEvery is how often a full disk is tried, or a database that is away.
const payEvery = 10 * time.Second

// nudge wakes Run.
func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// owe notes revocations that could not be written down.
func (s *Service) owe(list []state.Revocation) {
	s.mu.Lock()
	s.owed = append(s.owed, list...)
	s.mu.Unlock()
	s.nudge()
}

// pay writes down what is owed, if that can be. Several may call it at once: each takes
// what it writes, and puts back what it could not.
func (s *Service) pay(ctx context.Context) {
	s.mu.Lock()
	owed := s.owed
	s.owed = nil
	s.mu.Unlock()
	if len(owed) == 0 {
		return
	}
	if err := s.o.Store.Revoke(ctx, owed...); err != nil {
		s.mu.Lock()
		s.owed = append(owed, s.owed...)
		s.mu.Unlock()
		s.o.Logger.ErrorContext(ctx, "revocations are in force and not on disk yet", obs.KeyCount, len(owed), obs.KeyError, err)
		time.AfterFunc(payEvery, s.nudge)
		return
	}
	s.o.Logger.InfoContext(ctx, "revocations are on disk", obs.KeyCount, len(owed))
}

// Flush writes down what was seen since the last time, and what is owed.
func (s *Service) Flush(ctx context.Context) {
	s.pay(ctx)
	s.mu.Lock()
	seen := s.seen
	s.seen = map[string]state.Certificate{}
	s.mu.Unlock()
	if len(seen) == 0 {
		return
	}
	certs := make([]state.Certificate, 0, len(seen))
	for _, c := range seen {
		certs = append(certs, c)
	}
	err := s.o.Store.NoteCertificates(ctx, certs)
	if err == nil {
		return
	}
	if ctx.Err() == nil {
		s.o.Logger.WarnContext(ctx, "certificates that connected not noted, will try again", obs.KeyError, err, obs.KeyCount, len(certs))
	}
	s.mu.Lock()
	for serial, c := range seen {
		if len(s.seen) < maxSeen {
			s.seen[serial] = c
		}
	}
	s.mu.Unlock()
	time.AfterFunc(payEvery, s.nudge)
}

// maxListed bounds an answer, which must fit into a message.
const maxListed = 10_000

// ListCertificates returns what is known of certificates.
func (s *Service) ListCertificates(ctx context.Context, req *pb.ListCertificatesRequest) (*pb.ListCertificatesResponse, error) {
	host := identity.ID{Name: req.GetHost()}.Normal().Name
	since := s.o.Now()
	if req.GetAll() {
		since = time.Time{}
	}
	s.Flush(ctx)
	kept, err := s.o.Store.Certificates(ctx, host, since, maxListed+1)
	if err != nil {
		return nil, s.internal(ctx, "list certificates", err)
	}
	out := &pb.ListCertificatesResponse{Truncated: len(kept) > maxListed}
	open := s.connections()
	for _, c := range kept[:min(len(kept), maxListed)] {
		m := s.message(c, open)
		if m.GetRevokedTime() == nil || req.GetAll() {
			out.Certificates = append(out.Certificates, m)
		}
	}
	return out, nil
}

// CheckCertificate tells a host what it cannot know by itself.
func (s *Service) CheckCertificate(ctx context.Context, _ *pb.CheckCertificateRequest) (*pb.CheckCertificateResponse, error) {
	id, cert, ok := s.o.Caller(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "the connection carries no client certificate")
	}
	c := describe(cert, id)
	if kept, err := s.o.Store.Certificate(ctx, c.Serial); err == nil {
		c = kept
	}
	open := map[string]uint32{}
	s.o.Peers().EachPeerOf(id, func(cert *x509.Certificate) { open[cert.SerialNumber.Text(16)]++ })
	out := &pb.CheckCertificateResponse{Certificate: s.message(c, open), Warnings: s.o.Warnings(id.Host())}
	if ca, err := s.o.Issuer.Issuing(); err == nil {
		out.IssuingAuthority = identity.Fingerprint(ca.Cert)
	}
	if text, _, err := s.o.Issuer.Roots(); err == nil {
		out.Ca = string(text)
	}
	return out, nil
}

// connections counts what is open by serial.
func (s *Service) connections() map[string]uint32 {
	open := map[string]uint32{}
	s.o.Peers().EachPeer(func(_ identity.ID, cert *x509.Certificate) { open[cert.SerialNumber.Text(16)]++ })
	return open
}

// internal hides from the caller what the log tells.
func (s *Service) internal(ctx context.Context, what string, err error) error {
	s.o.Logger.ErrorContext(ctx, "certificates failed", obs.KeyMethod, what, obs.KeyError, err)
	return status.Errorf(codes.Internal, "%s: %s", what, state.Explain(err))
}

var _ pb.CertificatesServer = (*Service)(nil)
