package ingest

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// TestALogThatIsReplacedWhileItIsRead: what of the new one is not durable when the engine
// ends is read again.
func TestALogThatIsReplacedWhileItIsRead(t *testing.T) {
	t.Parallel()
	old, l := newLogged(13), newLogged(14)
	old.appendMany(t, 2000)
	l.appendMany(t, 500)
	source := &replaceable{}
	source.log.Store(&reader.Local{Log: old.log})
	path := t.TempDir()
	r := startFeed(t, old, path, func(o *Options) { o.Source, o.BarrierEvery = source, time.Hour })
	until(t, "all is taken", func() bool { return r.Next() == old.log.Stat().NextOffset && r.Place().Offset > 0 })
	source.log.Store(&reader.Local{Log: l.log})
	source.replaced.Store(true)
	r.flight.fail(errors.New("the hub went away"))
	until(t, "the new log is taken", func() bool { return r.Place().Log == 1 && r.Next() == l.log.Stat().NextOffset })
	round := r.round.Load()
	killEngine(t, r)
	until(t, "the new log is taken again", func() bool { return r.round.Load() > round && r.Next() == l.log.Stat().NextOffset })
	r.stop()
	r = startFeed(t, l, path)
	r.settled(t, l)
	l.same(t, stored(t, r.keeper.Client(), "log:=1"))
}

// TestALogThatIsReplacedByALongerOneWhileItIsRead: its end alone does not tell.
func TestALogThatIsReplacedByALongerOneWhileItIsRead(t *testing.T) {
	t.Parallel()
	old, l := newLogged(16), newLogged(17)
	old.appendMany(t, 500)
	l.appendMany(t, 4000)
	source := &replaceable{}
	source.log.Store(&reader.Local{Log: old.log})
	r := startFeed(t, old, t.TempDir(), func(o *Options) { o.Source = source })
	r.settled(t, old)
	source.log.Store(&reader.Local{Log: l.log})
	source.replaced.Store(true)
	r.flight.fail(errors.New("the hub went away"))
	r.settled(t, l)
	if p := r.Place(); p.Log != 1 {
		t.Errorf("the store is in log %d", p.Log)
	}
	old.same(t, stored(t, r.keeper.Client(), `log:""`))
	l.same(t, stored(t, r.keeper.Client(), "log:=1"))
}

// replaceable is a hub whose log is replaced; it has a cursor of the new one at its begin.
type replaceable struct {
	log      atomic.Pointer[reader.Local]
	replaced atomic.Bool
}

func (s *replaceable) Open(ctx context.Context, r reader.Request) (reader.Feed, stream.Offset, error) {
	if s.replaced.Load() && r.Cursor != "" && !r.Move {
		r.Start, r.Resume = reader.Start{}, false
	}
	return s.log.Load().Open(ctx, r)
}

func (s *replaceable) Commit(ctx context.Context, cursor string, off stream.Offset) error {
	return s.log.Load().Commit(ctx, cursor, off)
}

func (s *replaceable) Tail() stream.Offset { return s.log.Load().Tail() }

// TestALogThatWasRestored: a hub that comes back from an older backup has the log that it had,
// up to where that ends, and other events behind it. What is stored of both is there once.
func TestALogThatWasRestored(t *testing.T) {
	t.Parallel()
	old, l := newLogged(18), newLogged(18)
	l.now = old.now
	old.appendMany(t, 1500)
	l.appendMany(t, 1500)
	cut := l.log.Stat().NextOffset
	old.appendMany(t, 1500)
	l.random = rand.New(rand.NewPCG(19, 1))
	l.appendMany(t, 800)
	source := &replaceable{}
	source.log.Store(&reader.Local{Log: old.log})
	path := t.TempDir()
	r := startFeed(t, old, path, func(o *Options) { o.Source = source })
	r.settled(t, old)
	source.log.Store(&reader.Local{Log: l.log})
	source.replaced.Store(true)
	r.flight.fail(errors.New("the hub went away"))
	until(t, "the restored log is taken", func() bool { return r.Place().Log == 1 && r.Next() == l.log.Stat().NextOffset })
	r.settled(t, l)
	killEngine(t, r)
	r.settled(t, l)
	r.stop()
	r = startFeed(t, l, path) // and again from what lies on the disk
	r.settled(t, l)
	old.same(t, stored(t, r.keeper.Client(), `log:""`))
	for off := range l.events {
		if off < cut {
			delete(l.events, off)
		}
	}
	l.same(t, stored(t, r.keeper.Client(), "log:=1"))
	// Without its place the store finds out again which rows are of both logs.
	joints := r.Place().Joints
	r.stop()
	if err := os.WriteFile(filepath.Join(path, PlaceFile), []byte("0\n{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = startFeed(t, l, path)
	r.settled(t, l)
	if p := r.Place(); p.Log != 1 || len(p.Joints) != 2 || p.Joints[1].From < joints[1].From || p.Joints[1].Log != 1 {
		t.Errorf("the place has %+v, and had %+v", p.Joints, joints)
	}
	// The engine leaves empty rows where it deletes the first of a block.
	old.same(t, stored(t, r.keeper.Client(), `"offset":>=0 log:""`))
	l.same(t, stored(t, r.keeper.Client(), "log:=1"))
}
