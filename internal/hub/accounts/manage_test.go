package accounts_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/hub/accounts"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	viewer, analyst, admin = pb.Role_ROLE_VIEWER, pb.Role_ROLE_ANALYST, pb.Role_ROLE_ADMIN
	given                  = "a password of length"
)

// add makes a user and returns the password.
func (f *fixture) add(t *testing.T, name string, role pb.Role) string {
	t.Helper()
	resp, err := f.AddUser(t.Context(), &pb.AddUserRequest{Name: name, Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetPassword()
}

func TestAddUser(t *testing.T) {
	f := newFixture(t)
	for name, req := range map[string]*pb.AddUserRequest{
		"a made password":  {Name: "eve.1", Role: viewer},
		"a given password": {Name: "x", Role: analyst, Password: given},
		"the longest name": {Name: strings.Repeat("n", 64), Role: admin, Password: given},
	} {
		resp, err := f.AddUser(t.Context(), req)
		if err != nil || resp.GetUser().GetName() != req.GetName() || resp.GetUser().GetRole() != req.GetRole() || resp.GetUser().GetCreatedTime() == nil {
			t.Errorf("%s: %v, %v", name, resp, err)
			continue
		}
		if made := resp.GetPassword(); (made == "") != (req.GetPassword() != "") {
			t.Errorf("%s: password %q", name, made)
		}
		login, err := f.login(t, req.GetName(), resp.GetPassword()+req.GetPassword(), "10.0.0.1")
		if err != nil || login.GetUser().GetRole() != req.GetRole() {
			t.Errorf("%s: %v, %v", name, login, err)
		}
	}
	for name, tt := range map[string]struct {
		req  *pb.AddUserRequest
		code codes.Code
		says string
	}{
		"taken":            {&pb.AddUserRequest{Name: "ada", Role: viewer}, codes.AlreadyExists, "amoskys user passwd ada"},
		"no name":          {&pb.AddUserRequest{Role: viewer}, codes.InvalidArgument, "no name"},
		"capitals":         {&pb.AddUserRequest{Name: "Ada", Role: viewer}, codes.InvalidArgument, "a-z"},
		"a blank":          {&pb.AddUserRequest{Name: "a b", Role: viewer}, codes.InvalidArgument, "a-z"},
		"like a flag":      {&pb.AddUserRequest{Name: "-json", Role: viewer}, codes.InvalidArgument, "first"},
		"another script":   {&pb.AddUserRequest{Name: "аda", Role: viewer}, codes.InvalidArgument, "a-z"},
		"no text":          {&pb.AddUserRequest{Name: "a\xff", Role: viewer}, codes.InvalidArgument, "a-z"},
		"too long":         {&pb.AddUserRequest{Name: strings.Repeat("n", 65), Role: viewer}, codes.InvalidArgument, "64"},
		"no role":          {&pb.AddUserRequest{Name: "carl"}, codes.InvalidArgument, "viewer, analyst or admin"},
		"an unknown role":  {&pb.AddUserRequest{Name: "carl", Role: 9}, codes.InvalidArgument, "viewer, analyst or admin"},
		"a short password": {&pb.AddUserRequest{Name: "carl", Role: viewer, Password: "short"}, codes.InvalidArgument, "12 characters"},
		"its own name":     {&pb.AddUserRequest{Name: "carl", Role: viewer, Password: "i-am-carl-of-mars"}, codes.InvalidArgument, "user's name"},
		"a long password":  {&pb.AddUserRequest{Name: "carl", Role: viewer, Password: strings.Repeat("long", 100)}, codes.InvalidArgument, "256"},
	} {
		_, err := f.AddUser(t.Context(), tt.req)
		if status.Code(err) != tt.code || !strings.Contains(status.Convert(err).Message(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := f.ListUsers(t.Context(), &pb.ListUsersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range list.GetUsers() {
		names = append(names, u.GetName())
	}
	if want := []string{"ada", "bob", "eve.1", strings.Repeat("n", 64), "x"}; !slices.Equal(names, want) {
		t.Errorf("users %v, want %v", names, want)
	}
}

// TestSetPasswordOfAnother: a lost password is replaced, and whoever had the old one,
// or a session, is out.
func TestSetPasswordOfAnother(t *testing.T) {
	f := newFixture(t)
	f.add(t, "eve", viewer)
	for range 2 {
		resp, err := f.SetPassword(t.Context(), &pb.SetPasswordRequest{Name: "eve", Password: given})
		if err != nil || resp.GetPassword() != "" {
			t.Fatal(resp, err)
		}
		if _, err := f.login(t, "eve", given, "10.0.0.1"); err != nil {
			t.Fatal(err)
		}
	}
	session, err := f.login(t, "eve", given, "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := f.login(t, "ada", right, "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := f.SetPassword(t.Context(), &pb.SetPasswordRequest{Name: "eve"})
	if err != nil || resp.GetSessions() != 2 || len(resp.GetPassword()) != 24 {
		t.Fatal(resp, err)
	}
	if _, err := f.session(t, session.GetToken()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the old session: %v", err)
	}
	if _, err := f.session(t, other.GetToken()); err != nil {
		t.Errorf("the session of another: %v", err)
	}
	if _, err := f.login(t, "eve", given, "10.0.0.1"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the old password: %v", err)
	}
	if _, err := f.login(t, "eve", resp.GetPassword(), "10.0.0.1"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	for name, code := range map[string]codes.Code{"nobody": codes.NotFound, "": codes.NotFound, "eve": codes.InvalidArgument} {
		if _, err := f.SetPassword(t.Context(), &pb.SetPasswordRequest{Name: name, Password: "short"}); status.Code(err) != code {
			t.Errorf("short password of %q: %v", name, err)
		}
	}
}

func TestSetRoleAndRemove(t *testing.T) {
	f := newFixture(t)
	session, err := f.login(t, "bob", right, "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	setRole := func(name string, role pb.Role) error {
		_, err := f.SetRole(t.Context(), &pb.SetRoleRequest{Name: name, Role: role})
		return err
	}
	remove := func(name string) (*pb.RemoveUserResponse, error) {
		return f.RemoveUser(t.Context(), &pb.RemoveUserRequest{Name: name})
	}
	if err := setRole("bob", viewer); err != nil {
		t.Fatal(err)
	}
	if s, err := f.session(t, session.GetToken()); err != nil || s.GetUser().GetRole() != viewer {
		t.Errorf("the next request: %v, %v", s, err)
	}
	for name, err := range map[string]error{"role": setRole("ada", analyst), "removal": second(remove("ada"))} {
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "last admin") {
			t.Errorf("%s of the last admin: %v", name, err)
		}
	}
	for name, err := range map[string]error{"role": setRole("nobody", admin), "removal": second(remove("nobody"))} {
		if status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "amoskys user list") {
			t.Errorf("%s of nobody: %v", name, err)
		}
	}
	if err := setRole("bob", 0); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no role: %v", err)
	}
	resp, err := remove("bob")
	if err != nil || resp.GetSessions() != 1 {
		t.Fatal(resp, err)
	}
	if _, err := f.session(t, session.GetToken()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("session of somebody removed: %v", err)
	}
	if _, err := f.login(t, "bob", right, "10.0.0.1"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("login of somebody removed: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestManagingIsAudited: each act is in the trail, those that were refused too, with
// who did it and never with a password.
func TestManagingIsAudited(t *testing.T) {
	f := newFixture(t)
	f.Service = accounts.New(accounts.Options{Store: f.db, Auditor: f.trail, Hasher: cheapHasher(), Caller: func(context.Context) string { return "ops" }, Now: f.clock.now})
	made := f.add(t, "eve", viewer)
	_, _ = f.AddUser(t.Context(), &pb.AddUserRequest{Name: "eve", Role: viewer, Password: given})
	_, _ = f.SetPassword(t.Context(), &pb.SetPasswordRequest{Name: "eve", Password: given})
	_, _ = f.SetRole(t.Context(), &pb.SetRoleRequest{Name: "eve", Role: analyst})
	_, _ = f.RemoveUser(t.Context(), &pb.RemoveUserRequest{Name: "eve"})
	_, _ = f.RemoveUser(t.Context(), &pb.RemoveUserRequest{Name: "eve"})
	var got []string
	for _, a := range f.trail.acts {
		verdict := "refused"
		if a.GetSuccess() {
			verdict = "done"
		}
		got = append(got, strings.Join([]string{a.GetActor(), a.GetOperation(), a.GetTarget(), verdict}, " "))
		if strings.Contains(a.GetDetail(), given) || strings.Contains(a.GetDetail(), made) {
			t.Errorf("a password is in the trail: %v", a)
		}
	}
	want := []string{
		"ops user.add eve done", "ops user.add eve refused", "ops user.set_password eve done",
		"ops user.set_role eve done", "ops user.remove eve done", "ops user.remove eve refused",
	}
	if !slices.Equal(got, want) {
		t.Errorf("trail\n%s", strings.Join(got, "\n"))
	}
	if detail := f.trail.acts[3].GetDetail(); detail != "role analyst, was viewer" {
		t.Errorf("detail %q", detail)
	}
}
