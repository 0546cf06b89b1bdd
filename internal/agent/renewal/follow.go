package renewal

import (
	"context"
	"crypto/x509"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Follow asks the hub which authorities are to be trusted, writes them down, and renews
// the certificates that another authority than the one which issues now has issued. A
// hub that says nothing of it, as an older one, changes nothing.
func (r *Renewer) Follow(ctx context.Context) ([]Renewed, error) {
	held, failed := r.hold()
	if len(held) == 0 {
		return nil, failed
	}
	conn, err := r.o.Dial()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing more is asked
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var hub peer.Peer
	wants, err := pb.NewCertificatesClient(conn).CheckCertificate(asking, &pb.CheckCertificateRequest{}, grpc.Peer(&hub))
	switch {
	case status.Code(err) == codes.Unimplemented:
		return nil, failed
	case err != nil:
		return nil, &refusal{identity.ExplainHandshake(err, r.o.Files()[0], r.o.Now())}
	case wants.GetCa() == "":
		return nil, failed
	}
	if err := identity.UpdateAuthorities(held[0].Files.CA, []byte(wants.GetCa()), chainOf(hub)); err != nil {
		return nil, err
	}
	roots, err := identity.ParseCertificates([]byte(wants.GetCa()))
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(roots, func(c *x509.Certificate) bool { return identity.Fingerprint(c) == wants.GetIssuingAuthority() })
	if i < 0 {
		return nil, failed
	}
	held = slices.DeleteFunc(held, func(h identity.Held) bool { return identity.IssuerOf(h.Cert, roots[i:i+1]) != nil })
	if len(held) == 0 {
		return nil, failed
	}
	return r.renew(ctx, held)
}
