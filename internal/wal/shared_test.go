package wal

import (
	"sync/atomic"
	"testing"

	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// countingFS counts the files that are open for reading.
type countingFS struct {
	vfs.FS
	open atomic.Int64
}

func (c *countingFS) Open(name string) (vfs.File, error) {
	f, err := c.FS.Open(name)
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	return &countedFile{File: f, of: c}, nil
}

type countedFile struct {
	vfs.File
	of *countingFS
}

func (f *countedFile) Close() error {
	f.of.open.Add(-1)
	return f.File.Close()
}

// TestReadersShareFiles: a thousand readers at the tail cost one descriptor, and the
// last one to leave gives it back.
func TestReadersShareFiles(t *testing.T) {
	fsys := &countingFS{FS: memfs.New()}
	l := openLog(t, options(fsys))
	mustAppend(t, l, batch(1, 3, 60))
	before := fsys.open.Load()
	readers := make([]*Reader, 1000)
	for i := range readers {
		var err error
		if readers[i], err = l.NewReader(0); err != nil {
			t.Fatal(err)
		}
		if e, ok, err := readers[i].TryNext(); err != nil || !ok || e.First != 0 {
			t.Fatalf("reader %d: %v, %v", i, ok, err)
		}
	}
	if n := fsys.open.Load() - before; n != 1 {
		t.Errorf("%d files are open for 1000 readers, want 1", n)
	}
	for i, r := range readers {
		if err := r.Close(); err != nil {
			t.Fatalf("reader %d: %v", i, err)
		}
	}
	if n := fsys.open.Load() - before; n != 0 {
		t.Errorf("%d files are open after the last reader has left", n)
	}
}
