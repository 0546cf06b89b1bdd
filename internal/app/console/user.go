package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// User is the object that `amoskys user … --json` prints. Keys are only ever added:
// docs/cli.md promises them.
type User struct {
	Name          string     `json:"name"`
	Role          string     `json:"role,omitempty"`
	CreatedTime   *time.Time `json:"created_time,omitempty"`
	LastLoginTime *time.Time `json:"last_login_time,omitempty"` // absent before the first
	// Password is there only when the hub has just made it.
	Password string `json:"password,omitempty"`
	// SessionsEnded is there where sessions end.
	SessionsEnded *uint32 `json:"sessions_ended,omitempty"`
	Removed       bool    `json:"removed,omitempty"`
}

func userOf(u *pb.UserAccount) User {
	out := User{Name: u.GetName(), Role: roleWord(u.GetRole()), CreatedTime: instant(u.GetCreatedTime())}
	if u.GetLastLoginTime() != nil {
		out.LastLoginTime = instant(u.GetLastLoginTime())
	}
	return out
}

func roleWord(r pb.Role) string {
	return strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_"))
}

// Role is a role as people write it, for a flag or an argument.
type Role pb.Role

// Set implements the value of a flag.
func (r *Role) Set(word string) error {
	n, ok := pb.Role_value["ROLE_"+strings.ToUpper(word)]
	if !ok || n == 0 {
		return errors.New("a role is viewer, analyst or admin")
	}
	*r = Role(n)
	return nil
}

// String implements the value of a flag.
func (r *Role) String() string {
	if *r == 0 {
		return ""
	}
	return roleWord(pb.Role(*r))
}

// Type implements the value of a flag.
func (*Role) Type() string { return "role" }

// ListUsers prints who may sign in to the dashboard.
func ListUsers(ctx context.Context, e *cli.Env, asJSON bool) error {
	return withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Accounts.ListUsers(ctx, &pb.ListUsersRequest{})
		if err != nil {
			return c.Explain(err)
		}
		users := make([]User, 0, len(resp.GetUsers()))
		table := cli.NewTable("NAME", "ROLE", "CREATED", "LAST SIGNED IN")
		for _, p := range resp.GetUsers() {
			u := userOf(p)
			users = append(users, u)
			last := "never"
			if u.LastLoginTime != nil {
				last = u.LastLoginTime.Local().Format("2006-01-02 15:04")
			}
			table.Row(u.Name, u.Role, u.CreatedTime.Local().Format("2006-01-02 15:04"), last)
		}
		if asJSON {
			return cli.WriteJSON(e.Stdout, map[string]any{"users": users})
		}
		return table.Write(e.Stdout)
	})
}

// AddUser makes a user and prints the password if the hub made it.
func AddUser(ctx context.Context, e *cli.Env, name string, role Role, plain string, asJSON bool) error {
	return withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Accounts.AddUser(ctx, &pb.AddUserRequest{Name: name, Role: pb.Role(role), Password: plain})
		if err != nil {
			return c.Explain(err)
		}
		u := userOf(resp.GetUser())
		u.Password = resp.GetPassword()
		return printUser(e, &u, asJSON, fmt.Sprintf("user %s may sign in, with role %s", u.Name, u.Role))
	})
}

// SetPassword replaces the password of a user and prints it if the hub made it.
func SetPassword(ctx context.Context, e *cli.Env, name, plain string, asJSON bool) error {
	return withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Accounts.SetPassword(ctx, &pb.SetPasswordRequest{Name: name, Password: plain})
		if err != nil {
			return c.Explain(err)
		}
		u := User{Name: name, Password: resp.GetPassword(), SessionsEnded: &resp.Sessions}
		return printUser(e, &u, asJSON, fmt.Sprintf("user %s has another password; %s ended", name, sessions(resp.GetSessions())))
	})
}

// SetRole gives a user another role.
func SetRole(ctx context.Context, e *cli.Env, name string, role Role, asJSON bool) error {
	return withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Accounts.SetRole(ctx, &pb.SetRoleRequest{Name: name, Role: pb.Role(role)})
		if err != nil {
			return c.Explain(err)
		}
		u := userOf(resp.GetUser())
		return printUser(e, &u, asJSON, fmt.Sprintf("user %s has role %s from the next request on", u.Name, u.Role))
	})
}

// RemoveUser removes a user.
func RemoveUser(ctx context.Context, e *cli.Env, name string, asJSON bool) error {
	return withHub(ctx, e, func(ctx context.Context, c *remote.Client) error {
		resp, err := c.Accounts.RemoveUser(ctx, &pb.RemoveUserRequest{Name: name})
		if err != nil {
			return c.Explain(err)
		}
		u := User{Name: name, Removed: true, SessionsEnded: &resp.Sessions}
		return printUser(e, &u, asJSON, fmt.Sprintf("user %s is removed; %s ended", name, sessions(resp.GetSessions())))
	})
}

func sessions(n uint32) string { return obs.Counted(int(n), "session", "sessions") }

// printUser says what became of a user, and a password that was made for them.
func printUser(e *cli.Env, u *User, asJSON bool, text string) error {
	if asJSON {
		return cli.WriteJSON(e.Stdout, u)
	}
	if u.Password != "" {
		text += "\n\n  Shown this once:\n    user:     " + u.Name + "\n    password: " + u.Password + "\n"
	}
	_, err := fmt.Fprintln(e.Stdout, text)
	return err
}
