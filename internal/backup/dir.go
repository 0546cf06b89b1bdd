package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/amoskys/amoskys/internal/vfs"
)

// dir is a folder that holds backups.
type dir struct{ path string }

// openDir returns a folder as a place.
func openDir(name string, makeIt bool) (*dir, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("find the folder of backups: %w", err)
	}
	if makeIt {
		if err := os.MkdirAll(abs, 0o700); err != nil {
			return nil, fmt.Errorf("make the folder of backups: %w", err)
		}
	}
	info, err := os.Stat(abs)
	if err != nil {
		return nil, fmt.Errorf("find the folder of backups: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("backups lie in a folder, and %s is a file", abs)
	}
	return &dir{abs}, nil
}

// String implements Place.
func (d *dir) String() string { return d.path }

func (d *dir) file(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

// temporary is the end of the name of a file that is being written.
const temporary = ".part"

// Put implements Place. A crash leaves a file that ends with .part, which is overwritten
// or pruned.
func (d *dir) Put(ctx context.Context, name string, content []byte) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	to := d.file(name)
	folder := filepath.Dir(to)
	if err := d.makeFolder(folder); err != nil {
		return err
	}
	if err := writeFile(to+temporary, content, 0o600, forget); err != nil {
		return err
	}
	if err := os.Rename(to+temporary, to); err != nil {
		return err //nolint:wrapcheck // it names both files
	}
	return vfs.OS{}.SyncDir(folder) //nolint:wrapcheck // it names the folder
}

// makeFolder makes a folder of the place, durably.
func (d *dir) makeFolder(folder string) error {
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err //nolint:wrapcheck // it names the folder
	}
	for at := filepath.Dir(folder); strings.HasPrefix(at, d.path); at = filepath.Dir(at) {
		if err := (vfs.OS{}).SyncDir(at); err != nil {
			return err //nolint:wrapcheck // it names the folder
		}
	}
	return nil
}

// WriteFile writes a file and makes its content durable; its name is with its folder.
func WriteFile(name string, content []byte, mode fs.FileMode) error {
	return writeFile(name, content, mode, func(*os.File) {})
}

// writeFile is WriteFile with something that is done with the file when it is durable.
func writeFile(name string, content []byte, mode fs.FileMode, durable func(*os.File)) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		durable(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// Read implements Place.
func (d *dir) Read(ctx context.Context, name string, most int64) (b []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	f, err := os.Open(d.file(name))
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, most)) //nolint:wrapcheck // it names the file
}

// List implements Place.
func (d *dir) List(ctx context.Context, folder string, each func(Stored) error) error {
	return filepath.WalkDir(d.file(folder), func(path string, entry fs.DirEntry, err error) error { //nolint:wrapcheck // it names the file
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case entry.IsDir():
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(d.path, path)
		if err != nil {
			return err
		}
		return each(Stored{Name: filepath.ToSlash(name), Size: info.Size(), Changed: info.ModTime()})
	})
}

// Remove implements Place.
func (d *dir) Remove(_ context.Context, name string) error {
	if err := os.Remove(d.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err //nolint:wrapcheck // it names the file
	}
	return nil
}

// errBusy says that somebody else makes a backup in the same folder.
var errBusy = errors.New("another backup is being made in the same folder: wait until it is done")

// lock keeps others from writing to the folder.
func (d *dir) lock() (io.Closer, error) {
	l, err := vfs.OS{}.Lock(d.file("lock"))
	if held, is := errors.AsType[*vfs.LockedError](err); is {
		return nil, fmt.Errorf("%w (process %d)", errBusy, held.PID)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the folder of backups: %w", err)
	}
	return l, nil
}
