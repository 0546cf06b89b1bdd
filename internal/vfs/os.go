package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// OS is the operating system's file system. The zero value is ready for use.
// Files are made with mode 0600 and opened without following the process's
// umask further than that: logs and spools hold other people's telemetry.
type OS struct{}

var _ FS = OS{}

// Create implements FS.
func (OS) Create(name string) (File, error) {
	return wrapFile(os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600))
}

// Open implements FS.
func (OS) Open(name string) (File, error) {
	return wrapFile(os.OpenFile(name, os.O_RDONLY|noWait, 0))
}

// OpenRW implements FS.
func (OS) OpenRW(name string) (File, error) {
	return wrapFile(os.OpenFile(name, os.O_RDWR|noWait, 0))
}

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// Rename implements FS.
func (OS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }

// MkdirAll implements FS.
func (OS) MkdirAll(dir string, perm fs.FileMode) error { return os.MkdirAll(dir, perm) }

// ReadDir implements FS.
func (OS) ReadDir(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }

// Stat implements FS.
func (OS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(d), d.Close())
}

// FreeBytes implements FS.
func (OS) FreeBytes(dir string) (uint64, error) { return freeBytes(dir) }

// UsedBytes returns how much of the disk of dir is taken, by whomever.
func (OS) UsedBytes(dir string) (uint64, error) { return usedBytes(dir) }

// Lock implements FS.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	held, err := lockFile(f)
	if err != nil {
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: name, Err: err}, f.Close())
	}
	if held {
		text, _ := io.ReadAll(io.LimitReader(f, 32))
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		_ = f.Close()
		return nil, &LockedError{Path: name, PID: pid}
	}
	err = errors.Join(f.Truncate(0), writeAll(f, strconv.Itoa(os.Getpid())+"\n"))
	if err != nil && !errors.Is(err, syscall.ENOSPC) { // a full disk keeps nobody from holding the lock
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func writeAll(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// osFile adds what os.File lacks.
type osFile struct{ *os.File }

// System is the file as the system knows it.
func (f *osFile) System() *os.File { return f.File }

func wrapFile(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &osFile{f}, nil
}

// WriteVec implements File.
func (f *osFile) WriteVec(pieces [][]byte, off int64) (int64, error) {
	return writeVec(f.File, pieces, off)
}

// Datasync implements File.
func (f *osFile) Datasync() error { return datasync(f.File) }

// Preallocate implements File.
func (f *osFile) Preallocate(off, n int64) error { return preallocate(f.File, off, n) }

// Size implements File.
func (f *osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Named implements File.
func (f *osFile) Named(name string) (bool, error) {
	there, err := os.Lstat(name)
	if IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	own, err := f.Stat()
	return err == nil && os.SameFile(there, own), err
}
