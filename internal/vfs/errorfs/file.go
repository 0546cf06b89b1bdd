package errorfs

import (
	"errors"

	"github.com/amoskys/amoskys/internal/vfs"
)

// file is an open file with faults.
type file struct {
	vfs.File
	fs   *FS
	name string
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.decide(Op{Kind: Read, Path: f.name, From: off, To: off + int64(len(p))}); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// WriteAt implements io.WriterAt.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.check(Write, f.name); err != nil {
		n, inner := f.File.WriteAt(p[:len(p)/2], off)
		return n, errors.Join(err, inner)
	}
	return f.File.WriteAt(p, off)
}

// WriteVec implements vfs.File.
func (f *file) WriteVec(pieces [][]byte, off int64) (int64, error) {
	if err := f.fs.check(Write, f.name); err != nil {
		n, inner := f.File.WriteVec(pieces[:len(pieces)/2], off)
		return n, errors.Join(err, inner)
	}
	return f.File.WriteVec(pieces, off)
}

// Sync implements vfs.File.
func (f *file) Sync() error {
	if err := f.fs.check(Sync, f.name); err != nil {
		f.dropUnsynced()
		return err
	}
	return f.File.Sync()
}

// Datasync implements vfs.File.
func (f *file) Datasync() error {
	if err := f.fs.check(Datasync, f.name); err != nil {
		f.dropUnsynced()
		return err
	}
	return f.File.Datasync()
}

// dropUnsynced tells a file that can do so that its unsynced pages are gone for
// good, as they are after a failed sync on Linux.
func (f *file) dropUnsynced() {
	if d, ok := f.File.(interface{ DropUnsynced() }); ok {
		d.DropUnsynced()
	}
}

// Truncate implements vfs.File.
func (f *file) Truncate(size int64) error {
	if err := f.fs.check(Truncate, f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// Preallocate implements vfs.File.
func (f *file) Preallocate(off, n int64) error {
	if err := f.fs.check(Preallocate, f.name); err != nil {
		return err
	}
	return f.File.Preallocate(off, n)
}

// Size implements vfs.File.
func (f *file) Size() (int64, error) {
	if err := f.fs.check(Size, f.name); err != nil {
		return 0, err
	}
	return f.File.Size()
}

// Close implements io.Closer. The file is closed even when the close fails.
func (f *file) Close() error {
	err := f.fs.check(Close, f.name)
	return errors.Join(err, f.File.Close())
}
