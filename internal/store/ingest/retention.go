package ingest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/logsql/row"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store/keeper"
)

// Retention is how much is kept. Days go whole, the oldest first; the newest stays.
type Retention struct {
	Days    int            // that are kept beside today's; 0 for 30
	Bytes   int64          // of all days; 0: no bound
	MinFree int64          // bytes of the disk that stay free, with a quarter more; 0: no bound
	ByType  map[string]int // days, by type of event
}

// defaultDays is how many days are kept where nobody says.
const defaultDays = 30

// bounds are those of times that are believed: an event that was older when it came
// than what is kept is kept as one of the day on which it came.
func (r *Retention) bounds() row.Bounds {
	b := Bound{Days: r.days()}
	return b.times()
}

func (r *Retention) days() int { return orElse(r.Days, defaultDays) }

// times are the bounds of times that are believed.
func (b *Bound) times() row.Bounds {
	return row.Bounds{Past: time.Duration(b.Days) * 24 * time.Hour, Future: 24 * time.Hour}
}

// boundsOf are those of a place. Before they were noted they were what they are now.
func (in *Ingest) boundsOf(p *Place) []Bound {
	if len(p.Bounds) == 0 {
		return []Bound{{Days: in.o.Retention.days()}}
	}
	return slices.Clone(p.Bounds)
}

// keepBounds notes that other times are believed from the place on, where the
// configuration has changed. The next barrier makes it durable, and what was stored
// until then is read again otherwise. The caller holds mu.
func (in *Ingest) keepBounds() {
	list := in.boundsOf(&in.place)
	days := in.o.Retention.days()
	if last := list[len(list)-1]; last.Days != days {
		if last.From == in.place.Offset {
			list = list[:len(list)-1]
		}
		list = append(list, Bound{From: in.place.Offset, Days: days})
	}
	if n := len(list) - maxBounds; n > 0 {
		list = slices.Delete(list, 0, n)
	}
	in.place.Bounds = list
}

// retain removes what is too old or too much, now and then.
func (in *Ingest) retain(ctx context.Context) {
	for in.o.wait(ctx, in.o.RetainEvery) == nil {
		err := in.retainOnce(ctx)
		in.view.Lock()
		in.view.freeing = ""
		if err != nil {
			in.view.freeing = err.Error()
		}
		in.view.Unlock()
		if err != nil && ctx.Err() == nil {
			in.o.Logger.WarnContext(ctx, "the store cannot remove old events yet", obs.KeyError, err)
		}
	}
}

// believedTime is the earlier of a clock that is believed and the newest time at which
// the hub received an event: a clock of either that was set ahead removes nothing. It is
// zero while there is no event.
func (in *Ingest) believedTime() time.Time {
	in.view.Lock()
	newest := in.view.place.Newest
	in.view.Unlock()
	if now := in.o.Now(); now.Before(newest) {
		return now.UTC()
	}
	return newest.UTC()
}

// retainOnce removes days:
//
//	that ended more than Days before now
//	the oldest, while all take more than Bytes
//	the oldest, while less than MinFree and a quarter of it is free: below MinFree the
//	  engine takes no events; of the newest spaceFloor only where the store fills the disk
//
// and then, once a day, events by their types.
func (in *Ingest) retainOnce(ctx context.Context) error {
	now := in.believedTime()
	if now.IsZero() || !in.o.Engine.State().Running || in.inDoubt() {
		return nil
	}
	days, err := in.o.Engine.Days()
	if err != nil {
		return err //nolint:wrapcheck // it says all
	}
	days = slices.DeleteFunc(days, func(d keeper.Day) bool { _, ok := dayNumber(d.Name); return !ok })
	oldest := now.AddDate(0, 0, -orElse(in.o.Retention.Days, defaultDays)).Format(dayFormat)
	var total int64
	for _, d := range days {
		total += d.Bytes
	}
	removed, crowded := false, ""
	for len(days) > 1 {
		d, why := days[0], ""
		free, err := in.o.Free()
		if err != nil {
			return fmt.Errorf("ask how much of the disk is free: %w", err)
		}
		switch r := in.o.Retention; {
		case d.Name < oldest:
			why = "it is older than events are kept"
		case r.Bytes > 0 && total > r.Bytes:
			why = "the store takes more than it may"
		case r.MinFree > 0 && free < uint64(r.MinFree+r.MinFree/4):
			if crowded = in.isCrowded(total, free, len(days)); crowded == "" {
				why = "the disk is nearly full"
			}
		}
		if why == "" {
			break
		}
		if err := in.removeDay(ctx, d, why); err != nil {
			return err
		}
		total -= d.Bytes
		days, removed = days[1:], true
	}
	in.view.Lock()
	in.view.crowded = crowded
	in.view.Unlock()
	if removed {
		if err := in.findOldestAgain(ctx); err != nil {
			return err
		}
	}
	return in.retainTypes(ctx, now)
}

// spaceFloor is how many days, the newest, the store does not give up for want of space
// on the disk where it is not the store that fills it.
const spaceFloor = 7

// isCrowded says who is to blame where removing more days would not help: the store has
// no more than spaceFloor of them, and takes less than half of what is used of its disk.
// Then something else fills that, and would fill what the store gives up, too.
func (in *Ingest) isCrowded(total int64, free uint64, days int) string {
	disk, ok := in.o.FS.(interface {
		UsedBytes(dir string) (uint64, error)
	})
	if !ok || days > spaceFloor {
		return ""
	}
	used, err := disk.UsedBytes(in.o.Path)
	if err != nil || uint64(max(total, 0)) >= used/2 {
		return ""
	}
	return fmt.Sprintf("the disk has %d MB free, and the store's min_free_mb is %d: the store takes %d MB of the %d MB that are used, "+
		"so something else fills the disk; the store keeps its newest %d days", free>>20, in.o.Retention.MinFree>>20, total>>20, used>>20, days)
}

func (in *Ingest) removeDay(ctx context.Context, d keeper.Day, why string) error {
	if err := in.o.Engine.Remove(ctx, d.Name); err != nil {
		return err //nolint:wrapcheck // it says all
	}
	in.view.Lock()
	in.view.removed[d.Name] = true
	n := in.view.place.Days[d.Name]
	in.view.Unlock()
	in.metrics.removedDays.Inc()
	in.o.Logger.InfoContext(ctx, "the store removed its oldest day", "day", d.Name, obs.KeyReason, why, obs.KeyEvents, n, obs.KeyBytes, d.Bytes)
	return nil
}

// retainTypes removes events of types that are kept for a shorter time, once a day.
func (in *Ingest) retainTypes(ctx context.Context, now time.Time) error {
	in.view.Lock()
	p := in.view.place
	in.view.Unlock()
	today := now.Format(dayFormat)
	if len(in.o.Retention.ByType) == 0 || p.Types == today {
		return nil
	}
	for _, typ := range slices.Sorted(maps.Keys(in.o.Retention.ByType)) {
		before := now.Truncate(24*time.Hour).AddDate(0, 0, -in.o.Retention.ByType[typ])
		filter := fmt.Sprintf("_time:<%s type:=%q", before.Format(time.RFC3339), typ)
		n, err := in.count(ctx, filter)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		if err := in.o.Engine.Rows().Delete(ctx, filter); err != nil {
			return err //nolint:wrapcheck // it says all
		}
		in.o.Logger.InfoContext(ctx, "the store removed events of a type that is kept for a shorter time",
			"type", typ, "before", before.Format(time.DateOnly), obs.KeyEvents, n)
	}
	return in.recount(ctx, today)
}

// recount notes how many rows each day has now, but the newest ones, of which rows come.
func (in *Ingest) recount(ctx context.Context, today string) error {
	days, err := in.o.Engine.Days()
	if err != nil {
		return err //nolint:wrapcheck // it says all
	}
	counts := map[string]uint64{}
	for _, d := range days {
		at, err := time.Parse(dayFormat, d.Name)
		if err != nil || d.Name >= today {
			continue
		}
		if counts[d.Name], err = in.count(ctx, "_time:"+at.Format(time.DateOnly)+"Z"); err != nil {
			return err
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	p := in.place.clone()
	p.Types = today
	for name, n := range counts {
		rebuilt := slices.ContainsFunc(p.Rebuilds, func(r Rebuild) bool { return r.Day == name }) // counts what is there itself
		if day, ok := dayNumber(name); ok && !rebuilt && p.Days[name] == in.days[day] {           // nothing of it is under way
			p.Days[name], in.days[day] = n, n
		}
	}
	if err := p.save(in.o.FS, in.o.Path); err != nil {
		return err
	}
	in.place = p
	in.show()
	return nil
}

// isOf reports whether a day's name lies in a range of times.
func isOf(day string, since, until time.Time) bool {
	at, err := time.Parse(dayFormat, strings.TrimSpace(day))
	if err != nil {
		return true
	}
	return (until.IsZero() || at.Before(until)) && (since.IsZero() || at.AddDate(0, 0, 1).After(since))
}
