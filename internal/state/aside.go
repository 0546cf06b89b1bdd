package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrReadOnly says that the database lies on a file system that cannot be written.
var ErrReadOnly = errors.New("the home is read-only")

// aside copies a database that cannot be written, with what its journal holds, to a
// folder of its own, so that it can be read and people can sign in.
func aside(file string) (copied, dir string, err error) {
	dir, err = os.MkdirTemp("", "amoskys-state-")
	if err != nil {
		return "", "", fmt.Errorf("copy it aside: %w", err)
	}
	copied = filepath.Join(dir, filepath.Base(file))
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(file + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(copied+suffix, b, 0o600)
		}
		if err != nil {
			return "", "", errors.Join(fmt.Errorf("copy it aside: %w", err), os.RemoveAll(dir))
		}
	}
	return copied, dir, nil
}

// readOnly reports whether an error is that of a file system that cannot be written.
func readOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// freeze refuses changes that people would believe in: what is written to a copy is
// gone with it. Sessions may come and go, and so may what agents say of themselves.
func freeze(ctx context.Context, db *sql.DB) error {
	for table, changes := range map[string][]string{
		"users":        {"INSERT ON", "DELETE ON", "UPDATE OF name, role, password_hash ON"},
		"tokens":       {"INSERT ON", "DELETE ON", "UPDATE ON"},
		"certificates": {"DELETE ON", "UPDATE ON"},
		"revocations":  {"INSERT ON", "DELETE ON", "UPDATE ON"},
		"audit":        {"INSERT ON", "DELETE ON", "UPDATE ON"},
	} {
		for i, change := range changes {
			if err := frozen(ctx, db, fmt.Sprintf("%s_%d BEFORE %s %[1]s", table, i, change)); err != nil {
				return err
			}
		}
	}
	// Certificates that connected may be noted, none issued.
	return frozen(ctx, db, "issue BEFORE INSERT ON certificates WHEN NEW.origin <> 'elsewhere'")
}

// frozen refuses a change. Its text is ours alone.
func frozen(ctx context.Context, db *sql.DB, change string) error {
	if _, err := db.ExecContext(ctx, fmt.Sprintf("CREATE TRIGGER frozen_%s BEGIN SELECT RAISE(ABORT, '%s'); END", change, ErrReadOnly)); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	return nil
}
