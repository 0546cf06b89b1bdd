package accounts

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/state/password"
)

// roles are those that a person may have.
func roles() map[pb.Role]state.Role {
	return map[pb.Role]state.Role{
		pb.Role_ROLE_VIEWER: state.RoleViewer, pb.Role_ROLE_ANALYST: state.RoleAnalyst, pb.Role_ROLE_ADMIN: state.RoleAdmin,
	}
}

// ListUsers returns all users.
func (s *Service) ListUsers(ctx context.Context, _ *pb.ListUsersRequest) (*pb.ListUsersResponse, error) {
	users, err := s.o.Store.Users(ctx)
	if err != nil {
		return nil, s.internal(ctx, "list users", err)
	}
	resp := &pb.ListUsersResponse{}
	for _, u := range users {
		resp.Users = append(resp.Users, account(u))
	}
	return resp, nil
}

// AddUser makes a user.
func (s *Service) AddUser(ctx context.Context, req *pb.AddUserRequest) (resp *pb.AddUserResponse, err error) {
	defer func() { s.managed(ctx, "user.add", req.GetName(), roleDetail(req.GetRole()), err) }()
	if err := CheckName(req.GetName()); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	role, err := roleOf(req.GetRole())
	if err != nil {
		return nil, err
	}
	made, hash, err := s.choose(ctx, req.GetName(), req.GetPassword())
	if err != nil {
		return nil, err
	}
	user := state.User{Name: req.GetName(), Role: role, PasswordHash: hash, Created: s.o.Now()}
	switch err := s.o.Store.CreateUser(ctx, user); {
	case errors.Is(err, state.ErrExists):
		return nil, status.Errorf(codes.AlreadyExists, "there is a user %s already: amoskys user passwd %s sets another password, amoskys user role %s another role",
			user.Name, user.Name, user.Name)
	case err != nil:
		return nil, s.internal(ctx, "add user", err)
	}
	return &pb.AddUserResponse{User: account(user), Password: made}, nil
}

// SetPassword replaces a user's password and ends all their sessions.
func (s *Service) SetPassword(ctx context.Context, req *pb.SetPasswordRequest) (resp *pb.SetPasswordResponse, err error) {
	defer func() { s.managed(ctx, "user.set_password", req.GetName(), ended(resp.GetSessions()), err) }()
	if _, err := s.known(ctx, req.GetName()); err != nil {
		return nil, err
	}
	made, hash, err := s.choose(ctx, req.GetName(), req.GetPassword())
	if err != nil {
		return nil, err
	}
	n, err := s.o.Store.SetPassword(ctx, req.GetName(), hash, nil)
	if err != nil {
		return nil, s.unchanged(ctx, "set password", req.GetName(), err)
	}
	return &pb.SetPasswordResponse{Password: made, Sessions: uint32(n)}, nil
}

// SetRole gives a user another role, which counts from their next request on: the
// role is read with each session.
func (s *Service) SetRole(ctx context.Context, req *pb.SetRoleRequest) (resp *pb.SetRoleResponse, err error) {
	detail := roleDetail(req.GetRole())
	defer func() { s.managed(ctx, "user.set_role", req.GetName(), detail, err) }()
	role, err := roleOf(req.GetRole())
	if err != nil {
		return nil, err
	}
	user, err := s.known(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	if err := s.o.Store.SetRole(ctx, user.Name, role); err != nil {
		return nil, s.unchanged(ctx, "set role", user.Name, err)
	}
	detail += ", was " + string(user.Role)
	user.Role = role
	return &pb.SetRoleResponse{User: account(user)}, nil
}

// RemoveUser removes a user with their sessions.
func (s *Service) RemoveUser(ctx context.Context, req *pb.RemoveUserRequest) (resp *pb.RemoveUserResponse, err error) {
	defer func() { s.managed(ctx, "user.remove", req.GetName(), ended(resp.GetSessions()), err) }()
	if _, err := s.known(ctx, req.GetName()); err != nil {
		return nil, err
	}
	n, err := s.o.Store.RemoveUser(ctx, req.GetName())
	if err != nil {
		return nil, s.unchanged(ctx, "remove user", req.GetName(), err)
	}
	return &pb.RemoveUserResponse{Sessions: uint32(n)}, nil
}

// CheckName says what is wrong with a new user's name: it has 1 to 64 of a-z, 0-9,
// ".", "_" and "-" and begins with a letter or digit, so that no two look alike and none
// needs quotes in a query or at a shell.
func CheckName(name string) error {
	const set = "abcdefghijklmnopqrstuvwxyz0123456789._-"
	if name == "" || len(name) > state.MaxNameBytes || strings.Trim(name, set) != "" || strings.ContainsAny(name[:1], "._-") {
		return fmt.Errorf(`%.80q is no name for a user: use 1 to %d of a-z, 0-9, ".", "_" and "-", a letter or digit first`, name, state.MaxNameBytes)
	}
	return nil
}

func roleOf(role pb.Role) (state.Role, error) {
	word, ok := roles()[role]
	if !ok {
		return "", status.Error(codes.InvalidArgument, "a role is viewer, analyst or admin")
	}
	return word, nil
}

// choose returns the hash of the password that was given, or of one that it makes.
func (s *Service) choose(ctx context.Context, name, given string) (made, hash string, err error) {
	plain := given
	if given == "" {
		made = password.Random()
		plain = made
	} else if err := CheckPolicy(name, "", given); err != nil {
		return "", "", status.Error(codes.InvalidArgument, err.Error())
	}
	if hash, err = s.o.Hasher.Hash(ctx, plain); err != nil {
		return "", "", s.hashing(ctx, err)
	}
	return made, hash, nil
}

// known returns a user, or NOT_FOUND. A user of an older build may have any name.
func (s *Service) known(ctx context.Context, name string) (state.User, error) {
	user, err := s.o.Store.User(ctx, name)
	if err != nil {
		return state.User{}, s.unchanged(ctx, "read user", name, err)
	}
	return user, nil
}

func (s *Service) unchanged(ctx context.Context, doing, name string, err error) error {
	switch {
	case errors.Is(err, state.ErrNotFound):
		return status.Errorf(codes.NotFound, "there is no user %.80q: amoskys user list shows all", name)
	case errors.Is(err, state.ErrLastAdmin):
		return status.Errorf(codes.FailedPrecondition, "%s is the last admin, and nobody could steer without one: make another first", name)
	}
	return s.internal(ctx, doing, err)
}

// managed records what an operator did to an account, or tried.
func (s *Service) managed(ctx context.Context, operation, name, detail string, err error) {
	if err != nil {
		detail = status.Convert(err).Message()
	}
	s.record(ctx, &pb.AuditActivity{
		Actor: s.o.Caller(ctx), Operation: operation, Target: name, Success: err == nil, Detail: detail,
	})
}

func roleDetail(role pb.Role) string { return "role " + string(roles()[role]) }

func ended(sessions uint32) string { return fmt.Sprintf("sessions ended: %d", sessions) }
