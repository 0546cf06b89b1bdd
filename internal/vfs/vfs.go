// Package vfs is the seam between code that must survive a crash and the file
// system it writes to.
//
// Production code uses OS. Tests use memfs, which keeps only what was synced
// when it "crashes", and errorfs, which makes chosen operations fail. The
// interface holds exactly what a log needs: positional and vectored writes,
// both kinds of sync, preallocation, atomic rename and advisory locks.
package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// FS is a file system. Implementations are safe for concurrent use. Names are
// passed to the operating system as they are (slash-separated in tests).
type FS interface {
	// Create makes an empty file open for reading and writing, truncating
	// one that exists. The new name is durable only after SyncDir of its
	// folder.
	Create(name string) (File, error)
	// Open opens a file for reading only.
	Open(name string) (File, error)
	// OpenRW opens an existing file for reading and writing.
	OpenRW(name string) (File, error)
	// Remove deletes a file or an empty folder. Readers that hold the file
	// open keep reading it.
	Remove(name string) error
	// Rename atomically replaces newName by oldName; it is durable after
	// SyncDir of the folder.
	Rename(oldName, newName string) error
	// MkdirAll makes a folder and its parents.
	MkdirAll(dir string, perm fs.FileMode) error
	// ReadDir lists a folder in the order of names.
	ReadDir(dir string) ([]fs.DirEntry, error)
	// Stat describes a file; it fails with an error that is fs.ErrNotExist
	// when there is none.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names in a folder durable.
	SyncDir(dir string) error
	// FreeBytes returns the bytes an unprivileged writer may still use on the
	// file system that holds dir.
	FreeBytes(dir string) (uint64, error)
	// Lock takes an exclusive advisory lock named by a file, which is made
	// when missing, and writes the process id into it. A lock that is held
	// yields a *LockedError. Closing the result releases the lock; the
	// system does so when the process dies.
	Lock(name string) (io.Closer, error)
}

// File is an open file. ReadAt may be called from many goroutines; the writing
// methods are for one goroutine at a time, but Datasync may run beside them. What is
// written meanwhile is made durable by it or not.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// WriteVec writes the pieces one behind the other from off on and
	// returns the bytes written. It keeps no reference to them.
	WriteVec(pieces [][]byte, off int64) (int64, error)
	// Sync makes content and all metadata durable.
	Sync() error
	// Datasync makes content durable, and of the metadata what is needed to
	// read it back. After it has failed, nothing may be assumed of any write
	// since the last success: Linux marks the pages clean all the same.
	Datasync() error
	// Truncate sets the file's size.
	Truncate(size int64) error
	// Preallocate reserves disk space for [off, off+n) and extends the file
	// with zeros when that lies behind its end. It returns an error that is
	// errors.ErrUnsupported where the system cannot.
	Preallocate(off, n int64) error
	// Size returns the file's size in bytes.
	Size() (int64, error)
	// Named reports whether name leads to this very file still, and not to
	// another one or to none.
	Named(name string) (bool, error)
}

// LockedError says that another process holds a lock.
type LockedError struct {
	Path string
	PID  int // 0 when the holder has not written its id
}

// Error names the lock and its holder, and says what to do.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return e.Path + " is locked by another process, which runs already: stop that one, or use another folder"
	}
	return fmt.Sprintf("%s is locked by process %d, which runs already: stop that one, or use another folder", e.Path, e.PID)
}

// IsNotExist reports whether err says that a file or folder is missing.
func IsNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// writePieces is WriteVec by one write per piece, for systems without writev.
func writePieces(w io.WriterAt, pieces [][]byte, off int64) (int64, error) {
	var done int64
	for _, p := range pieces {
		n, err := w.WriteAt(p, off+done)
		done += int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
