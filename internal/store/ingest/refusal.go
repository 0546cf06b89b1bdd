package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/logsql/row"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
)

// batch are rows with the places of their events in the log.
type batch struct {
	vlogs.Rows

	offsets []stream.Offset
	times   []int64 // ns
}

// add adds the row of the event at an offset.
func (b *batch) add(r *row.Row, off stream.Offset) {
	appendRow(&b.Rows, r)
	b.offsets, b.times = append(b.offsets, off), append(b.times, r.Time)
}

// Reset forgets the rows and keeps the memory.
func (b *batch) Reset() {
	b.Rows.Reset()
	b.offsets, b.times = b.offsets[:0], b.times[:0]
}

// An engine that refuses a batch refuses it whenever it comes, and all that stands behind
// it in the log would wait for ever. So the row that it refuses is set aside:
//
//	what the engine refuses           what is done
//	a batch                           all behind the place is deleted and read again, as some
//	                                  of the batch may be stored; its rows are given singly then
//	a single row, and takes others    the row is left out, counted and named in answers; the
//	                                  log has the event still
//	rows without end, or all          nothing is left out: it is asked again after a pause
type refusals struct {
	mu       sync.Mutex  // guards what follows
	suspects [][2]uint64 // offsets of batches that were refused: from, before
	refused  []refusal   // that no place tells of yet
}

// refusal is an event whose row the engine does not take.
type refusal struct {
	offset  stream.Offset
	day     int64
	counted bool // among the rows of its day
}

// Bounds on refusals.
const (
	maxSuspects = 64  // that are remembered, the newest
	maxRefused  = 100 // of one batch: more are no matter of single rows
)

// isRefusal reports whether the engine said no to the rows themselves.
func isRefusal(err error) bool {
	refused, ok := errors.AsType[*vlogs.RefusedError](err)
	return ok && refused.Status >= 400 && refused.Status < 500 && !errors.Is(err, vlogs.ErrReadOnly)
}

func (r *refusals) suspect(from, before stream.Offset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspects = append(r.suspects, [2]uint64{from, before})
	if n := len(r.suspects) - maxSuspects; n > 0 {
		r.suspects = slices.Delete(r.suspects, 0, n)
	}
}

func (r *refusals) isSuspect(off stream.Offset) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.suspects, func(s [2]uint64) bool { return s[0] <= off && off < s[1] })
}

// note keeps refusals until a place tells of them.
func (r *refusals) note(list []refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, list...)
}

// take gives them out, or forgets them: what is read again is refused again.
func (r *refusals) take() []refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.refused
	r.refused = nil
	return list
}

// forgetSuspects is for a log that begins anew.
func (r *refusals) forgetSuspects() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspects, r.refused = nil, nil
}

// insert inserts one batch, but the rows that the engine does not take.
func (in *Ingest) insert(ctx context.Context, b *batch) (refused []refusal, err error) {
	for from := 0; from < b.Len(); {
		to := from + 1
		single := in.refusals.isSuspect(b.offsets[from])
		for !single && to < b.Len() && !in.refusals.isSuspect(b.offsets[to]) {
			to++
		}
		part := b.Part(from, to)
		switch err := in.insertRows(ctx, &part); {
		case err == nil:
		case !isRefusal(err):
			return nil, err
		case !single:
			in.refusals.suspect(b.offsets[from], b.offsets[to-1]+1)
			return nil, fmt.Errorf("the engine refuses events from offset %d to %d, which are tried one by one: %w", b.offsets[from], b.offsets[to-1], err)
		case len(refused) == maxRefused, in.takesNone(ctx):
			return nil, fmt.Errorf("the engine refuses event after event, from offset %d on: %w", b.offsets[from], err)
		default:
			in.o.Logger.ErrorContext(ctx, "the store's engine refuses an event, which is left out of the store: the log has it",
				obs.KeyOffset, b.offsets[from], "status", refusedStatus(err))
			refused = append(refused, refusal{offset: b.offsets[from], day: dayOf(b.times[from]), counted: true})
		}
		from = to
	}
	return refused, nil
}

// refusedStatus is what the engine said no with; its words may hold the event's.
func refusedStatus(err error) int {
	if refused, ok := errors.AsType[*vlogs.RefusedError](err); ok {
		return refused.Status
	}
	return 0
}

// takesNone reports whether the engine refuses even a batch without rows.
func (in *Ingest) takesNone(ctx context.Context) bool { return in.o.takesRows(ctx) != nil }

// tellRefused puts what was refused into a place. The caller holds mu.
func (in *Ingest) tellRefused(p *Place) {
	for _, r := range in.refusals.take() {
		if r.counted {
			if n := in.days[r.day]; n > 1 {
				in.days[r.day] = n - 1
			} else {
				delete(in.days, r.day)
			}
		}
		if p.addRefused(r.offset, dayName(r.day), in.o.Now()) {
			in.metrics.drop(dropRefused, 1)
		}
	}
}

// maxRefusedGaps is of how many refused events the places are remembered one by one.
const maxRefusedGaps = 64

// addRefused notes that an event is not stored and why, once.
func (p *Place) addRefused(off stream.Offset, day string, now time.Time) bool {
	n, same := 0, -1
	for i, g := range p.Gaps {
		if g.Cause != causeRefused || g.Log != p.Log {
			continue
		}
		if g.From <= off && off < g.To {
			return false
		}
		if n++; g.Day == day {
			same = i
		}
	}
	if n >= maxRefusedGaps && same >= 0 {
		g := &p.Gaps[same]
		g.From, g.To, g.Count = min(g.From, off), max(g.To, off+1), g.Count+1
		g.Reason = fmt.Sprintf("the store's engine refused events between offsets %d and %d; the log has them, as far as it reaches", g.From, g.To-1)
		return true
	}
	p.addGap(Gap{
		Log: p.Log, From: off, To: off + 1, Count: 1, Day: day, Cause: causeRefused, Time: now.UTC(),
		Reason: fmt.Sprintf("the store's engine refused the event of offset %d; the log has it, as far as it reaches", off),
	})
	return true
}

// refusedShown is for how long the state of the store tells of events that are not stored.
const refusedShown = 24 * time.Hour

// refusedSince counts events that the engine did not take, or threw away.
func (p *Place) refusedSince(t time.Time) (n uint64) {
	for _, g := range p.Gaps {
		if (g.Cause == causeRefused || g.Cause == causeDropped) && g.Time.After(t) {
			n += g.Count
		}
	}
	return n
}
