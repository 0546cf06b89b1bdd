package vfs

import (
	"errors"
	"path/filepath"
)

// ReplaceFile gives a file new contents, whole or not at all, and durably: it writes a
// file beside it, name with ".new" at its end, and puts that in its place.
func ReplaceFile(fsys FS, name string, b []byte) error {
	f, err := fsys.Create(name + ".new")
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, fsys.Remove(name+".new"))
	}
	if err := fsys.Rename(name+".new", name); err != nil {
		return err //nolint:wrapcheck // it names both
	}
	return fsys.SyncDir(filepath.Dir(name)) //nolint:wrapcheck // it names the folder
}
