package ingest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/vfs"
)

// TestADiskThatFills: the store stops in time, says so, and goes on by itself when there
// is room; a kill in between loses nothing.
func TestADiskThatFills(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: it waits for engines that begin anew")
	}
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=96m"); err != nil {
		t.Skipf("only who may mount can fill a disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	l, path := newLogged(14), filepath.Join(disk, "store")
	o := enginetest.Options(t, path)
	o.Flags.MinFreeBytes = 32 << 20
	k, stopKeeper := enginetest.Run(t, o)
	in, err := New(options(k, &reader.Local{Log: l.log}, path))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	r := &running{in, k, sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		stopKeeper()
	})}
	t.Cleanup(r.stop)
	l.appendMany(t, 2000)
	r.settled(t, l)

	filler := filepath.Join(disk, "filler")
	// So much less is left than the engine wants that its merges, and what it clears away
	// when it starts, do not make enough room.
	fill := func() {
		free, err := vfs.OS{}.FreeBytes(disk)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filler, make([]byte, free-(12<<20)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	waits := func() bool {
		s := r.Status()
		return s.GetState() == "degraded" && strings.Contains(s.GetReason(), "disk is nearly full")
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("engine %+v, status %v", r.keeper.State(), r.Status())
		}
	})
	for _, kill := range []bool{false, true} {
		fill()
		until(t, "the store says that the disk is full", func() bool {
			l.appendMany(t, 100) // the engine looks now and then
			return waits()
		})
		l.appendMany(t, 1000)
		if kill {
			kept := r.Place().Offset
			killEngine(t, r)
			until(t, "the engine that came after it was asked", func() bool { return r.epoch.Load() == r.keeper.State().Starts })
			until(t, "it is full still", waits)
			if now := r.Place().Offset; now != kept {
				t.Errorf("the place moved from %d to %d on a full disk", kept, now)
			}
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		r.settled(t, l)
		l.same(t, stored(t, r.keeper.Client(), "*"))
	}
	until(t, "it is ok", func() bool { return r.Status().GetState() == "ok" })
	r.stop()
}
