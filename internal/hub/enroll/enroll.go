// Package enroll lets new hosts join. People make one-time tokens over the
// Enrollment service; a host that has one gets certificates against signing
// requests over the Handler, which the hub serves on connections that can do
// nothing else.
//
// Of a token the hub keeps id and hash. It works once, until it ends or is
// revoked, and for one host if it was made for one. Certificates are issued by
// the authority in the hub's certs/ folder; where its key is not there, enrolment
// is off. Every token made, revoked, used or refused is audited.
package enroll

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// Store keeps tokens; *state.DB does.
type Store interface {
	CreateToken(ctx context.Context, t state.Token) error
	Token(ctx context.Context, id state.TokenID) (state.Token, error)
	Tokens(ctx context.Context) ([]state.Token, error)
	UseToken(ctx context.Context, id state.TokenID, secretHash [sha256.Size]byte, host, by string) error
	RevokeToken(ctx context.Context, id state.TokenID) error
}

// Auditor records an act; *audit.Trail does.
type Auditor interface {
	Audit(ctx context.Context, act *pb.AuditActivity)
}

// Options are what the service needs. Store, Auditor, CACert and CAKey are
// required.
type Options struct {
	Store   Store
	Auditor Auditor
	// CACert and CAKey are the authority's files. They are read whenever they are
	// needed, so that the key may come and go.
	CACert, CAKey string
	// Domain is the trust domain if the authority names none.
	Domain string
	// Caller names whoever makes a call.
	Caller func(context.Context) string
	Now    func() time.Time
	Logger *slog.Logger
}

// Service implements the Enrollment service and, by Handler, enrolment itself.
type Service struct {
	pb.UnimplementedEnrollmentServer
	o      Options
	limits *limits
}

// Lifetimes of tokens.
const (
	defaultTTL = time.Hour
	maxTTL     = 30 * 24 * time.Hour
)

// New returns the service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Caller == nil {
		o.Caller = func(context.Context) string { return "" }
	}
	if o.Domain == "" {
		o.Domain = identity.DefaultDomain
	}
	return &Service{o: o, limits: newLimits()}
}

// authority reads the files; the error says that enrolment is off, and why.
func (s *Service) authority() (*identity.CA, error) {
	ca, err := identity.LoadCA(s.o.CACert, s.o.CAKey)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("enrolment is off because %s is not there: put the authority's key back on this hub, "+
			"or issue the certificates where it is", s.o.CAKey)
	case err != nil:
		return nil, fmt.Errorf("enrolment is off: %w", err)
	}
	return ca, nil
}

// id is the identity of a host in a role.
func (s *Service) id(ca *identity.CA, role identity.Role, host string) identity.ID {
	domain := ca.Domain()
	if domain == "" {
		domain = s.o.Domain
	}
	return identity.ID{Domain: domain, Role: role, Name: host}
}

// checkHost returns what is wrong with the name of a host, or nil.
func checkHost(id identity.ID) error {
	if id.AgentID() != "" {
		return fmt.Errorf("host %q: the name of a host has no /", id.Name)
	}
	return id.Validate()
}

// CreateToken makes a token.
func (s *Service) CreateToken(ctx context.Context, req *pb.CreateTokenRequest) (*pb.CreateTokenResponse, error) {
	ttl := defaultTTL
	if req.GetTtl() != nil {
		ttl = req.GetTtl().AsDuration()
	}
	if ttl < time.Second || ttl > maxTTL {
		return nil, status.Errorf(codes.InvalidArgument, "a token may live from 1 second to %d days, not %s", maxTTL/(24*time.Hour), ttl)
	}
	ca, err := s.authority()
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	if host := req.GetHost(); host != "" {
		if err := checkHost(s.id(ca, identity.RoleAgent, host)); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
	}
	now := s.o.Now()
	token := identity.NewToken(ca.Cert)
	kept := state.Token{
		ID: token.ID, SecretHash: token.SecretHash(), Host: req.GetHost(),
		Created: now, Expires: now.Add(ttl), CreatedBy: s.o.Caller(ctx),
	}
	if err := s.o.Store.CreateToken(ctx, kept); err != nil {
		return nil, s.internal(ctx, "create token", err)
	}
	detail := "any host"
	if kept.Host != "" {
		detail = "host " + kept.Host
	}
	s.o.Auditor.Audit(ctx, &pb.AuditActivity{
		Actor: kept.CreatedBy, Operation: "token.create", Target: hex.EncodeToString(kept.ID[:]), Success: true,
		Detail: detail + ", until " + kept.Expires.UTC().Format(time.RFC3339),
	})
	return &pb.CreateTokenResponse{Token: token.Text(), Info: info(kept)}, nil
}

// ListTokens returns what is kept of tokens.
func (s *Service) ListTokens(ctx context.Context, _ *pb.ListTokensRequest) (*pb.ListTokensResponse, error) {
	tokens, err := s.o.Store.Tokens(ctx)
	if err != nil {
		return nil, s.internal(ctx, "list tokens", err)
	}
	out := &pb.ListTokensResponse{Tokens: make([]*pb.EnrollmentToken, 0, len(tokens))}
	for _, t := range tokens {
		out.Tokens = append(out.Tokens, info(t))
	}
	return out, nil
}

// RevokeToken makes an unused token useless.
func (s *Service) RevokeToken(ctx context.Context, req *pb.RevokeTokenRequest) (*pb.RevokeTokenResponse, error) {
	var id state.TokenID
	if n, err := hex.Decode(id[:], []byte(req.GetId()[:min(len(req.GetId()), 2*len(id))])); err != nil || n != len(id) || len(req.GetId()) != 2*n {
		return nil, status.Errorf(codes.InvalidArgument, "id %.64q is not the id of a token: 32 hexadecimal digits, as amoskys token list shows", req.GetId())
	}
	err := s.o.Store.RevokeToken(ctx, id)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return nil, s.internal(ctx, "revoke token", err)
	}
	act := &pb.AuditActivity{Actor: s.o.Caller(ctx), Operation: "token.revoke", Target: hex.EncodeToString(id[:]), Success: err == nil}
	if err != nil {
		act.Detail = "there is no unused token of this id"
	}
	s.o.Auditor.Audit(ctx, act)
	if err != nil {
		return nil, status.Errorf(codes.NotFound, "there is no unused token %x", id[:])
	}
	return &pb.RevokeTokenResponse{}, nil
}

func info(t state.Token) *pb.EnrollmentToken {
	out := &pb.EnrollmentToken{
		Id: hex.EncodeToString(t.ID[:]), Host: t.Host, CreatedTime: timestamppb.New(t.Created), ExpiresTime: timestamppb.New(t.Expires),
		CreatedBy: t.CreatedBy, UsedBy: t.UsedBy,
	}
	if !t.Used.IsZero() {
		out.UsedTime = timestamppb.New(t.Used)
	}
	return out
}

// internal hides from the caller what the log tells.
func (s *Service) internal(ctx context.Context, what string, err error) error {
	s.o.Logger.ErrorContext(ctx, "enrolment failed", obs.KeyMethod, what, obs.KeyError, err)
	return status.Errorf(codes.Internal, "%s: the hub failed; its log says why", what)
}
