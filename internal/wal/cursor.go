package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

// A cursor is a small file of fixed size. See docs/formats.md, "Cursor".
const (
	cursorDir   = "cursors"
	cursorMagic = "AMOSCURS"
	cursorBytes = 40
	cursorCRCAt = cursorBytes - 4
	cursorHold  = 1

	maxCursorName = 128
)

// CursorInfo describes a cursor.
type CursorInfo struct {
	Name    string    `json:"name"`
	Offset  Offset    `json:"offset"` // next offset the subscriber wants
	Hold    bool      `json:"hold"`   // retention keeps what it still needs
	Updated time.Time `json:"updated"`
}

func (c *CursorInfo) encode() []byte {
	b := make([]byte, cursorBytes)
	le := binary.LittleEndian
	copy(b, cursorMagic)
	le.PutUint64(b[8:], c.Offset)
	le.PutUint64(b[16:], uint64(c.Updated.UnixNano()))
	if c.Hold {
		le.PutUint32(b[24:], cursorHold)
	}
	le.PutUint32(b[cursorCRCAt:], crc32.Checksum(b[:cursorCRCAt], castagnoli()))
	return b
}

// parse decodes and checks b and returns what is wrong, or "".
func (c *CursorInfo) parse(b []byte) string {
	le := binary.LittleEndian
	switch {
	case len(b) != cursorBytes:
		return fmt.Sprintf("cursor has %d bytes instead of %d", len(b), cursorBytes)
	case string(b[:8]) != cursorMagic:
		return "cursor does not start with the magic " + cursorMagic
	case crc32.Checksum(b[:cursorCRCAt], castagnoli()) != le.Uint32(b[cursorCRCAt:]):
		return "cursor fails its checksum"
	}
	c.Offset = le.Uint64(b[8:])
	c.Updated = time.Unix(0, int64(le.Uint64(b[16:]))).UTC()
	c.Hold = le.Uint32(b[24:])&cursorHold != 0
	if c.Offset > maxOffset/4 {
		return "cursor with an impossible offset"
	}
	return ""
}

func validCursorName(name string) bool {
	if name == "" || len(name) > maxCursorName || name[0] == '.' || strings.HasSuffix(name, tempSuffix) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("-_.@", r)
	})
}

// cursorSet holds the log's cursors.
type cursorSet struct {
	fs  vfs.FS
	dir string

	mu   sync.Mutex // also serialises writing of cursor files
	live map[string]CursorInfo
}

// readCursors reads all cursor files below the log's folder dir. Damaged ones
// are handed to bad.
func readCursors(fsys vfs.FS, dir string, bad func(name, reason string)) (map[string]CursorInfo, error) {
	out := map[string]CursorInfo{}
	entries, err := fsys.ReadDir(filepath.Join(dir, cursorDir))
	if vfs.IsNotExist(err) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list cursors: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || !validCursorName(e.Name()) {
			continue // a temporary file left by a crash, or not ours
		}
		b, err := readSmall(fsys, filepath.Join(dir, cursorDir, e.Name()), cursorBytes+1)
		if err != nil {
			return nil, fmt.Errorf("read cursor %s: %w", e.Name(), err)
		}
		c := CursorInfo{Name: e.Name()}
		if reason := c.parse(b); reason != "" {
			bad(e.Name(), reason)
			continue
		}
		out[e.Name()] = c
	}
	return out, nil
}

// readSmall returns the first n bytes of a file, or all when it is shorter.
func readSmall(fsys vfs.FS, name string, n int) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	got, err := f.ReadAt(b, 0)
	return b[:got], errors.Join(ignoreEOF(err), f.Close())
}

// write makes c durable: a temporary file, synced, takes the place of the old
// one. s.mu is held.
func (s *cursorSet) write(c CursorInfo) error {
	dir := filepath.Join(s.dir, cursorDir)
	if err := s.fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	name := filepath.Join(dir, c.Name)
	f, err := s.fs.Create(name + tempSuffix)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(c.encode(), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, s.fs.Remove(name+tempSuffix))
	}
	if err := s.fs.Rename(name+tempSuffix, name); err != nil {
		return err
	}
	return s.fs.SyncDir(dir)
}

// held returns the lowest offset that a cursor with a hold still needs, and
// whose it is.
func (s *cursorSet) held() (Offset, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	low, who := Offset(math.MaxUint64), ""
	for _, c := range s.live {
		if c.Hold && c.Offset < low {
			low, who = c.Offset, c.Name
		}
	}
	return low, who
}

// highest returns the highest offset that any cursor stands at.
func highestCursor(cursors map[string]CursorInfo) (high Offset, who string) {
	for name, c := range cursors {
		if c.Offset > high {
			high, who = c.Offset, name
		}
	}
	return high, who
}

func (s *cursorSet) list() []CursorInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.live), func(a, b CursorInfo) int {
		return strings.Compare(a.Name, b.Name)
	})
}

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
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.live[name]
	if known && c.Hold == hold {
		return &Cursor{log: l, name: name}, nil
	}
	if !known {
		c = CursorInfo{Name: name, Offset: v.first()}
	}
	c.Hold, c.Updated = hold, l.opts.Now()
	if err := s.write(c); err != nil {
		return nil, fmt.Errorf("open cursor %s: %w", name, classify(err))
	}
	s.live[name] = c
	return &Cursor{log: l, name: name}, nil
}

// Offset returns the next offset the subscriber wants.
func (c *Cursor) Offset() Offset {
	s := &c.log.cursors
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[c.name].Offset
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
	s.mu.Lock()
	defer s.mu.Unlock()
	info, known := s.live[c.name]
	if !known {
		return fmt.Errorf("commit cursor %s: %w", c.name, fs.ErrNotExist)
	}
	if info.Offset == off {
		return nil
	}
	info.Offset, info.Updated = off, c.log.opts.Now()
	if err := s.write(info); err != nil {
		return fmt.Errorf("commit cursor %s: %w", c.name, classify(err))
	}
	s.live[c.name] = info
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.live[name]; !known {
		return fmt.Errorf("remove cursor %s: %w", name, fs.ErrNotExist)
	}
	if err := s.fs.Remove(filepath.Join(s.dir, cursorDir, name)); err != nil {
		return fmt.Errorf("remove cursor %s: %w", name, classify(err))
	}
	delete(s.live, name)
	if err := s.fs.SyncDir(filepath.Join(s.dir, cursorDir)); err != nil {
		return fmt.Errorf("remove cursor %s: %w", name, err)
	}
	return nil
}
