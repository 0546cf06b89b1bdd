// Package state keeps what must survive a restart and is not an event: users,
// their sessions, the audit trail, the agents that the fleet has known, and the
// tokens with which hosts join.
//
// It is one SQLite file in WAL mode, opened by the hub alone. Every method is
// safe for concurrent use; writes are durable when they return. Passwords are
// kept as argon2id hashes, session and enrolment tokens as SHA-256 hashes, so a copy
// of the file opens nothing.
package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite" // also the database/sql driver "sqlite"
)

// ErrNotFound says that there is no such record.
var ErrNotFound = errors.New("not found")

// ErrExists says that a record of that name is there already.
var ErrExists = errors.New("exists already")

// Options say where the database is.
type Options struct {
	// File is the path of the database, created private to this user with its
	// folder when missing.
	File string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// DB is an open state database.
type DB struct {
	sql *sql.DB
	now func() time.Time
}

// Open opens the database and brings its tables up to date. A file that a newer
// version has written is refused.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := touch(o.File); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	path, err := filepath.Abs(o.File)
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	query := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-1024)"},
	}
	dsn := (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", o.File, err)
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(2)
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("open state %s: %w", o.File, advise(err, filepath.Base(o.File))), db.Close())
	}
	return &DB{sql: db, now: o.Now}, nil
}

// Primary result codes of SQLite, https://www.sqlite.org/rescode.html.
const (
	codeCorrupt = 11
	codeNotADB  = 26
	codePrimary = 0xff // the bits of them in an extended code
)

// advise adds to the error for a damaged file what a person can do.
func advise(err error, name string) error {
	damage, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch damage.Code() & codePrimary {
	case codeCorrupt, codeNotADB:
		return fmt.Errorf("the file is damaged: restore it from a backup, or move it away together with %[2]s-wal and %[2]s-shm: "+
			"accounts, sessions and the audit trail then begin anew (%[1]w)", err, name)
	}
	return err
}

// touch makes the file, so that it is private from its first byte: SQLite gives
// its journals the mode of the database.
func touch(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Close closes the database, after what is under way.
func (d *DB) Close() error {
	if err := d.sql.Close(); err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}

// migrations bring the tables from version i to i+1. They are never changed
// once released; PRAGMA user_version counts those done.
func migrations() []string {
	return []string{`
CREATE TABLE users (
	name TEXT PRIMARY KEY,
	role TEXT NOT NULL CHECK (role IN ('viewer', 'analyst', 'admin')),
	password_hash TEXT NOT NULL,
	created INTEGER NOT NULL,
	last_login INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE sessions (
	token_hash BLOB PRIMARY KEY,
	user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE ON UPDATE CASCADE,
	created INTEGER NOT NULL,
	last_seen INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	src_ip TEXT NOT NULL,
	user_agent TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions (user);
CREATE INDEX sessions_expires ON sessions (expires);
CREATE TABLE audit (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	time INTEGER NOT NULL,
	actor TEXT NOT NULL,
	operation TEXT NOT NULL,
	target TEXT NOT NULL,
	success INTEGER NOT NULL,
	detail TEXT NOT NULL,
	src_ip TEXT NOT NULL
) STRICT;
CREATE TABLE agents (
	host TEXT NOT NULL,
	id TEXT NOT NULL,
	node TEXT NOT NULL,
	status BLOB NOT NULL,
	desired TEXT NOT NULL DEFAULT '',
	updated INTEGER NOT NULL,
	PRIMARY KEY (host, id)
) STRICT, WITHOUT ROWID;
`, `
CREATE TABLE tokens (
	id BLOB PRIMARY KEY,
	secret_hash BLOB NOT NULL,
	host TEXT NOT NULL,
	created INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	created_by TEXT NOT NULL,
	used INTEGER NOT NULL DEFAULT 0,
	used_by TEXT NOT NULL DEFAULT ''
) STRICT;
`}
}

func migrate(ctx context.Context, db *sql.DB) error {
	steps := migrations()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("read version: %w", err)
	}
	if version > len(steps) {
		return fmt.Errorf("written by a newer version (tables %d, this program knows %d)", version, len(steps))
	}
	if version == len(steps) {
		return nil
	}
	for i, step := range steps[version:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("migrate to %d: %w", version+i+1, err)
		}
	}
	// PRAGMA takes no parameters; the number is ours.
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(steps))); err != nil {
		return fmt.Errorf("write version: %w", err)
	}
	return tx.Commit()
}

// nanos and instant convert between time.Time and the stored integers, in which
// 0 is "never".
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func instant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// changed turns "no row matched" into ErrNotFound.
func changed(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}
