package obs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// LogFile is a log file that one process or several append to. Every Write is one
// write(2) with O_APPEND, so lines never mix and a file that somebody truncates goes
// on at its start. Rotation renames FILE to FILE.1, FILE.1 to FILE.2 and so on under
// a lock on FILE.lock. Whoever still holds a file that was renamed, moved or deleted,
// by another process of ours, by logrotate or by a person, notices by its inode before
// the next write and makes FILE anew.
type LogFile struct {
	path string
	keep Keep

	mu   sync.Mutex // guards file
	file *os.File
}

// Keep bounds a log file and its rotated copies.
type Keep struct {
	Bytes  int64         // the file is rotated when a write would make it larger
	Copies int           // rotated files that stay
	Age    time.Duration // copies that were written to longer ago go at the next rotation; 0 keeps them
}

// OpenLog opens a log file, which only this user can read, and makes it and its
// folder when missing.
func OpenLog(path string, keep Keep) (*LogFile, error) {
	s := &LogFile{path: path, keep: keep}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *LogFile) open() error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	s.file = f
	return nil
}

// Write appends one record. It is safe for concurrent use.
func (s *LogFile) Write(record []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return 0, os.ErrClosed
	}
	if err := s.follow(int64(len(record))); err != nil {
		// The file that is open takes the record still: it may have been moved while its
		// folder cannot be written.
		n, writeErr := s.file.Write(record)
		return n, errors.Join(writeErr, err)
	}
	return s.file.Write(record)
}

// Close closes the file. Later writes fail with os.ErrClosed.
func (s *LogFile) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// follow opens the file anew when it is no longer the one at the path, and rotates
// it when the next record would not fit.
func (s *LogFile) follow(next int64) error {
	stale, size, err := s.look()
	if err != nil {
		return err
	}
	if !stale && (size == 0 || size+next <= s.keep.Bytes) {
		return nil
	}
	if !stale {
		if err := s.rotate(next); err != nil {
			return err
		}
	}
	old := s.file
	if err := s.open(); err != nil {
		return err
	}
	return old.Close()
}

// look tells whether the open file is no longer the one at the path, and its size.
func (s *LogFile) look() (stale bool, size int64, err error) {
	ours, err := s.file.Stat()
	if err != nil {
		return false, 0, fmt.Errorf("look at log: %w", err)
	}
	theirs, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, 0, nil
	}
	if err != nil {
		return false, 0, fmt.Errorf("look at log: %w", err)
	}
	return !os.SameFile(ours, theirs), ours.Size(), nil
}

// rotate moves the copies one up under the lock, unless another process was first.
func (s *LogFile) rotate(next int64) error {
	unlock, err := lockFile(s.path + ".lock")
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	defer unlock()
	now, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && now.Size()+next <= s.keep.Bytes {
		return nil
	}
	for i := s.keep.Copies; i > 0; i-- {
		err := os.Rename(s.copyName(i-1), s.copyName(i))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotate log: %w", err)
		}
	}
	for i := 2; i <= s.keep.Copies && s.keep.Age > 0; i++ { // the first is what was just written
		info, err := os.Stat(s.copyName(i))
		if err != nil || time.Since(info.ModTime()) <= s.keep.Age {
			continue
		}
		if err := os.Remove(s.copyName(i)); err != nil {
			return fmt.Errorf("remove old log: %w", err)
		}
	}
	return nil
}

// copyName is the n-th rotated copy, the file itself for 0.
func (s *LogFile) copyName(n int) string {
	if n == 0 {
		return s.path
	}
	return s.path + "." + strconv.Itoa(n)
}
