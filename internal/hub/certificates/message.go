package certificates

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// message is a certificate as people's tools get it. open counts connections by
// serial.
func (s *Service) message(c state.Certificate, open map[string]uint32) *pb.Certificate {
	m := &pb.Certificate{
		Serial: c.Serial, Identity: c.Identity, Observes: c.Observes,
		NotBefore: timestamppb.New(c.NotBefore), NotAfter: timestamppb.New(c.NotAfter),
		Origin: origins()[c.Origin], KnownTime: timestamppb.New(c.Known),
		IssuedFor: c.IssuedFor, Replaces: c.Replaces, MachineId: c.Machine, Connections: open[c.Serial],
	}
	if id, err := identity.Parse(c.Identity); err == nil {
		if r, ok := s.o.Revocations.Of(id, c.Serial, c.NotBefore); ok {
			m.RevokedTime, m.RevokedBy, m.RevokedReason = timestamppb.New(r.Time), r.Actor, r.Reason
		}
	}
	return m
}

func origins() map[state.Origin]pb.CertificateOrigin {
	return map[state.Origin]pb.CertificateOrigin{
		state.OriginEnrolment: pb.CertificateOrigin_CERTIFICATE_ORIGIN_ENROLLMENT,
		state.OriginRenewal:   pb.CertificateOrigin_CERTIFICATE_ORIGIN_RENEWAL,
		state.OriginElsewhere: pb.CertificateOrigin_CERTIFICATE_ORIGIN_ELSEWHERE,
	}
}
