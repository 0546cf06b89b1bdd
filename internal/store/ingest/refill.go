package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/stream"
)

// A cluster is no folder of ours: which of its files are damaged, its nodes alone know.
// So what it holds is counted when one of them was started again, and held against what
// was stored. Where rows are lost, all that the log still has is deleted and read again,
// as that is exact whatever was lost; the rest stays. What neither has is told as a lack.

// Refill is the filling of a cluster that has lost rows.
type Refill struct {
	From  stream.Offset     `json:"from"`  // where the log began when it was begun
	Until stream.Offset     `json:"until"` // the place when the loss was found
	Had   map[string]uint64 `json:"had"`   // rows of each day that were stored until then
}

// percent is how far it is with the place at an offset.
func (r *Refill) percent(at stream.Offset) uint64 {
	if r.Until <= r.From {
		return 100
	}
	return min(100, (at-min(at, r.From))*100/(r.Until-r.From))
}

func (r *Refill) text(at stream.Offset) string {
	return fmt.Sprintf("it lost events, or had some twice, and is filled again from the log: %d%%", r.percent(at))
}

// clone is a copy, nil of nil.
func (r *Refill) clone() *Refill {
	if r == nil {
		return nil
	}
	c := *r
	c.Had = maps.Clone(r.Had)
	return &c
}

// lookForLoss holds what the engine holds against what was stored, and begins to fill it
// again where it has less, or some of it twice. The caller holds mu and gate, and what is
// behind the place was deleted.
func (in *Ingest) lookForLoss(ctx context.Context) error {
	if in.place.Refill != nil && in.givenUp().since.IsZero() {
		return nil // it is under way
	}
	have, err := in.countDays(ctx)
	if err != nil {
		return err
	}
	oldest := in.believedTime().AddDate(0, 0, -in.o.Retention.days()).Format(dayFormat)
	same, less, p := true, false, in.place.clone() // that of before is shown to others
	for name := range mergedKeys(have, p.Days) {
		if name < oldest { // it was removed, or is about to be
			delete(p.Days, name)
			continue
		}
		same = same && have[name] == p.Days[name]
		less = less || have[name] < p.Days[name]
	}
	in.place = p
	if same {
		return nil
	}
	return in.beginRefill(ctx, less)
}

func mergedKeys(a, b map[string]uint64) map[string]bool {
	keys := map[string]bool{}
	for name := range a {
		keys[name] = true
	}
	for name := range b {
		keys[name] = true
	}
	return keys
}

// countDays counts the rows of ours of each day, one day at a time: a question about all of
// them would take longer than an engine lets one take.
func (in *Ingest) countDays(ctx context.Context) (map[string]uint64, error) {
	asking, cancel := context.WithTimeout(ctx, askMost)
	defer cancel()
	names, err := in.o.Engine.Rows().Days(asking)
	if err != nil {
		return nil, fmt.Errorf("ask which days the store holds: %w", err)
	}
	days := map[string]uint64{}
	for _, name := range names {
		day, ok := dayNumber(name)
		if !ok {
			continue
		}
		n, err := in.count(ctx, "_time:"+time.Unix(day*86400, 0).UTC().Format(time.DateOnly)+`Z "offset":*`)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			days[name] = n
		}
	}
	return days, nil
}

// beginRefill deletes what the log still has, and moves the place back to its beginning; where
// nothing is less than it was, no further than to what may have landed late.
func (in *Ingest) beginRefill(ctx context.Context, less bool) error {
	p := in.place.clone()
	first, err := in.peek(ctx, 0)
	if err != nil {
		return err
	}
	from := p.Offset
	switch late := in.givenUp(); {
	case !late.since.IsZero() && !less: // what landed late lies behind there
		from = min(from, max(first.offset, late.from))
	case first.found || first.gone:
		from = min(from, first.offset)
	}
	if before := p.Refill; before != nil {
		p.Refill = &Refill{From: min(from, before.From), Until: before.Until, Had: before.Had}
	} else {
		p.Refill = &Refill{From: from, Until: p.Offset, Had: maps.Clone(p.Days)}
	}
	p.Offset, p.Last = from, ""
	if in.inDoubt() {
		return errNotOurTurn
	}
	if err := in.o.Engine.Rows().Delete(ctx, p.behind()); err != nil {
		return fmt.Errorf("delete what is read again: %w", err)
	}
	if p.Days, err = in.countDays(ctx); err != nil {
		return err
	}
	for name := range p.Thinned { // they are left out again
		if _, kept := p.Days[name]; !kept {
			delete(p.Thinned, name)
		}
	}
	if err := p.save(in.o.FS, in.o.Path); err != nil {
		return err
	}
	in.place = p
	in.o.Logger.ErrorContext(ctx, "the store's cluster has lost events, or has some twice, and is filled again from the log",
		obs.KeyOffset, from, "until", p.Refill.Until)
	return nil
}

// endRefill forgets a refill that has come to its end, and tells what stays lost. The
// caller has the days of p right.
func (p *Place) endRefill(now time.Time) {
	r := p.Refill
	if r == nil || p.Offset < r.Until {
		return
	}
	p.Refill = nil
	for _, name := range slices.Sorted(maps.Keys(r.Had)) {
		if had, have := r.Had[name], p.Days[name]; have < had {
			p.addGap(Gap{
				Log: p.Log, Count: had - have, Day: name, Cause: causeRebuild, Time: now.UTC(),
				Reason: "the cluster's storage nodes lost events, and the log no longer held these",
			})
		}
	}
}

// movedBack says that the place lies before where the reader is, which so begins anew.
var errMovedBack = errors.New("the store's place in the log was moved back")

// registered remembers what a reader registers, so that the next one can.
type registered struct {
	prometheus.Registerer

	mu   sync.Mutex
	list []prometheus.Collector
}

// Register implements prometheus.Registerer.
func (r *registered) Register(c prometheus.Collector) error {
	err := r.Registerer.Register(c)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.list = append(r.list, c)
	}
	return err //nolint:wrapcheck // as it is
}

// forget takes all of it back.
func (r *registered) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.list {
		r.Unregister(c)
	}
	r.list = nil
}
