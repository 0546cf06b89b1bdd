// Package state keeps what must survive a restart and is not an event: users,
// their sessions, the audit trail, the hosts and agents that the fleet has known, the tokens
// with which hosts join, the certificates that were issued and revoked, the queries
// that people saved, and what they say of devices.
//
// It is one SQLite file in WAL mode, opened by the hub alone, or a database of
// PostgreSQL: the same tables and statements, whose words for either engine are in
// sqlite.go and postgres.go. Every method is safe for concurrent use; writes are
// durable when they return. Passwords are
// kept as argon2id hashes, session and enrolment tokens as SHA-256 hashes, so a copy
// of the file opens nothing.
package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
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
	// URL is that of a PostgreSQL database instead, postgres://….
	URL string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// DB is an open state database.
type DB struct {
	sql  *pool
	now  func() time.Time
	file string // empty of a server's
	// copied is a copy of one that cannot be written, nil without.
	copied *copied
	// fault is what is wrong with a server.
	fault atomic.Pointer[string]
}

// Open opens the database and brings its tables up to date. One that a newer
// version has written is refused, and so is a file that is there and empty. Of a file on a
// read-only file system, or on a disk that is full, a copy is opened, in which sessions come
// and go and all else stays as it is; ReadOnly and Fault tell.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.URL != "" {
		p, err := openPostgres(ctx, o.URL)
		if err != nil {
			return nil, fmt.Errorf("open state: %w", err)
		}
		return &DB{sql: p, now: o.Now}, nil
	}
	p, copied, err := openSQLite(ctx, o.File)
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", o.File, err)
	}
	d := &DB{sql: p, now: o.Now, file: o.File, copied: copied}
	if copied != nil && errors.Is(copied.why, ErrNoRoom) {
		fault := "the disk was full when the hub started: accounts, agents and the audit trail are served as they were then, people can sign in, " +
			"and nothing can be changed; make room there, and the hub starts again with them by itself"
		d.fault.Store(&fault)
	}
	return d, nil
}

// ReadOnly reports whether the database lies on a file system that cannot be written, or
// could not when it was opened.
func (d *DB) ReadOnly() bool { return d.copied != nil }

// Explain says of an error what whoever asked the hub for something may know of it,
// and can do.
func Explain(err error) string {
	for _, e := range []engine{sqliteEngine{}, postgresEngine{}} {
		switch e.fault(err) {
		case faultNoRoom:
			return "the hub's disk is full: make room there, then try again"
		case faultReadOnly:
			if _, is := e.(postgresEngine); is {
				return "the hub's database is read-only, so that nothing can be changed: see what became of its server"
			}
			return "the hub's home is read-only, so that nothing can be changed: make it writable and start the hub again"
		case faultAway:
			return "the hub's database does not answer: try again in a minute"
		case faultTaken, faultOther:
		}
	}
	return "the hub failed; its log says why"
}

// Close closes the database, after what is under way.
func (d *DB) Close() error {
	if err := errors.Join(d.sql.db.Close(), d.copied.discard()); err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
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
