package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// CopyFile copies the database in a file to another, which must not be there, as it is at
// one moment, whoever writes it meanwhile. Its tables stay of the version that they are of.
func CopyFile(ctx context.Context, to, from string) (err error) {
	if _, err := os.Stat(from); err != nil { // before one is made where there is none
		return fmt.Errorf("copy state: %w", err)
	}
	if _, err := os.Stat(to); err == nil {
		return fmt.Errorf("copy state to %s: %w", to, ErrExists)
	}
	path, err := filepath.Abs(from)
	if err != nil {
		return fmt.Errorf("copy state: %w", err)
	}
	query := url.Values{"_pragma": {"busy_timeout(5000)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String())
	if err != nil {
		return fmt.Errorf("copy state: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return fmt.Errorf("copy state %s: %w", from, sqliteEngine{filepath.Base(from)}.advise(err))
	}
	if err := os.Chmod(to, 0o600); err != nil {
		return fmt.Errorf("copy state: %w", err)
	}
	return nil
}
