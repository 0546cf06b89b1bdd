package obs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// sharedBackups is how many rotated copies of a shared log are kept.
const sharedBackups = 3

// SharedFile is a log file that several processes append to. Every Write is one
// write(2) with O_APPEND, so lines never mix. Rotation renames FILE to FILE.1,
// FILE.1 to FILE.2 and so on under a lock on FILE.lock; a process that still
// holds the renamed file notices by its inode before the next write.
type SharedFile struct {
	path    string
	maxSize int64

	mu   sync.Mutex // guards file
	file *os.File
}

// OpenShared opens a shared log, making it and its folder when missing. It is
// rotated when a write would make it larger than maxSize bytes.
func OpenShared(path string, maxSize int64) (*SharedFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open shared log: %w", err)
	}
	s := &SharedFile{path: path, maxSize: maxSize}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *SharedFile) open() error {
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open shared log: %w", err)
	}
	s.file = f
	return nil
}

// Write appends one record. It is safe for concurrent use.
func (s *SharedFile) Write(record []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return 0, os.ErrClosed
	}
	if err := s.follow(int64(len(record))); err != nil {
		return 0, err
	}
	return s.file.Write(record)
}

// Close closes the file. Later writes fail with os.ErrClosed.
func (s *SharedFile) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// follow reopens the file when another process rotated it, and rotates it when
// the next record would not fit.
func (s *SharedFile) follow(next int64) error {
	stale, size, err := s.look()
	if err != nil {
		return err
	}
	if !stale && (size == 0 || size+next <= s.maxSize) {
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
func (s *SharedFile) look() (stale bool, size int64, err error) {
	ours, err := s.file.Stat()
	if err != nil {
		return false, 0, fmt.Errorf("look at shared log: %w", err)
	}
	theirs, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, 0, nil
	}
	if err != nil {
		return false, 0, fmt.Errorf("look at shared log: %w", err)
	}
	return !os.SameFile(ours, theirs), ours.Size(), nil
}

// rotate moves the copies one up under the lock, unless another process was first.
func (s *SharedFile) rotate(next int64) error {
	unlock, err := lockFile(s.path + ".lock")
	if err != nil {
		return fmt.Errorf("rotate shared log: %w", err)
	}
	defer unlock()
	now, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && now.Size()+next <= s.maxSize {
		return nil
	}
	for i := sharedBackups; i > 0; i-- {
		from := s.path
		if i > 1 {
			from += "." + strconv.Itoa(i-1)
		}
		err := os.Rename(from, s.path+"."+strconv.Itoa(i))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotate shared log: %w", err)
		}
	}
	return nil
}
