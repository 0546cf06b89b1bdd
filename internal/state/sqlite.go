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

	"modernc.org/sqlite" // also the database/sql driver "sqlite"
)

// openSQLite opens a file. copied is the folder of a copy of one that cannot be written.
func openSQLite(ctx context.Context, name string) (p *pool, copied string, err error) {
	file := name
	err = touch(file)
	if readOnly(err) {
		file, copied, err = aside(file)
	}
	if err != nil {
		return nil, "", err
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, "", err
	}
	query := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-1024)"},
	}
	dsn := (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, "", err
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(2)
	p = newPool(db, sqliteEngine{filepath.Base(name)})
	err = migrate(ctx, p)
	if err == nil && copied != "" {
		err = freeze(ctx, db)
	}
	if err != nil {
		return nil, "", errors.Join(p.engine.advise(err), db.Close(), discard(copied))
	}
	return p, copied, nil
}

// discard removes the folder of a copy.
func discard(dir string) error {
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
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

// sqliteEngine is a file of SQLite.
type sqliteEngine struct{ name string }

func (sqliteEngine) vocabulary() *vocabulary {
	return &vocabulary{
		text: "TEXT", words: "TEXT COLLATE NOCASE", name: "name", int: "INTEGER", bool: "INTEGER", bytes: "BLOB",
		serial: "INTEGER", strict: " STRICT", byKey: " STRICT, WITHOUT ROWID",
	}
}

func (sqliteEngine) version(ctx context.Context, tx *tx) (version int, err error) {
	err = tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

func (sqliteEngine) setVersion(ctx context.Context, tx *tx, version int) error {
	_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)) // which takes no values
	return err
}

// alone has nothing to do: transactions begin immediate.
func (sqliteEngine) alone(context.Context, *sql.Tx) error { return nil }

// snapshot begins deferred, and what is read first says when "now" is.
func (sqliteEngine) snapshot() *sql.TxOptions { return &sql.TxOptions{ReadOnly: true} }

// patient has nothing to do: only waiting for others is bounded.
func (sqliteEngine) patient(context.Context, *sql.Tx) error { return nil }

// count has nothing to do: SQLite goes by the rows.
func (sqliteEngine) count(context.Context, *tx, string, string) error { return nil }

func (sqliteEngine) query(statement string) string { return statement }

func (sqliteEngine) values(values []any) []any { return values }

// Primary result codes of SQLite, https://www.sqlite.org/rescode.html.
const (
	codeFull       = 13
	codeConstraint = 19
	codeCorrupt    = 11
	codeNotADB     = 26
	codePrimary    = 0xff // the bits of them in an extended code
)

// Extended result codes: of a name that is taken, and of a write that found no room, to
// a file and to the index of the journal.
const (
	codeUnique    = codeConstraint | 8<<8
	codeWrite     = 10 | 3<<8
	codeIndexSize = 10 | 19<<8
)

func (sqliteEngine) fault(err error) fault {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return faultOther
	}
	switch code := e.Code(); {
	case code&codePrimary == codeFull || code == codeWrite || code == codeIndexSize:
		return faultNoRoom
	case code == codeUnique:
		return faultTaken
	case code&codePrimary == codeConstraint && strings.Contains(e.Error(), ErrReadOnly.Error()):
		return faultReadOnly
	}
	return faultOther
}

func (e sqliteEngine) advise(err error) error {
	if e.fault(err) == faultNoRoom {
		return fmt.Errorf("the disk is full: make room there, then start again (%w)", err)
	}
	damage, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch damage.Code() & codePrimary {
	case codeCorrupt, codeNotADB:
		return fmt.Errorf("the file is damaged: restore it from a backup, or move it away together with %[2]s-wal and %[2]s-shm: "+
			"accounts, sessions and the audit trail then begin anew (%[1]w)", err, e.name)
	}
	return err
}
