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
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

// ErrReadOnly says that the database lies on a file system that cannot be written.
var ErrReadOnly = errors.New("the home is read-only")

// ErrNoRoom says that the disk of the database was full when it was opened.
var ErrNoRoom = errors.New("the disk of the home is full")

// copied is a copy of a database that cannot be written, in a folder of its own.
type copied struct {
	dir, file string
	why       error // ErrReadOnly or ErrNoRoom
	lock      interface{ Close() error }
}

// asidePrefix begins the names of folders of copies.
const asidePrefix = "amoskys-state-"

// asideFolders are where a copy may lie: the last one is in memory, where the disk that is
// full is also that of temporary files.
func asideFolders() []string { return []string{os.TempDir(), "/dev/shm"} }

// aside copies a database that cannot be written, with what its journal holds, to a
// folder of its own, so that it can be read and people can sign in.
func aside(file string, why error) (c *copied, err error) {
	for _, folder := range asideFolders() {
		sweepAside(folder)
		if c, err = copyAside(folder, file, why); err == nil {
			return c, nil
		}
	}
	return nil, fmt.Errorf("copy it aside: %w", err)
}

func copyAside(folder, file string, why error) (_ *copied, err error) {
	dir, err := os.MkdirTemp(folder, asidePrefix)
	if err != nil {
		return nil, err
	}
	c := &copied{dir: dir, file: filepath.Join(dir, filepath.Base(file)), why: why}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.discard())
		}
	}()
	if c.lock, err = (vfs.OS{}).Lock(filepath.Join(dir, asideLock)); err != nil {
		return nil, err
	}
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(file + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(c.file+suffix, b, 0o600)
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// asideLock is locked for as long as somebody has the copy open.
const asideLock = "lock"

// asideGrace is how old a folder without a lock must be, that nobody is about to lock it.
const asideGrace = time.Minute

// sweepAside removes copies of programs that were killed: they hold accounts.
func sweepAside(folder string) {
	dirs, _ := filepath.Glob(filepath.Join(folder, asidePrefix+"*")) // the pattern is right
	for _, dir := range dirs {
		// Anybody may make a folder of that name here, and put a link in it that leads to a file of ours.
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !isOurs(info) || info.Mode().Perm()&0o077 != 0 || time.Since(info.ModTime()) < asideGrace {
			continue
		}
		lock, err := vfs.OS{}.Lock(filepath.Join(dir, asideLock))
		if err != nil {
			continue // it is used, or another user's
		}
		_ = os.RemoveAll(dir) // the next one tries again
		_ = lock.Close()
	}
}

// discard removes the copy.
func (c *copied) discard() error {
	if c == nil {
		return nil
	}
	err := os.RemoveAll(c.dir)
	if c.lock != nil {
		err = errors.Join(err, c.lock.Close())
	}
	return err
}

// whyNot says why a database cannot be written, nil where that is not what is wrong.
func whyNot(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EROFS):
		return ErrReadOnly
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), sqliteEngine{}.fault(err) == faultNoRoom:
		return ErrNoRoom
	}
	return nil
}

// freeze refuses changes that people would believe in: what is written to a copy is
// gone with it. Sessions may come and go, and so may what agents say of themselves.
func freeze(ctx context.Context, db *sql.DB, why error) error {
	for table, changes := range map[string][]string{
		"users":        {"INSERT ON", "DELETE ON", "UPDATE OF name, role, password_hash ON"},
		"tokens":       {"INSERT ON", "DELETE ON", "UPDATE ON"},
		"certificates": {"DELETE ON", "UPDATE ON"},
		"revocations":  {"INSERT ON", "DELETE ON", "UPDATE ON"},
		"audit":        {"INSERT ON", "DELETE ON", "UPDATE ON"},
	} {
		for i, change := range changes {
			if err := frozen(ctx, db, why, fmt.Sprintf("%s_%d BEFORE %s %[1]s", table, i, change)); err != nil {
				return err
			}
		}
	}
	// Certificates that connected may be noted, none issued.
	return frozen(ctx, db, why, "issue BEFORE INSERT ON certificates WHEN NEW.origin <> 'elsewhere'")
}

// frozen refuses a change. Its text is ours alone.
func frozen(ctx context.Context, db *sql.DB, why error, change string) error {
	if _, err := db.ExecContext(ctx, fmt.Sprintf("CREATE TRIGGER frozen_%s BEGIN SELECT RAISE(ABORT, '%s'); END", change, why)); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	return nil
}
