package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/state/password"
)

// Role is what a person may do: each includes the ones before it.
type Role string

// The roles: a viewer reads, an analyst triages, an admin steers.
const (
	RoleViewer  Role = "viewer"
	RoleAnalyst Role = "analyst"
	RoleAdmin   Role = "admin"
)

// User is one account.
type User struct {
	Name string
	Role Role
	// PasswordHash is an argon2id PHC string.
	PasswordHash string
	Created      time.Time
	// LastLogin is zero before the first.
	LastLogin time.Time
}

// ErrLastAdmin says that a change would leave nobody who may steer.
var ErrLastAdmin = errors.New("is the last admin")

// AdminName is the name of the account that EnsureAdmin makes.
const AdminName = "admin"

// MaxNameBytes is the longest user name.
const MaxNameBytes = 64

// EnsureAdmin makes the account "admin" with a random password if there is no
// account at all. The password is returned this once and kept nowhere.
func (d *DB) EnsureAdmin(ctx context.Context, hasher *password.Hasher) (plain string, created bool, err error) {
	var users int
	if err := d.sql.QueryRowContext(ctx, "SELECT count(*) FROM users").Scan(&users); err != nil {
		return "", false, fmt.Errorf("count users: %w", err)
	}
	if users > 0 {
		return "", false, nil
	}
	plain = password.Random()
	hash, err := hasher.Hash(ctx, plain)
	if err != nil {
		return "", false, fmt.Errorf("hash password: %w", err)
	}
	// Another process may have been quicker: the condition is checked again here.
	result, err := d.sql.ExecContext(ctx, `INSERT INTO users (name, role, password_hash, created)
		SELECT ?, ?, ?, CAST(? AS BIGINT) WHERE NOT EXISTS (SELECT 1 FROM users) ON CONFLICT (name) DO NOTHING`,
		AdminName, string(RoleAdmin), hash, nanos(d.now()))
	switch err := changed(result, err); {
	case errors.Is(err, ErrNotFound):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("create %s: %w", AdminName, err)
	}
	return plain, true, nil
}

// CreateUser adds an account. It returns ErrExists when the name is taken.
func (d *DB) CreateUser(ctx context.Context, u User) error {
	if u.Name == "" || len(u.Name) > MaxNameBytes || strings.ContainsFunc(u.Name, isUnprintable) {
		return fmt.Errorf("create user: a name has 1 to %d printable characters", MaxNameBytes)
	}
	result, err := d.sql.ExecContext(ctx, `INSERT INTO users (name, role, password_hash, created)
		VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
		u.Name, string(u.Role), u.PasswordHash, nanos(d.now()))
	switch err := changed(result, err); {
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("create user %q: %w", u.Name, ErrExists)
	case err != nil:
		return fmt.Errorf("create user %q: %w", u.Name, err)
	}
	return nil
}

func isUnprintable(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }

// User returns an account by name, or ErrNotFound.
func (d *DB) User(ctx context.Context, name string) (User, error) {
	u, err := scanUser(d.sql.QueryRowContext(ctx, "SELECT "+userColumns+" FROM users WHERE name = ?", name).Scan)
	if err != nil {
		return User{}, fmt.Errorf("read user: %w", err)
	}
	return u, nil
}

const userColumns = "name, role, password_hash, created, last_login"

func scanUser(scan func(...any) error) (User, error) {
	var u User
	var created, lastLogin int64
	err := scan(&u.Name, &u.Role, &u.PasswordHash, &created, &lastLogin)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, ErrNotFound
	}
	u.Created, u.LastLogin = instant(created), instant(lastLogin)
	return u, err
}

// Users returns all accounts in the order of their names.
func (d *DB) Users(ctx context.Context) ([]User, error) {
	rows, err := d.sql.QueryContext(ctx, "SELECT "+userColumns+" FROM users ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	defer rows.Close()
	var users []User
	for rows.Next() {
		u, err := scanUser(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read users: %w", err)
		}
		users = append(users, u)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	return users, nil
}

// SetPassword replaces a user's password hash and ends the user's sessions but
// the one whose token hash is keep; nil keeps none. It returns how many ended.
func (d *DB) SetPassword(ctx context.Context, name, hash string, keep []byte) (ended int, err error) {
	if keep == nil {
		keep = []byte{}
	}
	err = d.changeUser(ctx, func(tx *tx) error {
		if err := changed(tx.ExecContext(ctx, "UPDATE users SET password_hash = ? WHERE name = ?", hash, name)); err != nil {
			return err
		}
		ended, err = count(tx.ExecContext(ctx, `DELETE FROM sessions WHERE "user" = ? AND token_hash <> ?`, name, keep))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("set password: %w", err)
	}
	return ended, nil
}

// SetRole gives a user another role: ErrNotFound without such a user, ErrLastAdmin
// when there would be no admin any more.
func (d *DB) SetRole(ctx context.Context, name string, role Role) error {
	err := d.changeUser(ctx, func(tx *tx) error {
		return changed(tx.ExecContext(ctx, "UPDATE users SET role = ? WHERE name = ?", string(role), name))
	})
	if err != nil {
		return fmt.Errorf("set role: %w", err)
	}
	return nil
}

// RemoveUser removes an account with its sessions, and returns how many those were:
// ErrNotFound without such a user, ErrLastAdmin when there would be no admin any
// more. Their private queries go too; what they shared stays, and is nobody's.
func (d *DB) RemoveUser(ctx context.Context, name string) (ended int, err error) {
	err = d.changeUser(ctx, func(tx *tx) error {
		if ended, err = count(tx.ExecContext(ctx, `DELETE FROM sessions WHERE "user" = ?`, name)); err != nil {
			return err
		}
		if err := disown(ctx, tx, name); err != nil {
			return err
		}
		return changed(tx.ExecContext(ctx, "DELETE FROM users WHERE name = ?", name))
	})
	if err != nil {
		return 0, fmt.Errorf("remove user: %w", err)
	}
	return ended, nil
}

// changeUser makes a change in one transaction, which holds the database from its
// beginning, so that two changes cannot each leave the other's admin as the last.
func (d *DB) changeUser(ctx context.Context, change func(*tx) error) error {
	tx, err := d.sql.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	var before, after int
	const admins = "SELECT count(*) FROM users WHERE role = ?"
	if err := tx.QueryRowContext(ctx, admins, string(RoleAdmin)).Scan(&before); err != nil {
		return err
	}
	if err := change(tx); err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, admins, string(RoleAdmin)).Scan(&after); err != nil {
		return err
	}
	if before > 0 && after == 0 {
		return ErrLastAdmin
	}
	return tx.Commit()
}
