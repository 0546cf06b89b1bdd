// Package accounts is the hub's Accounts service: logins, sessions, passwords and
// roles of people, for any number of dashboards and the command line.
//
// A session is a random token of 256 bits of which the hub keeps the hash. It
// ends after a time without use, after an absolute time, at logout, and when the
// password changes. Logins are limited by name and address, by address, and over
// all, and cost the same whether or not the name exists. Every login, logout and
// change is audited.
package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/state/password"
)

// Store keeps users and sessions; *state.DB does.
type Store interface {
	User(ctx context.Context, name string) (state.User, error)
	Users(ctx context.Context) ([]state.User, error)
	CreateUser(ctx context.Context, u state.User) error
	SetPassword(ctx context.Context, name, hash string, keep []byte) (ended int, err error)
	SetRole(ctx context.Context, name string, role state.Role) error
	RemoveUser(ctx context.Context, name string) (ended int, err error)
	CreateSession(ctx context.Context, s state.Session) error
	Session(ctx context.Context, tokenHash [sha256.Size]byte) (state.Session, state.User, error)
	TouchSession(ctx context.Context, tokenHash [sha256.Size]byte, seen time.Time) error
	DeleteSession(ctx context.Context, tokenHash [sha256.Size]byte) error
	// SignedInFrom returns the addresses from which a user's sessions were opened.
	SignedInFrom(ctx context.Context, user string) ([]string, error)
}

// Auditor records an act; *audit.Trail does.
type Auditor interface {
	Audit(ctx context.Context, act *pb.AuditActivity)
}

// Hasher checks and makes password hashes; *password.Hasher does.
type Hasher interface {
	Hash(ctx context.Context, plain string) (string, error)
	Verify(ctx context.Context, hash, plain string) (bool, error)
	// Decoy returns a hash that costs what others do and that nothing matches.
	Decoy() string
}

// Options are what the service needs.
type Options struct {
	Store   Store
	Auditor Auditor
	// Caller names whoever makes a call, for the audit trail; nil names nobody.
	Caller func(context.Context) string
	// Hasher checks and makes passwords; nil is argon2id with RFC 9106's second
	// recommended costs, two at a time.
	Hasher Hasher
	// Idle ends a session that is not used; 0 is 12 hours.
	Idle time.Duration
	// Absolute ends every session; 0 is 7 days.
	Absolute time.Duration
	Now      func() time.Time
	Logger   *slog.Logger
}

// Service implements the Accounts service.
type Service struct {
	pb.UnimplementedAccountsServer
	o Options

	tries tries

	// decoy makes an unknown name cost what a known one does.
	decoy string
}

const (
	touchEvery   = time.Minute
	maxPassword  = 256
	maxUserAgent = 256
)

// New returns the service.
func New(o Options) *Service {
	if o.Hasher == nil {
		o.Hasher = password.New(password.Recommended(), 1) // 64 MiB, on as many processors as there are
	}
	if o.Idle <= 0 {
		o.Idle = 12 * time.Hour
	}
	if o.Absolute <= 0 {
		o.Absolute = 7 * 24 * time.Hour
	}
	if o.Caller == nil {
		o.Caller = func(context.Context) string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	return &Service{o: o, tries: newTries(), decoy: o.Hasher.Decoy()}
}

// Login checks a password and opens a session.
func (s *Service) Login(ctx context.Context, req *pb.LoginRequest) (*pb.LoginResponse, error) {
	now := s.o.Now()
	name, ip := req.GetName(), req.GetSrcIp()
	if len(name) > state.MaxNameBytes || len(req.GetPassword()) > maxPassword || len(ip) > 64 {
		return nil, errCredentials()
	}
	done, err := s.admit(ctx, name, ip, now)
	if err != nil {
		return nil, err
	}
	user, err := s.check(ctx, name, req.GetPassword())
	done()
	if err != nil {
		if status.Code(err) == codes.Unauthenticated {
			s.audit(ctx, name, "user.login", ip, "wrong name or password", false)
		}
		return nil, err
	}
	s.tries.succeeded(name, limit.Network(ip), now)
	token := newToken()
	session := state.Session{
		TokenHash: sha256.Sum256([]byte(token)), User: user.Name, Created: now, LastSeen: now,
		Expires: now.Add(s.o.Absolute), SrcIP: ip, UserAgent: req.GetUserAgent()[:min(len(req.GetUserAgent()), maxUserAgent)],
	}
	if err := s.o.Store.CreateSession(ctx, session); err != nil {
		return nil, s.internal(ctx, "create session", err)
	}
	s.audit(ctx, user.Name, "user.login", ip, "", true)
	user.LastLogin = now
	return &pb.LoginResponse{
		Token: token, CsrfToken: csrfToken(token), User: account(user), ExpiresTime: timestamppb.New(s.ends(session, now)),
	}, nil
}

// check returns the user if the password is right.
func (s *Service) check(ctx context.Context, name, plain string) (state.User, error) {
	user, err := s.o.Store.User(ctx, name)
	known := err == nil
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return state.User{}, s.internal(ctx, "read user", err)
	}
	hash := user.PasswordHash
	if !known {
		hash = s.decoy
	}
	ok, err := s.o.Hasher.Verify(ctx, hash, plain)
	if err != nil {
		return state.User{}, s.hashing(ctx, err)
	}
	if !ok || !known {
		return state.User{}, errCredentials()
	}
	return user, nil
}

// Session returns the session of a token.
func (s *Service) Session(ctx context.Context, req *pb.SessionRequest) (*pb.SessionResponse, error) {
	session, user, err := s.session(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	return &pb.SessionResponse{
		User: account(user), CsrfToken: csrfToken(req.GetToken()),
		ExpiresTime: timestamppb.New(s.ends(session, s.o.Now())),
	}, nil
}

// UserOf returns the user of a session, or UNAUTHENTICATED, for services beside this one
// that act for people.
func (s *Service) UserOf(ctx context.Context, token string) (state.User, error) {
	_, user, err := s.session(ctx, token)
	return user, err
}

// session finds a live session and notes its use.
func (s *Service) session(ctx context.Context, token string) (state.Session, state.User, error) {
	if len(token) != tokenLen {
		return state.Session{}, state.User{}, errNoSession()
	}
	now := s.o.Now()
	hash := sha256.Sum256([]byte(token))
	session, user, err := s.o.Store.Session(ctx, hash)
	if errors.Is(err, state.ErrNotFound) {
		return state.Session{}, state.User{}, errNoSession()
	}
	if err != nil {
		return state.Session{}, state.User{}, s.internal(ctx, "read session", err)
	}
	if !now.Before(session.Expires) || !now.Before(session.LastSeen.Add(s.o.Idle)) {
		if err := s.o.Store.DeleteSession(ctx, hash); err != nil {
			s.o.Logger.WarnContext(ctx, "expired session not dropped", "error", err)
		}
		return state.Session{}, state.User{}, errNoSession()
	}
	// Once a minute is exact enough, and spares the disk a write for each request.
	if now.Sub(session.LastSeen) >= min(touchEvery, s.o.Idle/2) {
		if err := s.o.Store.TouchSession(ctx, hash, now); err != nil {
			s.o.Logger.WarnContext(ctx, "use of session not noted", "error", err)
		}
	}
	return session, user, nil
}

// ends is when a session used now will end if it is not used again.
func (s *Service) ends(session state.Session, now time.Time) time.Time {
	if idle := now.Add(s.o.Idle); idle.Before(session.Expires) {
		return idle
	}
	return session.Expires
}

// Logout ends a session. Ending none is no error.
func (s *Service) Logout(ctx context.Context, req *pb.LogoutRequest) (*pb.LogoutResponse, error) {
	session, user, err := s.session(ctx, req.GetToken())
	if status.Code(err) == codes.Unauthenticated {
		return &pb.LogoutResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.o.Store.DeleteSession(ctx, session.TokenHash); err != nil {
		return nil, s.internal(ctx, "end session", err)
	}
	s.audit(ctx, user.Name, "user.logout", session.SrcIP, "", true)
	return &pb.LogoutResponse{}, nil
}

// tokenLen is the length of an encoded token.
const tokenLen = 43

func newToken() string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails: crypto/rand
	return base64.RawURLEncoding.EncodeToString(secret)
}

// csrfToken is derived from the session's secret, so that there is no second
// secret to keep; it does not give the first away.
func csrfToken(token string) string {
	sum := sha256.Sum256([]byte("amoskys csrf\x00" + token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (s *Service) audit(ctx context.Context, actor, operation, ip, detail string, success bool) {
	s.record(ctx, &pb.AuditActivity{
		Actor: actor, Operation: operation, Target: actor, Success: success, Detail: detail, SrcIp: ip,
	})
}

func (s *Service) record(ctx context.Context, act *pb.AuditActivity) {
	if s.o.Auditor != nil {
		s.o.Auditor.Audit(ctx, act)
	}
}

func account(u state.User) *pb.UserAccount {
	a := &pb.UserAccount{Name: u.Name, CreatedTime: timestamppb.New(u.Created)}
	if !u.LastLogin.IsZero() {
		a.LastLoginTime = timestamppb.New(u.LastLogin)
	}
	for role, word := range roles() {
		if word == u.Role {
			a.Role = role
		}
	}
	return a
}

func errCredentials() error { return status.Error(codes.Unauthenticated, "wrong name or password") }

func errNoSession() error {
	return status.Error(codes.Unauthenticated, "no such session, or it has ended")
}

// errTooMany asks to come back after wait.
func errTooMany(wait time.Duration) error {
	st := status.New(codes.ResourceExhausted, "too many tries, wait "+wait.Round(time.Second).String())
	if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)}); err == nil {
		st = detailed
	}
	return st.Err()
}

func (s *Service) hashing(ctx context.Context, err error) error {
	if errors.Is(err, password.ErrBusy) {
		return errTooMany(time.Second)
	}
	return s.internal(ctx, "check password", err)
}

// internal logs an error and hides it from the caller.
func (s *Service) internal(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	s.o.Logger.ErrorContext(ctx, "accounts request failed", "error", err, "doing", doing)
	return status.Errorf(codes.Internal, "cannot %s: %s", doing, state.Explain(err))
}
