// Package saved is the hub's SavedQueries service: queries that people keep for
// themselves or share, for any number of dashboards and the command line.
//
// A dashboard says for whom it asks by the token of their session, so that the hub,
// not the dashboard, decides what they may. The text of a query is not read here: the
// hub links no engine, and who saves it has checked it.
package saved

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// Store keeps queries; *state.DB does.
type Store interface {
	SavedQueries(ctx context.Context, owner string, all bool) ([]state.SavedQuery, error)
	SavedQuery(ctx context.Context, id int64) (state.SavedQuery, error)
	CreateSavedQuery(ctx context.Context, q state.SavedQuery, most state.SavedLimits) (id int64, err error)
	ChangeSavedQuery(ctx context.Context, before, after state.SavedQuery, most state.SavedLimits) error
	DeleteSavedQuery(ctx context.Context, q state.SavedQuery) error
}

// Sessions finds whose session a token is; *accounts.Service does.
type Sessions interface {
	// UserOf returns the user, or UNAUTHENTICATED.
	UserOf(ctx context.Context, token string) (state.User, error)
}

// Auditor records an act; *audit.Trail does.
type Auditor interface {
	Audit(ctx context.Context, act *pb.AuditActivity)
}

// Options are what the service needs.
type Options struct {
	Store    Store
	Sessions Sessions
	Auditor  Auditor
	// Operator returns the SPIFFE id of a caller who needs no session, empty for others.
	Operator func(context.Context) string
	Now      func() time.Time // nil is time.Now
	Logger   *slog.Logger     // nil says nothing
}

// Bounds on what is kept, so that a list of all fits into one answer.
const (
	// MaxOfOwner is how many queries one person may have, shared ones among them.
	MaxOfOwner = 100
	// MaxShared is how many may be shared.
	MaxShared = 500
)

// Service implements the SavedQueries service.
type Service struct {
	pb.UnimplementedSavedQueriesServer
	o Options
}

// New returns the service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	return &Service{o: o}
}

// caller is for whom a call is.
type caller struct {
	name string
	role state.Role
}

func (s *Service) caller(ctx context.Context, token string) (caller, error) {
	if token == "" {
		if name := s.o.Operator(ctx); name != "" {
			return caller{name, state.RoleAdmin}, nil
		}
	}
	user, err := s.o.Sessions.UserOf(ctx, token)
	if err != nil {
		return caller{}, err //nolint:wrapcheck // gRPC's own
	}
	return caller{user.Name, user.Role}, nil
}

// sees says whether somebody may know of a query.
func (c caller) sees(q state.SavedQuery) bool {
	return q.Shared || q.Owner == c.name || c.role == state.RoleAdmin
}

// mayChange says whether somebody may change or delete a query that they see.
func (c caller) mayChange(q state.SavedQuery) bool {
	return c.role == state.RoleAdmin || q.Owner == c.name && (!q.Shared || c.role == state.RoleAnalyst)
}

// ListQueries returns what the caller may see.
func (s *Service) ListQueries(ctx context.Context, req *pb.ListQueriesRequest) (*pb.ListQueriesResponse, error) {
	who, err := s.caller(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	if req.GetAll() && who.role != state.RoleAdmin {
		return nil, status.Error(codes.PermissionDenied, "private queries of others are for admins to see")
	}
	list, err := s.o.Store.SavedQueries(ctx, who.name, req.GetAll())
	if err != nil {
		return nil, s.internal(ctx, "list saved queries", err)
	}
	resp := &pb.ListQueriesResponse{}
	for _, q := range list {
		resp.Queries = append(resp.Queries, who.message(q))
	}
	return resp, nil
}

// SaveQuery keeps a new query.
func (s *Service) SaveQuery(ctx context.Context, req *pb.SaveQueryRequest) (resp *pb.SaveQueryResponse, err error) {
	who, err := s.caller(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	if req.GetQuery().GetShared() {
		defer func() { s.audit(ctx, who, "query.share", req.GetQuery().GetName(), req.GetQuery().GetQuery(), err) }()
		if who.role == state.RoleViewer {
			return nil, errShare()
		}
	}
	q, err := checked(req.GetQuery())
	if err != nil {
		return nil, err
	}
	q.Owner, q.ChangedBy, q.Created = who.name, who.name, s.o.Now()
	q.Changed = q.Created
	if q.ID, err = s.o.Store.CreateSavedQuery(ctx, q, limits()); err != nil {
		return nil, s.refusal(ctx, "save the query", q, err)
	}
	return &pb.SaveQueryResponse{Query: who.message(q)}, nil
}

// ChangeQuery replaces what can be changed of a query.
func (s *Service) ChangeQuery(ctx context.Context, req *pb.ChangeQueryRequest) (resp *pb.ChangeQueryResponse, err error) {
	who, before, err := s.found(ctx, req.GetToken(), req.GetQuery().GetId())
	if err != nil {
		return nil, err
	}
	if before.Shared || req.GetQuery().GetShared() || before.Owner != who.name {
		detail := fmt.Sprintf("%s: %s", sharing(before.Shared, req.GetQuery().GetShared()), req.GetQuery().GetQuery())
		if before.Name != req.GetQuery().GetName() {
			detail = fmt.Sprintf("named %.100q now, %s", req.GetQuery().GetName(), detail)
		}
		defer func() { s.audit(ctx, who, "query.change", before.Name, detail, err) }()
	}
	if !who.mayChange(before) {
		return nil, errOthers(before)
	}
	if req.GetQuery().GetShared() && who.role == state.RoleViewer {
		return nil, errShare()
	}
	after, err := checked(req.GetQuery())
	if err != nil {
		return nil, err
	}
	if before.Owner == "" && !after.Shared {
		return nil, status.Error(codes.FailedPrecondition, "who made this query is gone, so it can be private to nobody: leave it shared, or delete it")
	}
	after.ID, after.Owner, after.Kind, after.Created = before.ID, before.Owner, before.Kind, before.Created
	after.Changed, after.ChangedBy = s.o.Now(), who.name
	if err := s.o.Store.ChangeSavedQuery(ctx, before, after, limits()); err != nil {
		return nil, s.refusal(ctx, "change the query", after, err)
	}
	return &pb.ChangeQueryResponse{Query: who.message(after)}, nil
}

// DeleteQuery removes a query.
func (s *Service) DeleteQuery(ctx context.Context, req *pb.DeleteQueryRequest) (resp *pb.DeleteQueryResponse, err error) {
	who, q, err := s.found(ctx, req.GetToken(), req.GetId())
	if err != nil {
		return nil, err
	}
	if q.Shared || q.Owner != who.name {
		defer func() { s.audit(ctx, who, "query.delete", q.Name, "of "+ownerText(q)+": "+q.Query, err) }()
	}
	if !who.mayChange(q) {
		return nil, errOthers(q)
	}
	if err := s.o.Store.DeleteSavedQuery(ctx, q); err != nil {
		return nil, s.refusal(ctx, "delete the query", q, err)
	}
	return &pb.DeleteQueryResponse{Query: who.message(q)}, nil
}

// found returns a query and who asks for it. What they may not see is not there.
func (s *Service) found(ctx context.Context, token string, id uint64) (caller, state.SavedQuery, error) {
	who, err := s.caller(ctx, token)
	if err != nil {
		return caller{}, state.SavedQuery{}, err
	}
	q, err := s.o.Store.SavedQuery(ctx, int64(id))
	switch {
	case err == nil && who.sees(q):
		return who, q, nil
	case err == nil, errors.Is(err, state.ErrNotFound):
		return caller{}, state.SavedQuery{}, status.Error(codes.NotFound, "there is no such saved query, or it is somebody else's own")
	}
	return caller{}, state.SavedQuery{}, s.internal(ctx, "read the saved query", err)
}

func (c caller) message(q state.SavedQuery) *pb.SavedQuery {
	return &pb.SavedQuery{
		Id: uint64(q.ID), Name: q.Name, Query: q.Query, Since: q.Since, Until: q.Until, Columns: q.Columns, Shared: q.Shared, Kind: q.Kind,
		Owner: q.Owner, CreatedTime: timestamppb.New(q.Created), ChangedTime: timestamppb.New(q.Changed), ChangedBy: q.ChangedBy,
		Mine: c.mayChange(q),
	}
}

func limits() state.SavedLimits { return state.SavedLimits{OfOwner: MaxOfOwner, Shared: MaxShared} }

// audit records what became of a query that others see, or was tried.
func (s *Service) audit(ctx context.Context, who caller, operation, name, detail string, err error) {
	if err != nil {
		detail = status.Convert(err).Message()
	}
	s.o.Auditor.Audit(ctx, &pb.AuditActivity{
		Actor: who.name, Operation: operation, Target: fmt.Sprintf("%.100s", name), Success: err == nil, Detail: cut(detail),
	})
}

func sharing(before, after bool) string {
	switch {
	case before && after:
		return "shared"
	case after:
		return "shared now"
	case before:
		return "private now"
	}
	return "private"
}

func ownerText(q state.SavedQuery) string {
	if q.Owner == "" {
		return "somebody who is gone"
	}
	return q.Owner
}

// refusal words an error of the database for people.
func (s *Service) refusal(ctx context.Context, doing string, q state.SavedQuery, err error) error {
	switch {
	case errors.Is(err, state.ErrExists):
		return status.Errorf(codes.AlreadyExists, "there is a saved query named %q already: choose another name, or change that one", q.Name)
	case errors.Is(err, state.ErrTooMany):
		return status.Errorf(codes.FailedPrecondition, "there are as many saved queries as there may be, %d of one person and %d shared ones: delete some first", MaxOfOwner, MaxShared)
	case errors.Is(err, state.ErrNotFound):
		return status.Error(codes.FailedPrecondition, "somebody else has just changed this query: look at it again")
	}
	return s.internal(ctx, doing, err)
}

func errShare() error {
	return status.Error(codes.PermissionDenied, "to share a query needs role analyst: keep it private, or ask an analyst to share it")
}

func errOthers(q state.SavedQuery) error {
	return status.Errorf(codes.PermissionDenied, "%q is shared by %s, who may change it as an analyst; so may an admin. Save a copy under another name", q.Name, ownerText(q))
}

// internal logs an error and hides it from the caller.
func (s *Service) internal(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	s.o.Logger.ErrorContext(ctx, "request for saved queries failed", "error", err, "doing", doing)
	return status.Errorf(codes.Internal, "cannot %s: %s", doing, state.Explain(err))
}
