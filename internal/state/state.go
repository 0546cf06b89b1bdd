// Package state keeps what must survive a restart and is not an event: users,
// their sessions, the audit trail, the hosts and agents that the fleet has known, the tokens
// with which hosts join, the certificates that were issued and revoked, the queries
// that people saved, and what they say of devices.
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
	"strings"
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
	// copied is the folder of a copy of one that cannot be written, empty without.
	copied string
}

// Open opens the database and brings its tables up to date. A file that a newer
// version has written is refused. Of one on a read-only file system a copy is opened,
// in which sessions come and go and all else stays as it is; ReadOnly tells.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	file, copied := o.File, ""
	err := touch(file)
	if readOnly(err) {
		file, copied, err = aside(file)
	}
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", o.File, err)
	}
	path, err := filepath.Abs(file)
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
	err = migrate(ctx, db)
	if err == nil && copied != "" {
		err = freeze(ctx, db)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("open state %s: %w", o.File, advise(err, filepath.Base(o.File))), db.Close())
		return nil, errors.Join(err, discard(copied))
	}
	return &DB{sql: db, now: o.Now, copied: copied}, nil
}

// ReadOnly reports whether the database lies on a file system that cannot be written.
func (d *DB) ReadOnly() bool { return d.copied != "" }

// discard removes the folder of a copy.
func discard(dir string) error {
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}

// Primary result codes of SQLite, https://www.sqlite.org/rescode.html.
const (
	codeFull       = 13
	codeConstraint = 19
	codeCorrupt    = 11
	codeNotADB     = 26
	codePrimary    = 0xff // the bits of them in an extended code
)

// Extended result codes of a write that found no room: to a file, and to the index of
// the journal.
const (
	codeWrite     = 10 | 3<<8
	codeIndexSize = 10 | 19<<8
)

// noRoom reports whether an error says that the disk is full.
func noRoom(fault *sqlite.Error) bool {
	return fault.Code()&codePrimary == codeFull || fault.Code() == codeWrite || fault.Code() == codeIndexSize
}

// advise adds to the error for a damaged file, or a full disk, what a person can do.
func advise(err error, name string) error {
	damage, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	if noRoom(damage) {
		return fmt.Errorf("the disk is full: make room there, then start again (%w)", err)
	}
	switch damage.Code() & codePrimary {
	case codeCorrupt, codeNotADB:
		return fmt.Errorf("the file is damaged: restore it from a backup, or move it away together with %[2]s-wal and %[2]s-shm: "+
			"accounts, sessions and the audit trail then begin anew (%[1]w)", err, name)
	}
	return err
}

// Explain says of an error what whoever asked the hub for something may know of it,
// and can do.
func Explain(err error) string {
	fault, ok := errors.AsType[*sqlite.Error](err)
	switch {
	case ok && noRoom(fault):
		return "the hub's disk is full: make room there, then try again"
	case ok && fault.Code()&codePrimary == codeConstraint && strings.Contains(fault.Error(), ErrReadOnly.Error()):
		return "the hub's home is read-only, so that nothing can be changed: make it writable and start the hub again"
	}
	return "the hub failed; its log says why"
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
	if err := errors.Join(d.sql.Close(), discard(d.copied)); err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}

// migrations bring the tables from version i to i+1. They are never changed
// once released; PRAGMA user_version counts those done.
func migrations() []string { //nolint:funlen // a list, of which each entry is final
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
`, `
CREATE TABLE certificates (
	serial TEXT PRIMARY KEY,
	identity TEXT NOT NULL,
	host TEXT NOT NULL,
	observes TEXT NOT NULL,
	not_before INTEGER NOT NULL,
	not_after INTEGER NOT NULL,
	origin TEXT NOT NULL CHECK (origin IN ('enrolment', 'renewal', 'elsewhere')),
	known INTEGER NOT NULL,
	issued_for TEXT NOT NULL,
	replaces TEXT NOT NULL,
	machine TEXT NOT NULL
) STRICT;
CREATE INDEX certificates_host ON certificates (host);
CREATE INDEX certificates_not_after ON certificates (not_after);
CREATE INDEX certificates_origin ON certificates (origin);
CREATE TABLE revocations (
	target TEXT PRIMARY KEY,
	time INTEGER NOT NULL,
	reason TEXT NOT NULL,
	actor TEXT NOT NULL
) STRICT;
ALTER TABLE tokens ADD COLUMN uses INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tokens ADD COLUMN used_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN host_pattern TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN kinds TEXT NOT NULL DEFAULT '';
UPDATE tokens SET used_count = 1 WHERE used > 0;
`, `
CREATE TABLE hosts (
	name TEXT PRIMARY KEY,
	node TEXT NOT NULL,
	version TEXT NOT NULL,
	last_seen INTEGER NOT NULL,
	silent INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`, `
CREATE TABLE saved_queries (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	owner TEXT NOT NULL,
	name TEXT NOT NULL COLLATE NOCASE,
	query TEXT NOT NULL,
	since TEXT NOT NULL,
	until TEXT NOT NULL,
	columns TEXT NOT NULL,
	shared INTEGER NOT NULL,
	created INTEGER NOT NULL,
	changed INTEGER NOT NULL,
	changed_by TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX saved_queries_owner ON saved_queries (owner, name) WHERE owner <> '';
CREATE UNIQUE INDEX saved_queries_shared ON saved_queries (name) WHERE shared = 1;
`, `
CREATE TABLE device_marks (
	uid TEXT PRIMARY KEY,
	known INTEGER NOT NULL,
	owner TEXT NOT NULL,
	tags TEXT NOT NULL,
	note TEXT NOT NULL,
	changed INTEGER NOT NULL,
	changed_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
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

// count returns how many rows were changed.
func count(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// changed turns "no row matched" into ErrNotFound.
func changed(result sql.Result, err error) error {
	n, err := count(result, err)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}
