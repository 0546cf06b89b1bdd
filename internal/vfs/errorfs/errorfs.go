// Package errorfs wraps a file system so that a test decides, operation by
// operation, what fails and how.
package errorfs

import (
	"io"
	"io/fs"
	"sync/atomic"

	"github.com/amoskys/amoskys/internal/vfs"
)

// Kind names an operation.
type Kind string

// The operations that can fail.
const (
	Create      Kind = "create"
	Open        Kind = "open"
	OpenRW      Kind = "open_rw"
	Remove      Kind = "remove"
	Rename      Kind = "rename"
	Mkdir       Kind = "mkdir"
	ReadDir     Kind = "read_dir"
	Stat        Kind = "stat"
	SyncDir     Kind = "sync_dir"
	FreeBytes   Kind = "free_bytes"
	Lock        Kind = "lock"
	Read        Kind = "read"
	Write       Kind = "write"
	Sync        Kind = "sync"
	Datasync    Kind = "datasync"
	Truncate    Kind = "truncate"
	Preallocate Kind = "preallocate"
	Size        Kind = "size"
	Close       Kind = "close"
)

// Op is one operation about to happen.
type Op struct {
	N    int64 // operations counted from 1 over the file system's life
	Kind Kind
	Path string
	// From and To are the bytes of the file that are asked for, of a Read alone.
	From, To int64
}

// Hits reports whether the operation reads a byte of [from, to).
func (o Op) Hits(from, to int64) bool { return o.Kind == Read && o.From < to && o.To > from }

// Inject decides about an operation: nil lets it happen. An error is returned
// in its place; a failing write first writes half of its bytes, as a full disk
// does, and a failing sync or close does not sync. It is called from many
// goroutines.
type Inject func(Op) error

// FS is a file system with faults. Use Wrap.
type FS struct {
	inner  vfs.FS
	inject Inject
	n      atomic.Int64
}

var _ vfs.FS = (*FS)(nil)

// Wrap returns inner with faults.
func Wrap(inner vfs.FS, inject Inject) *FS { return &FS{inner: inner, inject: inject} }

// Nth fails the nth operation (counted from 1) with err.
func Nth(n int64, err error) Inject {
	return func(o Op) error {
		if o.N == n {
			return err
		}
		return nil
	}
}

// From fails every operation from the nth on that changes the disk with err;
// reading goes on.
func From(n int64, err error) Inject {
	return func(o Op) error {
		if o.N >= n && o.Kind.Changes() {
			return err
		}
		return nil
	}
}

// Changes reports whether the operation changes the disk.
func (k Kind) Changes() bool {
	switch k {
	case Create, OpenRW, Remove, Rename, Mkdir, SyncDir, Lock, Write, Sync, Datasync, Truncate, Preallocate:
		return true
	case Open, ReadDir, Stat, FreeBytes, Read, Size, Close:
		return false
	}
	return false
}

// Ops returns how many operations have happened.
func (f *FS) Ops() int64 { return f.n.Load() }

func (f *FS) check(k Kind, path string) error { return f.decide(Op{Kind: k, Path: path}) }

func (f *FS) decide(o Op) error {
	o.N = f.n.Add(1)
	if err := f.inject(o); err != nil {
		return &fs.PathError{Op: string(o.Kind), Path: o.Path, Err: err}
	}
	return nil
}

func (f *FS) wrap(k Kind, name string, open func(string) (vfs.File, error)) (vfs.File, error) {
	if err := f.check(k, name); err != nil {
		return nil, err
	}
	inner, err := open(name)
	if err != nil {
		return nil, err
	}
	return &file{File: inner, fs: f, name: name}, nil
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) { return f.wrap(Create, name, f.inner.Create) }

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) { return f.wrap(Open, name, f.inner.Open) }

// OpenRW implements vfs.FS.
func (f *FS) OpenRW(name string) (vfs.File, error) { return f.wrap(OpenRW, name, f.inner.OpenRW) }

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	if err := f.check(Remove, name); err != nil {
		return err
	}
	return f.inner.Remove(name)
}

// Rename implements vfs.FS.
func (f *FS) Rename(oldName, newName string) error {
	if err := f.check(Rename, newName); err != nil {
		return err
	}
	return f.inner.Rename(oldName, newName)
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string, perm fs.FileMode) error {
	if err := f.check(Mkdir, dir); err != nil {
		return err
	}
	return f.inner.MkdirAll(dir, perm)
}

// ReadDir implements vfs.FS.
func (f *FS) ReadDir(dir string) ([]fs.DirEntry, error) {
	if err := f.check(ReadDir, dir); err != nil {
		return nil, err
	}
	return f.inner.ReadDir(dir)
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	if err := f.check(Stat, name); err != nil {
		return nil, err
	}
	return f.inner.Stat(name)
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	if err := f.check(SyncDir, dir); err != nil {
		return err
	}
	return f.inner.SyncDir(dir)
}

// FreeBytes implements vfs.FS.
func (f *FS) FreeBytes(dir string) (uint64, error) {
	if err := f.check(FreeBytes, dir); err != nil {
		return 0, err
	}
	return f.inner.FreeBytes(dir)
}

// Lock implements vfs.FS.
func (f *FS) Lock(name string) (io.Closer, error) {
	if err := f.check(Lock, name); err != nil {
		return nil, err
	}
	return f.inner.Lock(name)
}
