// Package enroll lets new hosts join. People make tokens over the Enrollment
// service; a host that has one gets certificates against signing requests over the
// Handler, which the hub serves on connections that can do nothing else.
//
// Of a token the hub keeps id and hash. It works as often as it says, once unless
// it is a join token, until it ends or is revoked, and for the host or the pattern
// of hosts it was made for. Certificates are issued by the authority in the hub's
// certs/ folder; where its key is not there, enrolment is off. Every token made,
// revoked, used or refused is audited.
//
// A name that another machine has is given again, because machines are replaced;
// but whoever asks is warned, and so is the audit trail.
package enroll

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/hub/certificates"
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
	Enrol(ctx context.Context, id state.TokenID, secretHash [sha256.Size]byte, host, by string, certs ...state.Certificate) error
	RevokeToken(ctx context.Context, id state.TokenID) error
	ExtendToken(ctx context.Context, t state.Token) error
	Certificates(ctx context.Context, host string, since time.Time, limit int) ([]state.Certificate, error)
}

// Auditor records an act; *audit.Trail does.
type Auditor interface {
	Audit(ctx context.Context, act *pb.AuditActivity)
}

// Options are what the service needs. Store, Auditor and Issuer are required.
type Options struct {
	Store   Store
	Auditor Auditor
	Issuer  *certificates.Issuer
	// Caller names whoever makes a call.
	Caller func(context.Context) string
	// Kinds are the observing kinds that there are: a token for others is a mistake.
	// Empty means that any may be.
	Kinds []string
	// Reach says where other hosts reach the hub; see [Listening.Reach]. nil says nothing.
	Reach func() (addr, note string)
	// Connected says whether the node of a host is connected now; nil knows of none.
	Connected func(host string) bool
	Now       func() time.Time
	Logger    *slog.Logger
}

// Service implements the Enrollment service and, by Handler, enrolment itself.
type Service struct {
	pb.UnimplementedEnrollmentServer
	o        Options
	limits   *limits
	standing stands
}

// Bounds of tokens.
const (
	defaultTTL = time.Hour
	maxTTL     = 30 * 24 * time.Hour
	maxUses    = 10_000
	maxPattern = 253
	maxKinds   = 64
)

// New returns the service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.Caller == nil {
		o.Caller = func(context.Context) string { return "" }
	}
	if o.Reach == nil {
		o.Reach = func() (addr, note string) { return "", "" }
	}
	if o.Connected == nil {
		o.Connected = func(string) bool { return false }
	}
	return &Service{o: o, limits: newLimits()}
}

// authority reads the authority; the error says that enrolment is off, and why.
func (s *Service) authority() (*identity.CA, error) {
	ca, err := s.o.Issuer.Authority()
	if err != nil {
		return nil, fmt.Errorf("enrolment is off because %w", err)
	}
	return ca, nil
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
	ca, err := s.authority()
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	kept, err := s.wanted(ca, req)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	token := identity.NewToken(ca.Cert)
	kept.ID, kept.SecretHash, kept.CreatedBy = token.ID, token.SecretHash(), s.o.Caller(ctx)
	if actor := strings.ToValidUTF8(req.GetActor(), "?"); actor != "" && len(actor) <= maxPattern {
		kept.CreatedBy = actor + " by " + kept.CreatedBy
	}
	if err := s.o.Store.CreateToken(ctx, kept); err != nil {
		return nil, s.internal(ctx, "create token", err)
	}
	s.o.Auditor.Audit(ctx, &pb.AuditActivity{
		Actor: kept.CreatedBy, Operation: "token.create", Target: hex.EncodeToString(kept.ID[:]), Success: true,
		Detail: describe(kept),
	})
	addr, note := s.o.Reach()
	return &pb.CreateTokenResponse{Token: token.Text(), Info: info(kept), Hub: addr, HubNote: note}, nil
}

// wanted is the token that a request describes, or what is wrong with it.
func (s *Service) wanted(ca *identity.CA, req *pb.CreateTokenRequest) (state.Token, error) {
	ttl := defaultTTL
	if req.GetTtl() != nil {
		ttl = req.GetTtl().AsDuration()
	}
	now := s.o.Now()
	t := state.Token{
		Uses: int(max(req.GetUses(), 1)), HostPattern: req.GetHostPattern(), Kinds: req.GetKinds(), Created: now, Expires: now.Add(ttl),
	}
	switch {
	case ttl < time.Second || ttl > maxTTL:
		return t, fmt.Errorf("a token may live from 1 second to %d days, not %s", maxTTL/(24*time.Hour), ttl)
	case t.Uses > maxUses:
		return t, fmt.Errorf("a token may be used %d times at most, not %d", maxUses, t.Uses)
	case req.GetHost() != "" && t.HostPattern != "":
		return t, errors.New("a token is for one host or for a pattern of hosts, not for both")
	}
	if req.GetHost() != "" {
		id := s.o.Issuer.ID(ca, identity.RoleAgent, req.GetHost()).Normal()
		if err := checkHost(id); err != nil {
			return t, err
		}
		t.Host = id.Name
	}
	if err := checkPattern(t.HostPattern); err != nil {
		return t, err
	}
	if err := checkKinds(t.Kinds); err != nil {
		return t, err
	}
	for _, k := range t.Kinds {
		if len(s.o.Kinds) > 0 && !slices.Contains(s.o.Kinds, k) {
			return t, fmt.Errorf("there is no observing kind %q of agents; valid: %s", k, strings.Join(s.o.Kinds, ", "))
		}
	}
	return t, nil
}

// checkPattern returns what is wrong with a pattern of hosts, or nil. Names are
// compared in normal form, so a pattern with capitals would never match.
func checkPattern(pattern string) error {
	_, err := path.Match(pattern, "")
	switch {
	case err != nil:
		return fmt.Errorf("host pattern %.100q: a [ is not closed, or a \\ ends it", pattern)
	case len(pattern) > maxPattern || strings.Contains(pattern, "/"):
		return fmt.Errorf("host pattern %.100q: want at most %d bytes and no /", pattern, maxPattern)
	case pattern != strings.ToLower(pattern) || strings.ContainsFunc(pattern, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return fmt.Errorf("host pattern %.100q: names of hosts are compared in lower case, without blanks", pattern)
	}
	return nil
}

// checkKinds returns what is wrong with observing kinds, or nil.
func checkKinds(kinds []string) error {
	if len(kinds) > maxKinds {
		return fmt.Errorf("%d kinds are more than %d", len(kinds), maxKinds)
	}
	for _, k := range kinds {
		if err := identity.CheckKind(k); err != nil {
			return err
		}
	}
	return nil
}

// describe says in words what a token is for.
func describe(t state.Token) string {
	text := "any host"
	switch {
	case t.Host != "":
		text = "host " + t.Host
	case t.HostPattern != "":
		text = "hosts " + t.HostPattern
	}
	if t.Uses > 1 {
		text += ", " + strconv.Itoa(t.Uses) + " uses"
	}
	if len(t.Kinds) > 0 {
		text += ", observing " + strings.Join(t.Kinds, " ")
	}
	return text + ", until " + stamp(t.Expires)
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

// RevokeToken makes a token useless that has uses left.
func (s *Service) RevokeToken(ctx context.Context, req *pb.RevokeTokenRequest) (*pb.RevokeTokenResponse, error) {
	var id state.TokenID
	if n, err := hex.Decode(id[:], []byte(req.GetId()[:min(len(req.GetId()), 2*len(id))])); err != nil || n != len(id) || len(req.GetId()) != 2*n {
		return nil, status.Errorf(codes.InvalidArgument, "id %.64q is not the id of a token: 32 hexadecimal digits, as amoskys token list shows", req.GetId())
	}
	if s.standing.is(id) {
		return nil, status.Error(codes.FailedPrecondition, "this token stands in the hub's configuration, enrollment.join_token: take it away there, or put another in its place, and it ends within a minute")
	}
	err := s.o.Store.RevokeToken(ctx, id)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return nil, s.internal(ctx, "revoke token", err)
	}
	act := &pb.AuditActivity{Actor: s.o.Caller(ctx), Operation: "token.revoke", Target: hex.EncodeToString(id[:]), Success: err == nil}
	if err != nil {
		act.Detail = "there is no token of this id with a use left"
	}
	s.o.Auditor.Audit(ctx, act)
	if err != nil {
		return nil, status.Errorf(codes.NotFound, "there is no token %x with a use left", id[:])
	}
	return &pb.RevokeTokenResponse{}, nil
}

func info(t state.Token) *pb.EnrollmentToken {
	out := &pb.EnrollmentToken{
		Id: hex.EncodeToString(t.ID[:]), Host: t.Host, CreatedTime: timestamppb.New(t.Created), ExpiresTime: timestamppb.New(t.Expires),
		CreatedBy: t.CreatedBy, UsedBy: t.UsedBy,
		Uses: uint32(t.Uses), UsedCount: uint32(t.UsedCount), HostPattern: t.HostPattern, Kinds: t.Kinds,
	}
	if !t.Used.IsZero() {
		out.UsedTime = timestamppb.New(t.Used)
	}
	return out
}

// internal hides from the caller what the log tells.
func (s *Service) internal(ctx context.Context, what string, err error) error {
	s.o.Logger.ErrorContext(ctx, "enrolment failed", obs.KeyMethod, what, obs.KeyError, err)
	return status.Errorf(codes.Internal, "%s: %s", what, state.Explain(err))
}
