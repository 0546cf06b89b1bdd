package ingest

import (
	"context"
	"testing"

	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/store/enginetest"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

// TestTwoStoresOnOneFolder: the second waits for the engine of the first, and goes on where
// that one ended, not where it was when the second looked first.
func TestTwoStoresOnOneFolder(t *testing.T) {
	t.Parallel()
	l := newLogged(15)
	path := t.TempDir()
	l.appendMany(t, 500)
	first := startFeed(t, l, path)
	first.settled(t, l)

	k := keeper.New(enginetest.Options(t, path))
	in, err := New(options(k, &reader.Local{Log: l.log}, path))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- k.Run(ctx) }()
	go func() { ended <- in.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	until(t, "the second has looked where it is", func() bool { return in.Reader() != nil })
	l.appendMany(t, 1000)
	first.settled(t, l)
	l.log.(*streamtest.Model).Trim(l.log.Stat().NextOffset - 1)
	first.stop()
	l.appendMany(t, 10)
	second := &running{in, k, stop}
	second.settled(t, l)
	l.same(t, stored(t, k.Client(), "*"))
}
