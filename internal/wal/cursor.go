package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/amoskys/amoskys/internal/vfs"
)

// Cursor is a subscriber's durable place in the log: the next offset it wants.
// It is safe for concurrent use.
type Cursor struct {
	log  *Log
	name string
}

// Cursor opens the cursor with the given name, made of letters, digits and
// "-_.@". A new one starts at the log's first offset. With hold, retention
// keeps the segments that the cursor has not passed, also while nobody has it
// open. Handles of the same name share one place.
func (l *Log) Cursor(name string, hold bool) (*Cursor, error) {
	if !validCursorName(name) {
		return nil, fmt.Errorf("open cursor %q: %w", name, fs.ErrInvalid)
	}
	v := l.view.Load()
	if v.closed {
		return nil, fmt.Errorf("open cursor %s: %w", name, ErrClosed)
	}
	s := &l.cursors
	if c, known := s.get(name); known && c.Hold == hold {
		return &Cursor{log: l, name: name}, nil
	}
	s.files.Lock()
	defer s.files.Unlock()
	old, known := s.get(name)
	c := old
	if !known {
		c = CursorInfo{Name: name, Offset: v.first()}
	}
	c.Hold, c.Updated = hold, l.opts.Now()
	if err := s.change(old, known, c); err != nil {
		return nil, fmt.Errorf("open cursor %s: %w", name, classify(err))
	}
	return &Cursor{log: l, name: name}, nil
}

// Offset returns the next offset the subscriber wants.
func (c *Cursor) Offset() Offset {
	info, _ := c.log.cursors.get(c.name)
	return info.Offset
}

// Commit makes off durable as the next offset the subscriber wants. Moving
// back is allowed, moving behind the log's durable end is not.
func (c *Cursor) Commit(off Offset) error {
	v := c.log.view.Load()
	if v.closed {
		return fmt.Errorf("commit cursor %s: %w", c.name, ErrClosed)
	}
	if off > v.next {
		return fmt.Errorf("commit cursor %s: offset %d is behind the end of the log, %d: %w", c.name, off, v.next, fs.ErrInvalid)
	}
	s := &c.log.cursors
	s.files.Lock()
	defer s.files.Unlock()
	old, known := s.get(c.name)
	if !known {
		return fmt.Errorf("commit cursor %s: %w", c.name, fs.ErrNotExist)
	}
	if old.Offset == off {
		return nil
	}
	info := old
	info.Offset, info.Updated = off, c.log.opts.Now()
	if err := s.change(old, true, info); err != nil {
		return fmt.Errorf("commit cursor %s: %w", c.name, classify(err))
	}
	return nil
}

// Close gives the handle up; the cursor itself stays.
func (c *Cursor) Close() error { return nil }

// Cursors lists the cursors by name.
func (l *Log) Cursors() []CursorInfo { return l.cursors.list() }

// RemoveCursor deletes a cursor and with it its hold. A missing one is an
// error that is fs.ErrNotExist.
func (l *Log) RemoveCursor(name string) error {
	s := &l.cursors
	s.files.Lock()
	defer s.files.Unlock()
	old, known := s.get(name)
	if !known {
		return fmt.Errorf("remove cursor %s: %w", name, fs.ErrNotExist)
	}
	if err := s.fs.Remove(filepath.Join(s.dir, cursorDir, name)); err != nil {
		return fmt.Errorf("remove cursor %s: %w", name, classify(err))
	}
	s.put(old, false)
	if err := s.fs.SyncDir(filepath.Join(s.dir, cursorDir)); err != nil {
		return fmt.Errorf("remove cursor %s: %w", name, err)
	}
	return nil
}

// Lock takes the lock of the log in dir, which must be there, so that nobody opens it
// until the lock is closed. While somebody has it, the error is a *vfs.LockedError.
func Lock(fsys vfs.FS, dir string) (io.Closer, error) {
	if _, err := fsys.Stat(dir); err != nil {
		return nil, fmt.Errorf("lock log: %w", err)
	}
	lock, err := fsys.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("lock log: %w", err)
	}
	return lock, nil
}

// RemoveCursor deletes a cursor of a log that nobody has open, and returns where it
// stood; while somebody has, the error is a *vfs.LockedError. A damaged one can be
// removed too, and stood nowhere.
func RemoveCursor(fsys vfs.FS, dir, name string) (c CursorInfo, err error) {
	if !validCursorName(name) {
		return c, fmt.Errorf("remove cursor %q: %w", name, fs.ErrInvalid)
	}
	path := filepath.Join(dir, cursorDir, name)
	if _, err := fsys.Stat(path); err != nil { // before a lock file is made where there is no log
		return c, fmt.Errorf("remove cursor %s: %w", name, err)
	}
	lock, err := fsys.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return c, fmt.Errorf("remove cursor %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	all, err := readCursors(fsys, dir, func(string, string) {})
	if err != nil {
		return c, err
	}
	if err := fsys.Remove(path); err != nil {
		return c, fmt.Errorf("remove cursor %s: %w", name, classify(err))
	}
	return all[name], fsys.SyncDir(filepath.Join(dir, cursorDir))
}
