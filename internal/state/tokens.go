package state

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// TokenID names an enrolment token. It is no secret.
type TokenID [16]byte

// Token is what is kept of an enrolment token: not its secret, but a hash.
type Token struct {
	ID         TokenID
	SecretHash [sha256.Size]byte
	// Host is the one host it may be used for; any when empty.
	Host string
	// HostPattern are the hosts it may be used for, as path.Match understands it; any
	// when empty. It is for the hub to hold a host to it.
	HostPattern string
	// Kinds are the observing kinds that it may give; empty does not restrict them.
	Kinds []string
	// Uses is how often it may be used; 0 is once.
	Uses      int
	Created   time.Time
	Expires   time.Time
	CreatedBy string
	// UsedCount is how often it was used, Used when last, and zero before the first.
	UsedCount int
	Used      time.Time
	UsedBy    string
}

// Spent says that no use is left.
func (t *Token) Spent() bool { return t.UsedCount >= t.Uses }

// keepTokens is how long a token is remembered after its end, so that people
// see what became of it.
const keepTokens = 30 * 24 * time.Hour

// CreateToken stores a token that was not used, and forgets those that ended
// long ago. A zero Created is now.
func (d *DB) CreateToken(ctx context.Context, t Token) error {
	now := d.now()
	if t.Created.IsZero() {
		t.Created = now
	}
	if _, err := d.sql.ExecContext(ctx, "DELETE FROM tokens WHERE expires < ?", nanos(now.Add(-keepTokens))); err != nil {
		return fmt.Errorf("forget old tokens: %w", err)
	}
	_, err := d.sql.ExecContext(ctx, `INSERT INTO tokens (id, secret_hash, host, created, expires, created_by, uses, host_pattern, kinds)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, t.ID[:], t.SecretHash[:], t.Host, nanos(t.Created), nanos(t.Expires), t.CreatedBy,
		max(t.Uses, 1), t.HostPattern, strings.Join(t.Kinds, " "))
	if err != nil {
		return fmt.Errorf("create token: %w", err)
	}
	return nil
}

// ExtendToken stores a token, or gives one that is there t's end and t.Uses further uses.
func (d *DB) ExtendToken(ctx context.Context, t Token) error {
	_, err := d.sql.ExecContext(ctx, `INSERT INTO tokens (id, secret_hash, host, created, expires, created_by, uses, host_pattern, kinds)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET secret_hash = excluded.secret_hash,
		expires = excluded.expires, uses = tokens.used_count + excluded.uses, host_pattern = excluded.host_pattern`,
		t.ID[:], t.SecretHash[:], t.Host, nanos(t.Created), nanos(t.Expires), t.CreatedBy, max(t.Uses, 1), t.HostPattern, strings.Join(t.Kinds, " "))
	if err != nil {
		return fmt.Errorf("extend token: %w", err)
	}
	return nil
}

const tokenColumns = "id, secret_hash, host, created, expires, created_by, used, used_by, uses, used_count, host_pattern, kinds" //nolint:gosec // no secret

func scanToken(scan func(...any) error) (Token, error) {
	var t Token
	var id, hash []byte
	var created, expires, used int64
	var kinds string
	err := scan(&id, &hash, &t.Host, &created, &expires, &t.CreatedBy, &used, &t.UsedBy, &t.Uses, &t.UsedCount, &t.HostPattern, &kinds)
	if err != nil {
		return Token{}, err
	}
	if kinds != "" {
		t.Kinds = strings.Fields(kinds)
	}
	copy(t.ID[:], id)
	copy(t.SecretHash[:], hash)
	t.Created, t.Expires, t.Used = instant(created), instant(expires), instant(used)
	return t, nil
}

// Token returns one token, or ErrNotFound.
func (d *DB) Token(ctx context.Context, id TokenID) (Token, error) {
	rows, err := d.tokens(ctx, "SELECT "+tokenColumns+" FROM tokens WHERE id = ?", id[:])
	if err != nil {
		return Token{}, err
	}
	if len(rows) == 0 {
		return Token{}, fmt.Errorf("read token: %w", ErrNotFound)
	}
	return rows[0], nil
}

// Tokens returns the newest tokens, at most 1000.
func (d *DB) Tokens(ctx context.Context) ([]Token, error) {
	return d.tokens(ctx, "SELECT "+tokenColumns+" FROM tokens ORDER BY created DESC, id LIMIT 1000")
}

func (d *DB) tokens(ctx context.Context, query string, args ...any) ([]Token, error) {
	rows, err := d.sql.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	defer rows.Close()
	var tokens []Token
	for rows.Next() {
		t, err := scanToken(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read tokens: %w", err)
		}
		tokens = append(tokens, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	return tokens, nil
}

// Enrol counts one use of a token and stores the certificates that were issued for it, all
// or nothing: a token is not spent on certificates that nobody could list or revoke. Of
// several callers at the same time no more succeed than uses are left. ErrNotFound says
// that there is no such token, that it is spent or has ended, or that secret or host are
// not its own.
func (d *DB) Enrol(ctx context.Context, id TokenID, secretHash [sha256.Size]byte, host, by string, certs ...Certificate) error {
	tx, err := d.sql.Begin(ctx)
	if err != nil {
		return fmt.Errorf("use token: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	now := nanos(d.now())
	err = changed(tx.ExecContext(ctx, `UPDATE tokens SET used_count = used_count + 1, used = ?, used_by = ?
		WHERE id = ? AND secret_hash = ? AND used_count < uses AND expires > ? AND (host = '' OR host = ?)`,
		now, by, id[:], secretHash[:], now, host))
	if err != nil {
		return fmt.Errorf("use token: %w", err)
	}
	if err := d.insertCertificates(ctx, tx, certs, len(certs)); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("use token: %w", err)
	}
	return nil
}

// RevokeToken forgets a token that has uses left, or returns ErrNotFound.
func (d *DB) RevokeToken(ctx context.Context, id TokenID) error {
	if err := changed(d.sql.ExecContext(ctx, "DELETE FROM tokens WHERE id = ? AND used_count < uses", id[:])); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}
