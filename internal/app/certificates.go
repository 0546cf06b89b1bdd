package app

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/hub/certificates"
	"github.com/amoskys/amoskys/internal/hub/enroll"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/revoked"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// membership is what lets hosts join, keeps their certificates alive and ends
// them.
type membership struct {
	enroll       *enroll.Service
	certificates *certificates.Service
	revocations  *revoked.List
}

// membershipOptions are what a membership needs.
type membershipOptions struct {
	home    config.Home
	files   identity.Files // of the hub
	db      *state.DB
	auditor enroll.Auditor
	logger  *slog.Logger
	now     func() time.Time
	// peers returns the hub, which is made later.
	peers func() certificates.Peers
	// connected says whether a host's node is connected, agents names its agents, and
	// warnings are what people should know of it.
	connected func(host string) bool
	reach     func() (addr, note string)
	agents    func(host string) []string
	warnings  func(host string) []string
	// tell sends a node a command; nil to nobody.
	tell func(nodeID string, c *pb.NodeCommand) bool
}

// newMembership issues from the authority in the home's certs/ folder.
func newMembership(ctx context.Context, o membershipOptions) (*membership, error) {
	revocations, err := certificates.LoadRevocations(ctx, o.db)
	if err != nil {
		return nil, err
	}
	issuer := certificates.NewIssuer(certificates.IssuerOptions{
		CACert: o.files.CA, CAKey: filepath.Join(o.home.Certs(), "ca.key"), Domain: ownID(o.files.Cert).Domain,
		Store: o.db, Revoked: revocations.Since, Now: o.now,
	})
	return &membership{
		revocations: revocations,
		enroll: enroll.New(enroll.Options{
			Store: o.db, Auditor: o.auditor, Issuer: issuer, Caller: callerName, Connected: o.connected, Kinds: append(endpoint.Observing(), event.KindReplay), Reach: o.reach, Now: o.now, Logger: o.logger,
		}),
		certificates: certificates.New(certificates.Options{
			Store: o.db, Issuer: issuer, Revocations: revocations, Auditor: o.auditor, Peers: o.peers, Caller: caller,
			Own:    func() *x509.Certificate { return certificateOf(o.files.Cert) },
			Agents: o.agents, Warnings: o.warnings, Tell: o.tell, Now: o.now, Logger: o.logger,
		}),
	}, nil
}

// certificateOf reads a certificate; nil when it cannot be read.
func certificateOf(file string) *x509.Certificate {
	held, err := identity.Hold(identity.Files{Cert: file})
	if err != nil {
		return nil
	}
	return held.Cert
}

// caller is who makes a call, with the certificate of the connection.
func caller(ctx context.Context) (identity.ID, *x509.Certificate, bool) {
	id, ok := hub.Caller(ctx)
	cert, has := hub.CallerCertificate(ctx)
	return id, cert, ok && has
}

// listening is what is known now of where the hub can be reached.
func listening(cfg hub.Config, home config.Home) enroll.Listening {
	l := enroll.Listening{Host: cfg.Server.Host, Port: cfg.Server.Port, Cert: certificateOf(cfg.Files(home).Cert), Name: agent.Machine().GetName()}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return l // the names are known still
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			l.Addrs = append(l.Addrs, p.Addr())
		}
	}
	return l
}
