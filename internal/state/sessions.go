package state

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Session is one login. The token itself is not kept.
type Session struct {
	TokenHash [sha256.Size]byte
	User      string
	Created   time.Time
	// LastSeen is exact to the granularity with which the caller touches it.
	LastSeen time.Time
	// Expires is the absolute end, however busy the session is.
	Expires   time.Time
	SrcIP     string
	UserAgent string
}

// maxSessions is how many sessions one user may have: the oldest goes first.
const maxSessions = 32

// CreateSession stores a session, notes the login, and drops sessions that have
// expired or that are the user's oldest beyond 32.
func (d *DB) CreateSession(ctx context.Context, s Session) error {
	tx, err := d.sql.Begin(ctx)
	if err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	if _, err := tx.ExecContext(ctx, "DELETE FROM sessions WHERE expires <= ?", nanos(d.now())); err != nil {
		return fmt.Errorf("drop expired sessions: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO sessions (token_hash, "user", created, last_seen, expires, src_ip, user_agent)
		VALUES (?, ?, ?, ?, ?, ?, ?)`,
		s.TokenHash[:], s.User, nanos(s.Created), nanos(s.LastSeen), nanos(s.Expires), s.SrcIP, s.UserAgent)
	if err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM sessions WHERE "user" = ? AND token_hash NOT IN
		(SELECT token_hash FROM sessions WHERE "user" = ? ORDER BY created DESC LIMIT ?)`, s.User, s.User, maxSessions)
	if err != nil {
		return fmt.Errorf("drop oldest sessions: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "UPDATE users SET last_login = ? WHERE name = ?", nanos(s.Created), s.User); err != nil {
		return fmt.Errorf("note login: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	return nil
}

// Session returns the session of a token hash and its user, or ErrNotFound. It
// does not judge expiry.
func (d *DB) Session(ctx context.Context, tokenHash [sha256.Size]byte) (Session, User, error) {
	s := Session{TokenHash: tokenHash}
	var u User
	var created, seen, expires, userCreated, lastLogin int64
	err := d.sql.QueryRowContext(ctx, `SELECT s."user", s.created, s.last_seen, s.expires, s.src_ip, s.user_agent,
		u.name, u.role, u.password_hash, u.created, u.last_login
		FROM sessions s JOIN users u ON u.name = s."user" WHERE s.token_hash = ?`, tokenHash[:]).
		Scan(&s.User, &created, &seen, &expires, &s.SrcIP, &s.UserAgent,
			&u.Name, &u.Role, &u.PasswordHash, &userCreated, &lastLogin)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, User{}, ErrNotFound
	}
	if err != nil {
		return Session{}, User{}, fmt.Errorf("read session: %w", err)
	}
	s.Created, s.LastSeen, s.Expires = instant(created), instant(seen), instant(expires)
	u.Created, u.LastLogin = instant(userCreated), instant(lastLogin)
	return s, u, nil
}

// TouchSession notes when a session was last used.
func (d *DB) TouchSession(ctx context.Context, tokenHash [sha256.Size]byte, seen time.Time) error {
	_, err := d.sql.ExecContext(ctx, "UPDATE sessions SET last_seen = ? WHERE token_hash = ? AND last_seen < ?",
		nanos(seen), tokenHash[:], nanos(seen))
	if err != nil {
		return fmt.Errorf("touch session: %w", err)
	}
	return nil
}

// DeleteSession ends a session; ending one that is not there is no error.
func (d *DB) DeleteSession(ctx context.Context, tokenHash [sha256.Size]byte) error {
	if _, err := d.sql.ExecContext(ctx, "DELETE FROM sessions WHERE token_hash = ?", tokenHash[:]); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// SignedInFrom returns the addresses from which a user's sessions were opened, each
// once.
func (d *DB) SignedInFrom(ctx context.Context, user string) (addresses []string, err error) {
	rows, err := d.sql.QueryContext(ctx, `SELECT DISTINCT src_ip FROM sessions WHERE "user" = ?`, user)
	if err != nil {
		return nil, fmt.Errorf("read addresses of sessions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var addr string
		if err := rows.Scan(&addr); err != nil {
			return nil, fmt.Errorf("read addresses of sessions: %w", err)
		}
		addresses = append(addresses, addr)
	}
	return addresses, rows.Err()
}
