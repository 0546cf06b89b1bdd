package wal

import (
	"sync"

	"github.com/amoskys/amoskys/internal/vfs"
)

// sharedFiles are the files of segments that readers have open: one of each segment,
// however many readers are in it. A reader keeps its own place and reads at it, so
// that they need not share more.
type sharedFiles struct {
	mu   sync.Mutex // guards what follows
	open map[*segment]*openFile
}

type openFile struct {
	vfs.File
	readers int
}

// sharedFile is one reader's part of an open file.
type sharedFile struct {
	vfs.File
	of   *sharedFiles
	seg  *segment
	once sync.Once
}

// take opens a segment's file by open, unless some reader has it open already.
func (s *sharedFiles) take(seg *segment, open func() (vfs.File, error)) (vfs.File, error) {
	if f := s.join(seg, nil); f != nil {
		return f, nil
	}
	file, err := open() // not under the lock: the disk may be slow
	if err != nil {
		return nil, err
	}
	return s.join(seg, file), nil
}

// join adds a reader to a segment's open file, or to opened where there is none. It
// returns nil when there is neither.
func (s *sharedFiles) join(seg *segment, opened vfs.File) vfs.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.open[seg]
	switch {
	case f == nil && opened == nil:
		return nil
	case f == nil:
		if s.open == nil {
			s.open = map[*segment]*openFile{}
		}
		f = &openFile{File: opened}
		s.open[seg] = f
	case opened != nil:
		_ = opened.Close() // another reader was faster; nothing was written to it
	}
	f.readers++
	return &sharedFile{File: f.File, of: s, seg: seg}
}

// Close takes the reader off; the last one closes the file.
func (f *sharedFile) Close() (err error) {
	f.once.Do(func() {
		f.of.mu.Lock()
		defer f.of.mu.Unlock()
		open := f.of.open[f.seg]
		if open.readers--; open.readers == 0 {
			delete(f.of.open, f.seg)
			err = open.Close()
		}
	})
	return err
}

// openForReading opens a segment's file for a reader.
func (l *Log) openForReading(seg *segment) (vfs.File, error) {
	return l.files.take(seg, func() (vfs.File, error) { return l.opts.FS.Open(seg.path(l.opts.Dir)) })
}
