package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"modernc.org/sqlite" // also the database/sql driver "sqlite"

	"github.com/amoskys/amoskys/internal/vfs"
)

// openSQLite opens a file. Of one that cannot be written, as its file system is read-only or
// full, it opens a copy, and says why.
func openSQLite(ctx context.Context, name string) (p *pool, c *copied, err error) {
	if err = create(ctx, name); err == nil {
		p, err = openFile(ctx, name, name)
	}
	why := whyNot(err)
	if _, missing := os.Stat(name); why == nil || missing != nil && errors.Is(why, ErrNoRoom) {
		return p, nil, adviseRoom(err)
	}
	c, failed := aside(name, why)
	if failed != nil {
		return nil, nil, errors.Join(err, failed)
	}
	if p, err = openFile(ctx, c.file, name); err == nil {
		if err = freeze(ctx, p.db, why); err != nil {
			err = errors.Join(err, p.db.Close())
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, c.discard())
	}
	return p, c, nil
}

// adviseRoom adds to an error what can be done about a disk that is full, where SQLite did
// not say so.
func adviseRoom(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("the disk is full: make room there, then start again (%w)", err)
	}
	return err
}

// openFile opens a file that is there, which has the name by which people know it.
func openFile(ctx context.Context, file, name string) (*pool, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	query := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-1024)"},
	}
	dsn := (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(2)
	p := newPool(db, sqliteEngine{filepath.Base(name)})
	if err = migrate(ctx, p); err != nil {
		return nil, errors.Join(p.engine.advise(err), db.Close())
	}
	return p, nil
}

// errEmptied says that a file is there with nothing in it.
var errEmptied = errors.New("the file is empty, which a database never is")

// create makes a database where there is none: it gets its name when it is whole, so that
// an empty file is never a new one. It is private from its first byte on: SQLite gives its
// journals the mode of the database. A file that is there is only looked at.
func create(ctx context.Context, file string) (err error) {
	switch info, err := os.Stat(file); {
	case err == nil && info.Size() == 0:
		return fmt.Errorf("%w: restore it from a backup, or, if nothing is lost with it, remove it by hand together with %[2]s-wal and %[2]s-shm: "+
			"accounts, sessions and the audit trail then begin anew", errEmptied, filepath.Base(file))
	case err == nil:
		return writable(file)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	folder := filepath.Dir(file)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, filepath.Base(file)+".new-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeAll(f.Name())) }()
	if err := f.Close(); err != nil {
		return err
	}
	p, err := openFile(ctx, f.Name(), file)
	if err != nil {
		return err
	}
	if err := p.db.Close(); err != nil { // what its journal has goes to the file
		return err
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) { // another was first
		if err := os.Rename(f.Name(), file); err != nil { // a file system without links
			return err
		}
	}
	return vfs.OS{}.SyncDir(folder)
}

// writable looks whether a file that is there can be written.
func writable(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// removeAll removes a database with its journals.
func removeAll(file string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(file + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
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
	case code&codePrimary == codeConstraint && strings.Contains(e.Error(), ErrNoRoom.Error()):
		return faultNoRoom
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
