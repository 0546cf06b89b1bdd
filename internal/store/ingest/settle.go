package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/store/keeper"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
)

// settle makes durable all that was taken, moves the place, and tells the reader. The
// caller holds mu. After an error nothing has moved.
func (in *Ingest) settle(ctx context.Context) error {
	if err := in.makeDurable(ctx); err != nil {
		return err
	}
	in.reader.Load().Durable(in.place.Offset)
	return nil
}

// makeDurable is settle without the reader.
func (in *Ingest) makeDurable(ctx context.Context) error {
	in.handOver()
	if err := in.flight.wait(ctx); err != nil {
		return err
	}
	in.gate.Lock()
	defer in.gate.Unlock()
	if err := in.flight.failure(); err != nil {
		return err
	}
	if in.inDoubt() {
		in.fail(ctx, errNotOurTurn)
		return errNotOurTurn
	}
	began := in.o.now()
	err := in.o.Engine.Rows().Barrier(ctx)
	// Only if one and the same process had the rows and made them durable, it has all.
	if s := in.o.Engine.State(); err == nil && (s.Starts != in.epoch.Load() || !s.Running) {
		err = errRestarted
	}
	switch {
	case errors.Is(err, errRestarted), errors.Is(err, vlogs.ErrAway), errors.Is(err, vlogs.ErrBroken):
		in.fail(ctx, err)
		return err
	case err != nil:
		return err //nolint:wrapcheck // it says all
	}
	lost := in.countDropped(ctx)
	in.forgetRemoved()
	p := in.place.clone()
	in.tellRefused(&p)
	if lost > 0 {
		p.addGap(Gap{
			Log: p.Log, From: p.Offset, To: in.next, Count: lost, Cause: causeDropped, Time: in.o.Now().UTC(),
			Reason: "the store's engine threw events away that it had taken; the log has them, as far as it reaches",
		})
	}
	p.Offset, p.Last, p.Newest = in.next, string(in.last), in.newest
	p.Days, p.Thinned = dayNames(in.days), dayNames(in.thinned)
	for _, g := range in.gaps {
		p.addGap(g)
	}
	p.endRefill(in.o.Now())
	p.Rebuilds = slices.Clone(in.place.Rebuilds)
	in.view.Lock()
	if i := slices.IndexFunc(p.Rebuilds, func(r Rebuild) bool { return r.Folder == in.view.rebuild.Folder }); i >= 0 {
		p.Rebuilds[i] = in.view.rebuild
	}
	in.view.Unlock()
	if err := in.lookForLate(ctx, &p); err != nil {
		if errors.Is(err, errLate) {
			in.fail(ctx, err)
		}
		return err
	}
	if err := p.save(in.o.FS, in.o.Path); err != nil {
		return err
	}
	in.place, in.gaps, in.settled = p, nil, in.o.now()
	in.metrics.barrier.Observe(in.settled.Sub(began).Seconds())
	in.show()
	return nil
}

// forgetRemoved forgets the days that retention removed, and what was left out of those of
// which there was nothing to remove.
func (in *Ingest) forgetRemoved() {
	in.view.Lock()
	defer in.view.Unlock()
	for name := range in.view.removed {
		if day, ok := dayNumber(name); ok {
			delete(in.days, day)
			delete(in.thinned, day)
			delete(in.view.days, day)
			delete(in.view.thinned, day)
		}
	}
	clear(in.view.removed)
	oldest := dayOf(in.newest.Add(-in.o.Retention.bounds().Past).UnixNano())
	maps.DeleteFunc(in.thinned, func(day int64, _ uint64) bool { return day < oldest && in.days[day] == 0 })
}

func dayNames(by map[int64]uint64) map[string]uint64 {
	days := make(map[string]uint64, len(by))
	for day, n := range by {
		days[dayName(day)] = n
	}
	return days
}

// readDays puts into by what days have under their names.
func readDays(by map[int64]uint64, days map[string]uint64) {
	clear(by)
	for name, n := range days {
		if day, ok := dayNumber(name); ok {
			by[day] = n
		}
	}
}

// countDropped counts rows that the engine threw away although we had looked at them.
func (in *Ingest) countDropped(ctx context.Context) (lost uint64) {
	sum := in.droppedNow(ctx)
	if n := sum - in.dropped; n > 0 {
		lost = uint64(n)
		in.metrics.drop(dropEngine, lost)
		in.o.Logger.ErrorContext(ctx, "the store's engine dropped events: please report this", obs.KeyCount, n)
	}
	in.dropped = sum
	return lost
}

// droppedNow is how many rows the engine has ever thrown away.
func (in *Ingest) droppedNow(ctx context.Context) float64 {
	m, err := in.o.Engine.Rows().Metrics(ctx)
	if err != nil {
		return in.dropped
	}
	sum := 0.0
	for name, value := range m {
		if strings.HasPrefix(name, "vl_rows_dropped_total") {
			sum += value
		}
	}
	return sum
}

// source is the log, which is opened only once the engine is ready for its events.
type source struct {
	reader.Source
	in *Ingest
}

// Open implements reader.Source.
func (s *source) Open(ctx context.Context, r reader.Request) (reader.Feed, stream.Offset, error) {
	if err := s.in.begin(ctx); err != nil {
		return nil, 0, err
	}
	if s.in.isBefore(r.Start.Offset) {
		s.in.startOver()
		return nil, 0, errMovedBack
	}
	other, err := s.in.beginOther(ctx)
	if err != nil {
		return nil, 0, err
	}
	if other {
		r.Start, r.Resume, r.Move = reader.Start{}, true, true
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := s.in.flight.whenFailed(cancel)
	f, from, err := s.Source.Open(ctx, r)
	if err != nil {
		stop()
		cancel()
		return nil, 0, err //nolint:wrapcheck // the reader says whose it is
	}
	return &feed{Feed: f, ctx: ctx, end: func() { stop(); cancel() }, why: s.in.flight.failure, other: other}, from, nil
}

// isBefore reports whether the place lies before an offset.
func (in *Ingest) isBefore(off stream.Offset) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.place.Offset < off
}

// feed ends when something has failed, though no event comes.
type feed struct {
	reader.Feed
	ctx context.Context //nolint:containedctx // that of Open, which ends with a failure
	end func()
	why func() error // that failure
	// other says that the log is another than before, which the reader is to be told.
	other bool
}

// Next implements reader.Feed.
func (f *feed) Next(context.Context) (*reader.Batch, error) {
	if f.other {
		f.other = false
		return &reader.Batch{Tail: 1}, nil // a log that ends before where the reader was is another
	}
	b, err := f.Feed.Next(f.ctx) //nolint:contextcheck // ctx is derived from the caller's
	if err != nil && f.ctx.Err() != nil {
		err = cmp.Or(f.why(), err)
	}
	return b, err //nolint:wrapcheck // the reader says whose it is
}

// Close implements reader.Feed.
func (f *feed) Close() error {
	defer f.end()
	return f.Feed.Close() //nolint:wrapcheck // the reader says whose it is
}

// begin has the engine ready for what comes next: it waits until it serves, deletes what
// may be there in part, and goes back to the place, unless nothing has happened.
func (in *Ingest) begin(ctx context.Context) error {
	s, err := in.o.Engine.Wait(ctx, 0)
	if err != nil {
		return err //nolint:wrapcheck // it says all
	}
	if err := in.takeTurn(ctx); err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.flight.failure() == nil && s.Starts == in.epoch.Load() && !s.Unclean {
		return nil
	}
	again := in.epoch.Load() > 0
	in.flight.fail(errRestarted) // whatever still flies is done with
	if err := in.flight.wait(ctx); err != nil {
		return err
	}
	in.gate.Lock()
	defer in.gate.Unlock()
	switch {
	case in.lost:
		err = in.findLog(ctx)
	case !again && in.o.Turn.Turn == nil:
		err = in.lookAgain()
	}
	if err != nil {
		return err
	}
	if err := in.mend(ctx, s, again); err != nil {
		return fmt.Errorf("mend the store: %w", err)
	}
	if err := in.noteSetAside(ctx, s); err != nil {
		return err
	}
	if in.o.Refill {
		if err := in.lookForLoss(ctx); err != nil {
			return fmt.Errorf("look whether the store has lost events: %w", err)
		}
	}
	if in.rows != nil {
		in.rows.Reset()
	}
	in.goTo(in.place)
	in.newRound()
	in.refusals.take() // what is read again is refused again
	in.keepBounds()
	in.findOldest(ctx)
	in.started = in.o.now()
	if s.Starts != in.epoch.Load() {
		in.dropped = in.droppedNow(ctx) // what it dropped before is given again
	}
	in.epoch.Store(s.Starts)
	in.flight.clear(in.next)
	signal(in.begun)
	signal(in.rebuilding)
	in.show()
	return nil
}

// lookAgain takes over the place of another store, which had the folder until its engine
// ended, now that ours runs.
func (in *Ingest) lookAgain() error {
	p, known, err := loadPlace(in.o.FS, in.o.Path)
	switch {
	case errors.Is(err, ErrPlace): // open has told, and what the engine has was asked
		return nil
	case err == nil && known:
		in.place = p
	}
	return err
}

// newRound ends the rebuilding that is under way: what it has given to the engine is not
// known any more.
func (in *Ingest) newRound() {
	in.round.Add(1)
	in.view.Lock()
	defer in.view.Unlock()
	in.view.rebuild = Rebuild{}
}

// goTo forgets what is not durable.
func (in *Ingest) goTo(p Place) {
	in.place = p
	in.next, in.last, in.newest, in.gaps = p.Offset, append(in.last[:0], p.Last...), p.Newest, nil
	in.writer.Log = p.Log
	readDays(in.days, p.Days)
	readDays(in.thinned, p.Thinned)
}

// mend deletes what is behind the place. After a clean end nothing should be; but a
// place file that could not be written leaves rows behind all the same.
func (in *Ingest) mend(ctx context.Context, s keeper.State, again bool) error {
	filters := []string{in.place.behind()}
	for i := range in.place.Rebuilds { // one that has not begun may have given rows to the engine since
		f, err := in.place.Rebuilds[i].behind(&in.place)
		if err != nil {
			return err
		}
		filters = append(filters, f)
	}
	all, needed := anyOf(filters), s.Unclean || again
	if !needed {
		n, err := in.count(ctx, all)
		if err != nil {
			return err
		}
		needed = n > 0
	}
	if needed {
		began, client := in.o.now(), in.o.Engine.Rows()
		if err := client.Barrier(ctx); err != nil { // what is in the engine's memory is to be found, too
			return err //nolint:wrapcheck // the caller says what for
		}
		if in.inDoubt() { // what lies behind the place may be another store's
			return errNotOurTurn
		}
		if err := client.Delete(ctx, all); err != nil {
			return err //nolint:wrapcheck // the caller says what for
		}
		in.o.Logger.InfoContext(ctx, "the store deleted what may be incomplete and reads it from the log again",
			obs.KeyOffset, in.place.Offset, obs.KeyDuration, in.o.now().Sub(began).Round(time.Millisecond))
	}
	return in.o.Engine.Mended(ctx, s) //nolint:wrapcheck // the caller says what for
}

// anyOf holds where one of the filters does. It is one deletion, as the engine begins one
// a second.
func anyOf(filters []string) string { return "(" + strings.Join(filters, ") or (") + ")" }

// count counts rows.
func (in *Ingest) count(ctx context.Context, filter string) (uint64, error) {
	return in.number(ctx, vlogs.Query{Text: filter + " | stats count() n"})
}

// askMost is how long one question of ours to the engine may take: one that never answers
// holds nothing up for ever.
const askMost = 5 * time.Minute

// number asks for a row with a number n.
func (in *Ingest) number(ctx context.Context, q vlogs.Query) (n uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askMost)
	defer cancel()
	err = in.o.Engine.Rows().Query(ctx, q, func(row []vlogs.Field) error {
		for _, f := range row {
			if f.Name == "n" && f.Value != "" && f.Value != "NaN" {
				n, err = strconv.ParseUint(f.Value, 10, 64)
			}
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ask what the store holds: %w", err)
	}
	return n, nil
}

// asString is b as a string for as long as the call that takes it.
func asString(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // read only, and nobody keeps it
}
