package ingest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/amoskys/amoskys/internal/vfs"
)

// fullFS has no room for files.
type fullFS struct{ vfs.OS }

var errNoRoom = errors.New("no space left on device")

func (fullFS) Create(string) (vfs.File, error) { return nil, errNoRoom }

// TestASnapshotThatFails says why, and leaves nothing behind.
func TestASnapshotThatFails(t *testing.T) {
	t.Parallel()
	l := newLogged(31)
	l.appendMany(t, 200)
	r := startFeed(t, l, t.TempDir())
	r.settled(t, l)
	r.mu.Lock()
	r.o.FS = fullFS{}
	r.mu.Unlock()
	if _, _, _, err := r.Snapshot(t.Context()); !errors.Is(err, errNoRoom) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(r.o.Path, snapshotFolder)); err == nil {
		t.Error("it leaves a folder")
	}
}
