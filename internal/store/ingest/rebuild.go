package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/logsql/row"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/stream"
)

// noteSetAside plans to rebuild each day that the keeper has set aside: from the log, up
// to the place, for what is behind that is read anyway. The caller holds mu; no rows of
// such a day have been given to the engine since.
func (in *Ingest) noteSetAside(ctx context.Context, s keeper.State) error {
	p, news := in.place.clone(), false
	for _, a := range s.SetAside {
		if !a.Rebuilt.IsZero() || slices.ContainsFunc(p.Rebuilds, func(r Rebuild) bool { return r.Folder == a.Folder }) {
			continue
		}
		if _, ok := dayNumber(a.Day); !ok || p.Offset == 0 {
			if err := in.o.Engine.Rebuilt(a.Folder); err != nil { // nothing of this log was in it
				return fmt.Errorf("note what was set aside: %w", err)
			}
			if n := p.Days[a.Day]; n > 0 {
				p.addGap((&Rebuild{Day: a.Day, Had: n}).lost(p.Log, in.o.Now()))
				delete(p.Days, a.Day)
				news = true
			}
			continue
		}
		r := Rebuild{Folder: a.Folder, Day: a.Day, Until: p.Offset, Had: p.Days[a.Day]}
		// The day may be set aside again while it is rebuilt: with what was there again, and
		// with what came to it since.
		p.Rebuilds = slices.DeleteFunc(p.Rebuilds, func(old Rebuild) bool {
			if old.Day == a.Day {
				r.Had += old.Had
				in.rebuilt(ctx, old.Folder)
			}
			return old.Day == a.Day
		})
		delete(p.Days, a.Day)
		p.Rebuilds, news = append(p.Rebuilds, r), true
	}
	if !news {
		return nil
	}
	if err := p.save(in.o.FS, in.o.Path); err != nil {
		return err
	}
	in.place = p
	return nil
}

func (in *Ingest) rebuilt(ctx context.Context, folder string) {
	if err := in.o.Engine.Rebuilt(folder); err != nil {
		in.o.Logger.WarnContext(ctx, "cannot note that a day of the store was rebuilt", obs.KeyPath, folder, obs.KeyError, err)
	}
}

// rebuildAll rebuilds one day after the other.
func (in *Ingest) rebuildAll(ctx context.Context) {
	for {
		select {
		case <-in.rebuilding:
		case <-ctx.Done():
			return
		}
		for {
			r, round, ok := in.nextRebuild()
			if !ok {
				break
			}
			if err := in.rebuildDay(ctx, r, round); err != nil {
				if ctx.Err() != nil {
					return
				}
				in.o.Logger.WarnContext(ctx, "the rebuilding of a day of the store waits", "day", r.Day, obs.KeyError, err)
				if in.round.Load() == round {
					in.flight.fail(err)
				}
				break // begin comes, and says when to go on
			}
		}
	}
}

// nextRebuild is what is to be rebuilt, in the round of begin that says so.
func (in *Ingest) nextRebuild() (r Rebuild, round uint64, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	round = in.round.Load()
	if len(in.place.Rebuilds) == 0 || in.flight.failure() != nil {
		return r, round, false
	}
	r = in.place.Rebuilds[0]
	in.view.Lock()
	in.view.rebuild = r
	in.view.Unlock()
	return r, round, true
}

// ending is a source that remembers that a feed came to the tail.
type ending struct {
	reader.Source

	ended atomic.Bool
}

// Open implements reader.Source.
func (s *ending) Open(ctx context.Context, r reader.Request) (reader.Feed, stream.Offset, error) {
	f, from, err := s.Source.Open(ctx, r)
	if err != nil {
		return nil, 0, err //nolint:wrapcheck // the reader says whose it is
	}
	return &endingFeed{f, s}, from, nil
}

type endingFeed struct {
	reader.Feed

	source *ending
}

// Next implements reader.Feed.
func (f *endingFeed) Next(ctx context.Context) (*reader.Batch, error) {
	b, err := f.Feed.Next(ctx)
	if errors.Is(err, io.EOF) {
		f.source.ended.Store(true)
	}
	return b, err //nolint:wrapcheck // the reader says whose it is
}

// rebuilder reads one day.
type rebuilder struct {
	in     *Ingest
	round  uint64
	day    int64
	r      Rebuild
	writer *row.Writer
	bounds []Bound // the first is the writer's
	place  Place   // when the rebuilding began
	rows   batch
	done   context.CancelCauseFunc
}

// writerOf is the writer of events from an offset on, which believes the times that were
// believed when the event was stored first.
func (b *rebuilder) writerOf(off stream.Offset) *row.Writer {
	for len(b.bounds) > 1 && off >= b.bounds[1].From {
		b.bounds = b.bounds[1:]
		b.writer = row.NewWriter(b.bounds[0].times())
	}
	b.writer.Log = b.place.logAt(off)
	return b.writer
}

// errRebuilt ends the reading of a day whose events are all there.
var errRebuilt = errors.New("the day is rebuilt")

// errLogEnded says that the log was closed while a day was read from it, or is another.
var errLogEnded = errors.New("the log that the day is read from has ended")

func (in *Ingest) rebuildDay(ctx context.Context, r Rebuild, round uint64) error {
	day, _ := dayNumber(r.Day)
	reading, done := context.WithCancelCause(ctx)
	defer done(nil)
	b := &rebuilder{in: in, round: round, day: day, r: r, done: done}
	stop := in.flight.whenFailed(func() { done(errRestarted) })
	defer stop()
	in.mu.Lock()
	b.bounds = in.boundsOf(&in.place)
	b.writer = row.NewWriter(b.bounds[0].times())
	b.place = in.place.clone()
	in.mu.Unlock()
	start := reader.Start{Offset: r.Next}
	if !r.Begun {
		// An event lies at most so long behind the hub's clock that received it.
		start = reader.Start{Time: time.Unix(day*86400, 0).Add(-in.o.Retention.bounds().Future)}
	}
	source := &ending{Source: in.o.Source}
	rd, err := reader.New(reader.Options{
		Name: "store-rebuild", Source: source, Consumer: b, Logger: in.o.Logger, Start: start, Blocks: true, MaxEvents: in.o.BatchRows, NoFollow: true,
	})
	if err != nil {
		return fmt.Errorf("read the log for day %s: %w", r.Day, err)
	}
	in.o.Logger.InfoContext(ctx, "a day of the store is rebuilt from the log", "day", r.Day, obs.KeyOffset, r.Next, "until", r.Until)
	if r.Next < r.Until {
		_ = rd.Run(reading)
		if err := context.Cause(reading); err == nil {
			// The log has nothing more before the end of the day: what it had is gone.
			if !source.ended.Load() || in.o.Source.Tail() < r.Until {
				return errLogEnded
			}
		} else if !errors.Is(err, errRebuilt) {
			return err
		}
	}
	return b.finish(ctx)
}

// Consume implements reader.Consumer.
func (b *rebuilder) Consume(ctx context.Context, batch *reader.Batch) error {
	if batch.Tail != 0 && batch.Tail < b.r.Until { // it was replaced by a shorter one
		b.done(errLogEnded)
		return errLogEnded
	}
	if !b.r.Begun && len(batch.Blocks) > 0 {
		first := max(batch.Blocks[0].First, batch.Blocks[0].From)
		b.r.Begun, b.r.From, b.r.Next = true, first, first
	}
	for i := range batch.Blocks {
		if err := b.take(ctx, &batch.Blocks[i]); err != nil {
			return err
		}
	}
	next := min(batch.Next, b.r.Until)
	if err := b.insert(ctx, next); err != nil {
		return err
	}
	if next >= b.r.Until {
		b.done(errRebuilt)
	}
	return nil
}

func (b *rebuilder) take(ctx context.Context, e *stream.Entry) error {
	defer e.Release()
	for off, encoded := range e.Events() {
		if off < b.r.Next {
			continue
		}
		if off >= b.r.Until {
			return nil
		}
		if _, ok := event.ThinnedReading(encoded); ok {
			continue // the day never had it
		}
		r, err := b.writerOf(off).Row(encoded, e.Publisher, off, e.Received)
		if err != nil || dayOf(r.Time) != b.day {
			continue
		}
		b.rows.add(r, off)
		if b.rows.Len() >= b.in.o.BatchRows || b.rows.Bytes() >= b.in.o.BatchBytes {
			if err := b.insert(ctx, off+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// insert stores what was gathered of the events before next, and notes it.
func (b *rebuilder) insert(ctx context.Context, next stream.Offset) error {
	in := b.in
	in.gate.RLock()
	defer in.gate.RUnlock()
	if err := in.flight.failure(); err != nil || in.round.Load() != b.round {
		b.done(errRestarted)
		return errRestarted
	}
	refused, err := in.insert(ctx, &b.rows)
	if err != nil {
		in.fail(ctx, err)
		b.done(err)
		return err
	}
	for i := range refused {
		refused[i].counted = false // its day is counted when it is whole
	}
	in.refusals.note(refused)
	b.r.Stored += uint64(b.rows.Len() - len(refused))
	b.r.Next = max(b.r.Next, next)
	b.rows.Reset()
	in.view.Lock()
	in.view.rebuild = b.r
	in.view.Unlock()
	return nil
}

// lost is what of the day cannot be rebuilt when no more is read.
func (r *Rebuild) lost(log uint64, now time.Time) Gap {
	return Gap{
		Log: log, Count: r.Had - min(r.Had, r.Stored), Day: r.Day, Cause: causeRebuild, Time: now.UTC(),
		Reason: "damaged files of the store were set aside, and the log no longer held these events",
	}
}

// finish makes the day durable and forgets the plan.
func (b *rebuilder) finish(ctx context.Context) error {
	in := b.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.round.Load() != b.round {
		return errRestarted
	}
	if err := in.settle(ctx); err != nil {
		return err
	}
	p := in.place.clone()
	p.Rebuilds = slices.DeleteFunc(p.Rebuilds, func(r Rebuild) bool { return r.Folder == b.r.Folder })
	p.Days[b.r.Day] += b.r.Stored
	if lost := b.r.lost(p.Log, in.o.Now()); lost.Count > 0 {
		p.addGap(lost)
	}
	if err := p.save(in.o.FS, in.o.Path); err != nil {
		return err
	}
	in.place = p
	in.days[b.day] += b.r.Stored
	in.findOldest(ctx)
	in.view.Lock()
	in.view.rebuild = Rebuild{}
	in.view.Unlock()
	in.rebuilt(ctx, b.r.Folder)
	in.show()
	in.o.Logger.InfoContext(ctx, "a day of the store was rebuilt from the log", "day", b.r.Day, obs.KeyEvents, b.r.Stored, "had", b.r.Had)
	return nil
}
