package fleet

import (
	"context"
	"crypto/x509"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// lookEvery is how often it is looked which hosts have become silent.
const lookEvery = time.Second

// RunFindings publishes what the hub finds out about hosts until ctx ends, and
// returns nil then.
func (s *Service) RunFindings(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-s.sightings.findings:
			if s.o.Find == nil {
				continue
			}
			if err := s.o.Find(ctx, f); err != nil && ctx.Err() == nil {
				s.o.Logger.ErrorContext(ctx, "finding not published", "error", err, "type", f.Name, "host", f.Host)
			}
		case <-tick.C:
			s.Look()
		}
	}
}

// Look searches for hosts that have gone silent.
func (s *Service) Look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	s.lookForSilent(now)
	s.sightings.expire(now)
}

// Warnings are what people should know of a host.
func (s *Service) Warnings(host string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.sightings.warning(host, s.o.Now()); w != "" {
		return []string{w}
	}
	return nil
}

// sight notes a stream that takes the place of another, if open. The caller holds mu.
func (s *Service) sight(ctx context.Context, n *node, hello *pb.NodeHello, open bool) {
	a := sighting{machine: cut(hello.GetHost().GetId(), maxText), instance: cut(hello.GetInstanceId(), maxText), addr: addrOf(ctx)}
	if s.sightings.came(n.id, a, open, s.o.Now()) {
		s.o.Logger.WarnContext(ctx, "two machines of one name", "node", n.id, "reason", s.sightings.byNode[n.id].warning)
	}
}

// addrOf is the address that a call comes from.
func addrOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return "an unknown address"
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return cut(p.Addr.String(), maxText)
	}
	return host
}

// known puts on an agent's status what the hub alone knows: when the certificate
// ends that it or its node connects with, and what people should know of its host.
// The caller holds mu.
func (s *Service) known(n *node, a *pb.AgentStatus) {
	a.Warning, a.CertificateNotAfter = s.sightings.warning(n.id, s.o.Now()), nil
	if s.o.Certificate == nil {
		return
	}
	cert := s.o.Certificate(n.host, a.GetId())
	if cert == nil {
		return
	}
	a.CertificateNotAfter = timestamppb.New(cert.NotAfter)
	if late := lateCertificate(cert, s.o.Now()); late != "" {
		a.Warning = strings.TrimPrefix(a.GetWarning()+"; "+late, "; ")
	}
}

// lateCertificate says that a certificate should have been renewed; nothing while
// there is time. A connection that is open outlasts it.
func lateCertificate(cert *x509.Certificate, now time.Time) string {
	end := cert.NotAfter.UTC().Format(time.RFC3339)
	switch {
	case now.After(cert.NotAfter):
		return "its certificate expired on " + end + ", so it cannot connect again: " + identity.EnrolAgain
	case !now.Before(identity.RenewLate(cert)):
		return "its certificate ends on " + end + " and was not renewed: logs/node.log on the host says why"
	default:
		return ""
	}
}
