package app

import (
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/live"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
	"github.com/amoskys/amoskys/internal/wal"
)

// TestLiveViewPassesWhatTheDiskCannotRead: a bad sector in the log must not stop
// the hub, which would meet it again at the next start.
func TestLiveViewPassesWhatTheDiskCannotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		quiet := slog.New(slog.DiscardHandler)
		log, err := wal.Open(t.Context(), wal.Options{
			Dir: "wal", Logger: quiet,
			FS: errorfs.Wrap(memfs.New(), func(op errorfs.Op) error {
				if op.Kind == errorfs.Read && bad.Load() {
					return syscall.EIO
				}
				return nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = log.Close() }()
		add := ownEvents(log, "spiffe://amoskys/eventbus/hub")
		for range 3 {
			if err := add(t.Context(), []byte("event")); err != nil {
				t.Fatal(err)
			}
		}
		source, err := newLogSource(log, 0, quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = source.Close() }()
		bad.Store(true)
		var batch live.Batch
		var failed error
		done := make(chan struct{})
		go func() {
			defer close(done)
			batch, failed = source.Next(t.Context())
		}()
		<-time.After(10 * time.Second)
		bad.Store(false)
		<-time.After(10 * time.Second)
		if err := add(t.Context(), []byte("event")); err != nil {
			t.Fatal(err)
		}
		<-done
		if failed != nil || batch.First != 3 {
			t.Fatalf("event %d, %v", batch.First, failed)
		}
	})
}
