package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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

func encodeCursor(c *CursorInfo) []byte {
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

// parseCursor decodes and checks b and returns what is wrong, or "".
func parseCursor(c *CursorInfo, b []byte) string {
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

// cursorSet holds the log's cursors. Whoever takes both mutexes takes files first.
type cursorSet struct {
	fs  vfs.FS
	dir string

	files sync.Mutex // serialises changes, which wait for the disk
	mu    sync.Mutex // guards live; the writer takes it, so nobody waits for a disk with it
	live  map[string]CursorInfo
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
		if reason := parseCursor(&c, b); reason != "" {
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
// one. s.files is held, s.mu is not.
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
	_, err = f.WriteAt(encodeCursor(&c), 0)
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

// get returns a cursor.
func (s *cursorSet) get(name string) (c CursorInfo, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known = s.live[name]
	return c, known
}

// put sets a cursor, or drops it when it is not known.
func (s *cursorSet) put(c CursorInfo, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known {
		s.live[c.Name] = c
	} else {
		delete(s.live, c.Name)
	}
}

// change makes c durable in the place of old. What retention must keep from now on
// counts before the file is written, what it may give up only afterwards. s.files is
// held.
func (s *cursorSet) change(old CursorInfo, known bool, c CursorInfo) error {
	meanwhile := c
	if known {
		meanwhile = old
		meanwhile.Offset, meanwhile.Hold = min(old.Offset, c.Offset), old.Hold || c.Hold
	}
	s.put(meanwhile, true)
	if err := s.write(c); err != nil {
		old.Name = c.Name
		s.put(old, known)
		return err
	}
	s.put(c, true)
	return nil
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
