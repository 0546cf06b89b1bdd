package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// rebuildFolder is where readings are gathered that are read from the log again, below the
// folder of the database. Nothing of it outlasts a restart: it is begun again then.
const rebuildFolder = "rebuild"

// rebuildAll reads from the log again what was set aside, one after the other, until ctx
// ends.
func (db *DB) rebuildAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-db.rebuild:
		}
		for {
			db.mu.Lock()
			i := slices.IndexFunc(db.place.Aside, func(a Aside) bool { return a.State == AsideWaiting })
			var a Aside
			if i >= 0 {
				a = db.place.Aside[i]
			}
			db.mu.Unlock()
			if i < 0 {
				break
			}
			done, err := db.rebuildOne(ctx, &a)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				db.o.Logger.WarnContext(ctx, "readings that were set aside are not read from the log again", obs.KeyError, err)
			}
			if err != nil && isEnvironment(err) { // which says nothing of the log: it is tried again
				if stream.Wait(ctx, 6*db.o.openPause) != nil {
					return
				}
				continue
			}
			if err := db.noteRebuilt(&a, done, err); err != nil {
				db.o.Logger.WarnContext(ctx, "what was rebuilt of the metrics cannot be noted", obs.KeyError, err)
			}
		}
	}
}

// rebuilt is what was read again.
type rebuilt struct {
	samples uint64
	whole   bool // the log reached back far enough
}

func (db *DB) noteRebuilt(a *Aside, done rebuilt, err error) error {
	return db.change(func(p *place) {
		for i := range p.Aside {
			b := &p.Aside[i]
			if !b.Time.Equal(a.Time) || !b.From.Equal(a.From) || b.State != AsideWaiting {
				continue
			}
			b.State, b.Samples = AsidePartly, done.samples
			if done.whole && err == nil {
				b.State = AsideRebuilt
			}
		}
	})
}

// rebuildOne reads the readings of one time from the log, into a database of its own, and
// adds the blocks of that to the database.
func (db *DB) rebuildOne(ctx context.Context, a *Aside) (done rebuilt, err error) {
	dir := filepath.Join(db.o.Path, rebuildFolder)
	if err := os.RemoveAll(dir); err != nil {
		return done, fmt.Errorf("clear %s: %w", dir, err)
	}
	o := db.options(&opened{})
	o.BlocksToDelete = nil
	o.RetentionDuration, o.MaxBytes = 0, 0
	o.OutOfOrderTimeWindow = 2 * window.Milliseconds()
	t, err := tsdb.Open(dir, quiet(db.o.Logger, nil), nil, o, nil)
	if err != nil {
		return done, fmt.Errorf("open a database to rebuild: %w", err)
	}
	done, err = db.gather(ctx, t, a)
	if err == nil {
		err = blocksOf(ctx, t)
	}
	if err = errors.Join(err, t.Close()); err == nil && ctx.Err() == nil {
		err = db.adopt(dir)
	}
	return done, errors.Join(err, os.RemoveAll(dir))
}

// gather reads the log from the beginning of a time on, until nothing of that time can
// come any more.
func (db *DB) gather(ctx context.Context, t *tsdb.DB, a *Aside) (done rebuilt, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m, err := newSelfMetrics(db, nil)
	if err != nil {
		return done, err
	}
	w := newWriter(db.o.SeriesOfAgent, m, db.o.Now)
	w.from, w.to = a.From.UnixMilli(), a.To.UnixMilli()
	if a.Late { // of events that came since then, whenever they are of
		w.from = a.From.Add(-window).UnixMilli()
	}
	until := a.To.Add(window)
	first, gap := true, false
	consume := func(ctx context.Context, b *reader.Batch) error {
		gap = gap || b.Gap != nil
		if len(b.Events) == 0 {
			return nil
		}
		if err := db.roomOnDisk(); err != nil {
			return err
		}
		if first {
			first, done.whole = false, b.Events[0].Offset == 0 || b.Events[0].Logged.Before(a.From.Add(futureMost))
		}
		w.app, w.room = t.Appender(ctx), db.o.Series-int(t.Head().NumSeries())
		for i := range b.Events {
			w.take(&b.Events[i])
		}
		if err := w.app.Commit(); err != nil {
			return fmt.Errorf("write readings: %w", err)
		}
		if b.Events[0].Logged.After(until) {
			cancel()
		}
		return nil
	}
	r, err := reader.New(reader.Options{
		Name: "metrics-rebuild", Source: db.o.Source, Consumer: reader.Func(consume), Logger: db.o.Logger,
		Start: reader.Start{Time: a.From.Add(-futureMost)}, NoFollow: true, Filter: &pb.Filter{Types: types()}, MaxEvents: 4096,
		Pause: db.o.readPause, MaxPause: db.o.readPause,
	})
	if err != nil {
		return done, fmt.Errorf("read the log to rebuild metrics: %w", err)
	}
	if err := r.Run(ctx); err != nil {
		return done, err //nolint:wrapcheck // it is nil
	}
	done.samples, done.whole = w.written, done.whole && !gap
	return done, nil
}

// blocksOf makes all of a database's head blocks.
func blocksOf(ctx context.Context, t *tsdb.DB) error {
	head, size := t.Head(), blockRange.Milliseconds()
	if head.NumSeries() == 0 {
		return nil
	}
	for from, last := head.MinTime(), head.MaxTime(); from <= last; {
		to := (from/size + 1) * size
		if err := t.CompactHead(tsdb.NewRangeHeadWithIsolationDisabled(head, from, min(to-1, last))); err != nil {
			return fmt.Errorf("make blocks of what was read again: %w", err)
		}
		from = to
	}
	if err := t.CompactOOOHead(ctx); err != nil {
		return fmt.Errorf("make blocks of what was read again: %w", err)
	}
	return nil
}

// adopt moves blocks into the database, which finds them within a minute. They are marked
// as blocks of readings that came late, as the head would not take what is older than any
// other.
func (db *DB) adopt(dir string) error {
	folders, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list blocks that were read again: %w", err)
	}
	for _, f := range folders {
		if _, err := ulid.ParseStrict(f.Name()); err != nil {
			continue
		}
		if err := markLate(filepath.Join(dir, f.Name(), metaFile)); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(dir, f.Name()), filepath.Join(db.o.Path, f.Name())); err != nil {
			return fmt.Errorf("add a block that was read again: %w", err)
		}
	}
	return nil
}

func markLate(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("mark a block that was read again: %w", err)
	}
	var meta tsdb.BlockMeta
	if err := json.Unmarshal(b, &meta); err != nil {
		return fmt.Errorf("mark a block that was read again: %w", err)
	}
	meta.Compaction.SetOutOfOrder()
	if b, err = json.MarshalIndent(&meta, "", "\t"); err != nil {
		return fmt.Errorf("mark a block that was read again: %w", err)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		return fmt.Errorf("mark a block that was read again: %w", err)
	}
	return nil
}

// Lacks says which readings between two times the database may not have, one sentence
// each, for who asks.
func (db *DB) Lacks(from, to time.Time) []string {
	return db.lacks(func(a *Aside) bool { return !a.To.Before(from) && !a.From.After(to) })
}

// lacks says what was set aside and is not there again, as far as it is asked for.
func (db *DB) lacks(asked func(*Aside) bool) []string {
	var list []string
	db.mu.Lock()
	defer db.mu.Unlock()
	for i := range db.place.Aside {
		a := &db.place.Aside[i]
		if a.State == AsideRebuilt || !asked(a) {
			continue
		}
		what := "were set aside and are being read from the log again"
		if a.State == AsidePartly {
			what = "were set aside, and the log had not all of them any more"
		}
		list = append(list, fmt.Sprintf("readings from %s to %s %s (%s)", a.From.UTC().Format(lackTime), a.To.UTC().Format(lackTime), what, a.Reason))
	}
	return list
}

const lackTime = "2006-01-02 15:04 UTC"
