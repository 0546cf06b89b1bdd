// Package memfs is a file system in memory for tests. It distinguishes what
// was written from what was synced, so that Crash can hand out the disk as a
// power failure would have left it.
//
// The model is as strict as POSIX allows: a file's bytes are durable after
// Sync or Datasync of that file, a name after SyncDir of its folder, and
// nothing else is.
package memfs

import (
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

// FS is a file system in memory. Use New.
type FS struct {
	mu       sync.Mutex
	names    map[string]*inode // as programs see it
	durable  map[string]*inode // as the disk has it
	pending  []nameChange      // changes of names not yet durable, in order
	folders  map[string]bool
	locks    map[string]bool
	capacity int64
	readOnly bool
}

var _ vfs.FS = (*FS)(nil)

// nameChange is one step of the folder journal: remove, then set.
type nameChange struct {
	dir    string
	remove string
	set    string
	node   *inode
}

// New returns an empty file system without a size limit.
func New() *FS {
	return &FS{
		names:    map[string]*inode{},
		durable:  map[string]*inode{},
		folders:  map[string]bool{"/": true, ".": true},
		locks:    map[string]bool{},
		capacity: math.MaxInt64,
	}
}

// SetCapacity limits the bytes that all files together may hold; writes behind
// it fail with ENOSPC. It may be changed at any time.
func (m *FS) SetCapacity(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = n
}

// SetReadOnly makes every change fail with EROFS, or allows changes again.
func (m *FS) SetReadOnly(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readOnly = on
}

// Used returns the bytes that all files together hold.
func (m *FS) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.usedLocked()
}

func (m *FS) usedLocked() int64 {
	var n int64
	for _, node := range m.names {
		n += int64(len(node.data))
	}
	return n
}

// grow says how many of n more bytes the disk can take.
func (m *FS) grow(n int64) int64 {
	if n <= 0 || m.capacity == math.MaxInt64 {
		return n
	}
	return min(n, max(0, m.capacity-m.usedLocked()))
}

func clean(name string) string { return path.Clean(strings.ReplaceAll(name, "\\", "/")) }

func pathErr(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Create implements vfs.FS.
func (m *FS) Create(name string) (vfs.File, error) {
	name = clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.readOnly:
		return nil, pathErr("create", name, syscall.EROFS)
	case !m.folders[path.Dir(name)]:
		return nil, pathErr("create", name, fs.ErrNotExist)
	}
	node := m.names[name]
	if node == nil {
		node = &inode{modified: time.Now()}
		m.names[name] = node
		m.pending = append(m.pending, nameChange{dir: path.Dir(name), set: name, node: node})
	}
	node.truncate(0)
	return &file{fs: m, node: node, name: name, writable: true}, nil
}

// Open implements vfs.FS.
func (m *FS) Open(name string) (vfs.File, error) { return m.open(name, false) }

// OpenRW implements vfs.FS.
func (m *FS) OpenRW(name string) (vfs.File, error) { return m.open(name, true) }

func (m *FS) open(name string, writable bool) (vfs.File, error) {
	name = clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	node := m.names[name]
	if node == nil {
		return nil, pathErr("open", name, fs.ErrNotExist)
	}
	if writable && m.readOnly {
		return nil, pathErr("open", name, syscall.EROFS)
	}
	return &file{fs: m, node: node, name: name, writable: writable}, nil
}

// Remove implements vfs.FS.
func (m *FS) Remove(name string) error {
	name = clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.readOnly {
		return pathErr("remove", name, syscall.EROFS)
	}
	if m.names[name] == nil {
		return pathErr("remove", name, fs.ErrNotExist)
	}
	delete(m.names, name)
	m.pending = append(m.pending, nameChange{dir: path.Dir(name), remove: name})
	return nil
}

// Rename implements vfs.FS.
func (m *FS) Rename(oldName, newName string) error {
	oldName, newName = clean(oldName), clean(newName)
	m.mu.Lock()
	defer m.mu.Unlock()
	node := m.names[oldName]
	switch {
	case m.readOnly:
		return pathErr("rename", oldName, syscall.EROFS)
	case node == nil, !m.folders[path.Dir(newName)]:
		return pathErr("rename", oldName, fs.ErrNotExist)
	}
	delete(m.names, oldName)
	m.names[newName] = node
	from, to := path.Dir(oldName), path.Dir(newName)
	if from == to {
		m.pending = append(m.pending, nameChange{dir: to, remove: oldName, set: newName, node: node})
		return nil
	}
	m.pending = append(m.pending,
		nameChange{dir: to, set: newName, node: node},
		nameChange{dir: from, remove: oldName})
	return nil
}

// MkdirAll implements vfs.FS. Folders are durable at once.
func (m *FS) MkdirAll(dir string, _ fs.FileMode) error {
	dir = clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.folders[dir] {
		return nil
	}
	if m.readOnly {
		return pathErr("mkdir", dir, syscall.EROFS)
	}
	for d := dir; !m.folders[d]; d = path.Dir(d) {
		m.folders[d] = true
	}
	return nil
}

// ReadDir implements vfs.FS.
func (m *FS) ReadDir(dir string) ([]fs.DirEntry, error) {
	dir = clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.folders[dir] {
		return nil, pathErr("readdir", dir, fs.ErrNotExist)
	}
	var out []fs.DirEntry
	for name, node := range m.names {
		if path.Dir(name) == dir {
			out = append(out, fs.FileInfoToDirEntry(node.info(name)))
		}
	}
	for name := range m.folders {
		if name != dir && path.Dir(name) == dir {
			out = append(out, fs.FileInfoToDirEntry(info{name: path.Base(name), folder: true}))
		}
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

// Stat implements vfs.FS.
func (m *FS) Stat(name string) (fs.FileInfo, error) {
	name = clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if node := m.names[name]; node != nil {
		return node.info(name), nil
	}
	if m.folders[name] {
		return info{name: path.Base(name), folder: true}, nil
	}
	return nil, pathErr("stat", name, fs.ErrNotExist)
}

// SyncDir implements vfs.FS.
func (m *FS) SyncDir(dir string) error {
	dir = clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.pending[:0:0]
	for _, c := range m.pending {
		if c.dir == dir {
			c.apply(m.durable)
		} else {
			rest = append(rest, c)
		}
	}
	m.pending = rest
	return nil
}

func (c nameChange) apply(names map[string]*inode) {
	if c.remove != "" {
		delete(names, c.remove)
	}
	if c.set != "" {
		names[c.set] = c.node
	}
}

// FreeBytes implements vfs.FS.
func (m *FS) FreeBytes(string) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(max(0, m.capacity-m.usedLocked())), nil
}

// Lock implements vfs.FS. Locks end with the file system they were taken on:
// a crashed copy has none.
func (m *FS) Lock(name string) (io.Closer, error) {
	name = clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[name] {
		return nil, &vfs.LockedError{Path: name, PID: os.Getpid()}
	}
	if m.readOnly {
		return nil, pathErr("lock", name, syscall.EROFS)
	}
	m.locks[name] = true
	return unlocker(func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.locks, name)
		return nil
	}), nil
}

type unlocker func() error

func (u unlocker) Close() error { return u() }

// Bytes returns a copy of a file's content as programs see it.
func (m *FS) Bytes(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	node := m.names[clean(name)]
	if node == nil {
		return nil, pathErr("read", name, fs.ErrNotExist)
	}
	return slices.Clone(node.data), nil
}

// Put sets a file's content, durably, making its folder when needed. It is
// how a test damages a file.
func (m *FS) Put(name string, content []byte) error {
	name = clean(name)
	if err := m.MkdirAll(path.Dir(name), 0o700); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	node := &inode{data: slices.Clone(content), synced: slices.Clone(content), modified: time.Now()}
	m.names[name], m.durable[name] = node, node
	return nil
}
