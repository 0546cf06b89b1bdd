package app

import (
	"context"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/live"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
	"github.com/amoskys/amoskys/internal/wal"
)

// TestLiveViewOutlastsItsDisk: while the log cannot be read the live view waits and
// the hub's status says so; nothing is lost of it, and the hub goes on.
func TestLiveViewOutlastsItsDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		quiet := slog.New(slog.DiscardHandler)
		opened, err := wal.Open(t.Context(), wal.Options{
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
		log := wal.Stream(opened)
		defer func() { _ = log.Close() }()
		add := ownEvents(log, "spiffe://amoskys/eventbus/hub")
		for range 3 {
			if err := add(t.Context(), []byte("event")); err != nil {
				t.Fatal(err)
			}
		}
		counted := live.NewFeed(live.NewRecorder(live.RecorderOptions{}))
		feed, err := newFeed(log, counted, prometheus.NewRegistry(), quiet)
		if err != nil {
			t.Fatal(err)
		}
		bad.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- feed.Run(ctx) }()
		<-time.After(time.Minute)
		status := readers(feed)
		if s := status(); len(s) != 1 || s[0].State != stream.ReaderWaiting || s[0].Reason == "" || s[0].LagEvents != 3 {
			t.Errorf("while the disk is away: %+v", s)
		}
		bad.Store(false)
		<-time.After(time.Minute)
		if err := add(t.Context(), []byte("event")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := status(); s[0].State != stream.ReaderOK || s[0].Offset != 4 || s[0].SeenAt == nil {
			t.Errorf("afterwards: %+v", s)
		}
		if got := counted.Malformed(); got != 4 { // it was given all four, which are no events
			t.Errorf("%d were counted", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
