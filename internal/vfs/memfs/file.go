package memfs

import (
	"io"
	"io/fs"
	"path"
	"syscall"
	"time"
)

// inode is a file's content; FS.mu guards it.
type inode struct {
	data     []byte
	synced   []byte
	ops      []op // since the last sync, in order
	modified time.Time
}

// op is a write of data at off, or a change of size.
type op struct {
	off  int64
	data []byte
	size int64 // when data is nil
}

func (n *inode) write(off int64, p []byte) {
	n.data = writeAt(n.data, off, p)
	n.ops = append(n.ops, op{off: off, data: append([]byte{}, p...)})
	n.modified = time.Now()
}

func (n *inode) truncate(size int64) {
	n.data = resize(n.data, size)
	n.ops = append(n.ops, op{size: size})
	n.modified = time.Now()
}

func (n *inode) sync() {
	for _, o := range n.ops {
		n.synced = o.apply(n.synced)
	}
	n.ops = nil
}

func (o op) apply(data []byte) []byte {
	if o.data == nil {
		return resize(data, o.size)
	}
	return writeAt(data, o.off, o.data)
}

func writeAt(data []byte, off int64, p []byte) []byte {
	if end := off + int64(len(p)); end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[off:], p)
	return data
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size:size]
	}
	return append(data, make([]byte, size-int64(len(data)))...)
}

func (n *inode) info(name string) info {
	return info{name: path.Base(name), size: int64(len(n.data)), modified: n.modified}
}

type info struct {
	name     string
	size     int64
	modified time.Time
	folder   bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return i.modified }
func (i info) IsDir() bool        { return i.folder }
func (i info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	if i.folder {
		return fs.ModeDir | 0o700
	}
	return 0o600
}

// file is an open inode.
type file struct {
	fs       *FS
	node     *inode
	name     string
	writable bool
	closed   bool
}

func (f *file) check(op string, change bool) error {
	switch {
	case f.closed:
		return pathErr(op, f.name, fs.ErrClosed)
	case change && !f.writable:
		return pathErr(op, f.name, syscall.EBADF)
	case change && f.fs.readOnly:
		return pathErr(op, f.name, syscall.EROFS)
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("read", false); err != nil {
		return 0, err
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt. On a full disk it writes what fits.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("write", true); err != nil {
		return 0, err
	}
	want := off + int64(len(p)) - int64(len(f.node.data))
	if short := want - f.fs.grow(want); short > 0 {
		n := max(0, len(p)-int(short))
		f.node.write(off, p[:n])
		return n, pathErr("write", f.name, syscall.ENOSPC)
	}
	f.node.write(off, p)
	return len(p), nil
}

// WriteVec implements vfs.File.
func (f *file) WriteVec(pieces [][]byte, off int64) (int64, error) {
	var done int64
	for _, p := range pieces {
		n, err := f.WriteAt(p, off+done)
		done += int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Sync implements vfs.File.
func (f *file) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("sync", false); err != nil {
		return err
	}
	f.node.sync()
	return nil
}

// DropUnsynced makes what was written since the last sync never become durable
// although programs go on seeing it: what Linux does after a failed fsync,
// whose pages count as clean.
func (f *file) DropUnsynced() {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.node.ops = nil
}

// Datasync implements vfs.File; the size is needed to read content back, so
// here it does what Sync does.
func (f *file) Datasync() error { return f.Sync() }

// Truncate implements vfs.File.
func (f *file) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("truncate", true); err != nil {
		return err
	}
	f.node.truncate(size)
	return nil
}

// Preallocate implements vfs.File.
func (f *file) Preallocate(off, n int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("fallocate", true); err != nil {
		return err
	}
	if off < 0 || n <= 0 {
		return pathErr("fallocate", f.name, syscall.EINVAL)
	}
	want := off + n - int64(len(f.node.data))
	if want <= 0 {
		return nil
	}
	if f.fs.grow(want) < want {
		return pathErr("fallocate", f.name, syscall.ENOSPC)
	}
	f.node.truncate(off + n)
	return nil
}

// Size implements vfs.File.
func (f *file) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("stat", false); err != nil {
		return 0, err
	}
	return int64(len(f.node.data)), nil
}

// Close implements io.Closer.
func (f *file) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return pathErr("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	return nil
}

// Named implements vfs.File.
func (f *file) Named(name string) (bool, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.fs.names[clean(name)] == f.node, f.check("stat", false)
}
