package ingest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// halting is a source of which whoever rebuilds a day gets a few batches, and then no more.
type halting struct {
	reader.Source
	batches int
	goOn    chan struct{} // closed: all that there are; nil for never
}

func (h *halting) Open(ctx context.Context, r reader.Request) (reader.Feed, stream.Offset, error) {
	f, from, err := h.Source.Open(ctx, r)
	if err != nil || r.Cursor != "" || r.MaxEvents == 1 {
		return f, from, err
	}
	return &haltingFeed{f, h.batches, h.goOn}, from, nil
}

type haltingFeed struct {
	reader.Feed
	left int
	goOn chan struct{}
}

func (f *haltingFeed) Next(ctx context.Context) (*reader.Batch, error) {
	if f.left--; f.left < 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.goOn:
		}
	}
	return f.Feed.Next(ctx)
}

// TestADayThatIsSetAsideWhileItIsRebuilt begins anew: what was there again is gone, too.
func TestADayThatIsSetAsideWhileItIsRebuilt(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: days of events")
	}
	t.Parallel()
	l := newLogged(11)
	path := t.TempDir()
	days(t, l, 1000)
	r := startFeed(t, l, path)
	r.settled(t, l)
	before := r.Place().Days
	r.stop()
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Format(dayFormat)
	spoil(t, path, yesterday)
	r = startFeed(t, l, path, func(o *Options) {
		o.BatchRows, o.Source = 100, &halting{&reader.Local{Log: l.log}, 12, nil}
	})
	until(t, "a part of the day is there again", func() bool {
		l.appendMany(t, 1) // so that there are barriers
		p := r.Place()
		return len(p.Rebuilds) == 1 && p.Rebuilds[0].Stored > 0
	})
	r.stop()
	spoil(t, path, yesterday)
	r = startFeed(t, l, path)
	r.settled(t, l)
	l.same(t, stored(t, r.keeper.Client(), "*"))
	if p := r.Place(); p.Days[yesterday] != before[yesterday] || len(p.Gaps) > 0 {
		t.Errorf("day %s has %d events, had %d; gaps %v", yesterday, p.Days[yesterday], before[yesterday], p.Gaps)
	}
	folders := r.keeper.State().SetAside
	r.stop()
	r = startFeed(t, l, path)
	l.appendMany(t, 10)
	r.settled(t, l)
	l.same(t, stored(t, r.keeper.Client(), "*"))
	if now := r.keeper.State().SetAside; len(now) != 2 || !slices.EqualFunc(now, folders, func(a, b keeper.SetAside) bool { return a.Folder == b.Folder }) {
		t.Errorf("set aside %+v", now)
	}
}

// TestARebuildThatBreaksBeginsAnew: what it had given to the engine is not there twice, and
// it does not wait for the engine to end.
func TestARebuildThatBreaksBeginsAnew(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: it waits for engines that begin anew")
	}
	t.Parallel()
	for name, breakIt := range map[string]func(*running, *failingFiles){
		"a batch of the log fails":    func(r *running, _ *failingFiles) { r.flight.fail(errors.New("the batch failed")) },
		"the place cannot be written": func(_ *running, f *failingFiles) { f.times.Store(1) },
		"its day is counted meanwhile": func(r *running, _ *failingFiles) {
			today := time.Now().UTC().Format(dayFormat)
			if err := errors.Join(r.keeper.Client().Flush(t.Context()), r.recount(t.Context(), today)); err != nil {
				t.Error(err)
			}
		},
		"nor can it be, for some time": func(_ *running, f *failingFiles) { f.times.Store(3) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLogged(12)
			path := t.TempDir()
			days(t, l, 1000)
			r := startFeed(t, l, path)
			r.settled(t, l)
			r.stop()
			yesterday := time.Now().UTC().AddDate(0, 0, -1).Format(dayFormat)
			before := r.Place().Days[yesterday]
			spoil(t, path, yesterday)
			files, goOn := &failingFiles{FS: vfs.OS{}}, make(chan struct{})
			r = startFeed(t, l, path, func(o *Options) {
				o.BatchRows, o.BarrierEvery, o.FS, o.Source = 100, time.Hour, files, &halting{&reader.Local{Log: l.log}, 12, goOn}
			})
			until(t, "a part of the day is there again", func() bool {
				r.view.Lock()
				defer r.view.Unlock()
				return r.view.rebuild.Stored > 0
			})
			breakIt(r, files)
			close(goOn)
			r.settled(t, l)
			l.same(t, stored(t, r.keeper.Client(), "*"))
			if n := r.Place().Days[yesterday]; n != before {
				t.Errorf("day %s has %d events, had %d", yesterday, n, before)
			}
		})
	}
}

// failingFiles is a file system that cannot make files some times.
type failingFiles struct {
	vfs.FS
	times atomic.Int32
}

func (f *failingFiles) Create(name string) (vfs.File, error) {
	if f.times.Load() > 0 {
		f.times.Add(-1)
		return nil, errors.New("the disk is full")
	}
	return f.FS.Create(name)
}
