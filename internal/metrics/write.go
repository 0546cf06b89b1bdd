package metrics

import (
	"errors"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"github.com/amoskys/amoskys/internal/event/reading"
	"github.com/amoskys/amoskys/internal/reader"
)

// futureMost is how far the clock of an agent may be ahead of the hub's.
const futureMost = 5 * time.Minute

// writer turns events into samples of a database. It is for one goroutine.
type writer struct {
	reader  reading.Reader
	top     *reading.Top
	table   *table
	metrics *selfMetrics
	now     func() time.Time // believed
	// from and to bound the times that are written, ms; to is behind the last.
	from, to int64
	written  uint64    // samples, ever
	ticked   time.Time // when the table's time moved on, as the hub receives events

	// Of the batch that is being written:
	app    storage.Appender
	room   int   // for new series, of all agents
	latest int64 // no sample is later, ms
	moved  int64 // where it gets instead
	labels labels.ScratchBuilder
}

func newWriter(seriesOfAgent int, m *selfMetrics, now func() time.Time) *writer {
	return &writer{
		top: reading.NewTop(reading.TopOptions{}), table: newTable(seriesOfAgent), metrics: m, now: now,
		from: math.MinInt64, to: math.MaxInt64, labels: labels.NewScratchBuilder(reading.MaxLabels + 3),
	}
}

// tickTo moves the table's time on. It goes by when the hub received events, as the head of
// the database goes by their time: when days of the log are read in minutes, series that
// ended days ago are not held against an agent.
func (w *writer) tickTo(logged time.Time) {
	if w.ticked.IsZero() {
		w.ticked = logged
	}
	if logged.Sub(w.ticked).Abs() >= tickEvery {
		w.ticked = logged
		w.table.tickOn()
		w.top.Sweep()
	}
}

// take writes what one event reads.
func (w *writer) take(e *reader.Event) {
	w.tickTo(e.Logged)
	set, ok := w.reader.Read(e.Encoded, e.Publisher)
	if !ok {
		return
	}
	w.metrics.events.Inc()
	if set.Dropped > 0 {
		w.metrics.drop(dropBounds, set.Dropped)
	}
	now := w.now()
	if e.Logged.Before(now) {
		now = e.Logged // the hub's clock may have been ahead when it received this
	}
	w.latest, w.moved = now.Add(futureMost).UnixMilli(), now.UnixMilli()
	in, left := w.top.Take(set)
	at := w.timeOf(set.Time)
	for i := range left {
		w.end(left[i].Agent, left[i].Host, reading.SourceProcess, left[i].Subject, at)
	}
	switch {
	case set.Ended:
		w.end(set.Agent, set.Host, set.Source, set.Subject, at)
	case !in:
		w.metrics.drop(dropTop, len(set.Samples))
	default:
		w.samples(set, at)
	}
}

// timeOf is a time in ms, or that of the hub for one which lies ahead.
func (w *writer) timeOf(t time.Time) int64 {
	ms := t.UnixMilli()
	if ms > w.latest {
		w.metrics.moved.Inc()
		return w.moved
	}
	return ms
}

// samples writes those of a Set, and ends the series which the Set before had and this
// one has not.
func (w *writer) samples(set *reading.Set, at int64) {
	sub := w.table.subjectOf(set)
	if sub == nil {
		w.metrics.drop(dropSeries, len(set.Samples))
		return
	}
	late := at < sub.newest
	sub.newest = max(sub.newest, at)
	sub.round++
	expected := 0
	for i := range set.Samples {
		s := &set.Samples[i]
		if set.Source == reading.SourceBatch && reading.IsReserved(s.Name) {
			w.metrics.drop(dropName, 1)
			continue
		}
		hash := w.table.hashOf(s)
		n := sub.find(hash, expected)
		if n < 0 {
			if w.room <= 0 || sub.of.full(w.table.most) {
				w.metrics.drop(dropSeries, 1)
				continue
			}
			w.room--
			n = len(sub.slots)
			sub.add(slot{hash: hash, round: sub.round - 1})
		}
		expected = n + 1
		l := &sub.slots[n]
		if l.round == sub.round {
			w.metrics.drop(dropDuplicate, 1) // the Set has it twice
			continue
		}
		l.round, l.tick = sub.round, w.table.tick
		w.append(l, set, s, at)
	}
	if len(sub.slots) == 0 { // there was no room
		delete(w.table.subjects, sub.key)
		return
	}
	if late || sub.batches {
		return
	}
	sub.of.add(0, sub.removeIf(func(l *slot) bool {
		if l.round == sub.round {
			return false
		}
		w.stale(l, at)
		return true
	}))
}

// append writes one sample.
func (w *writer) append(l *slot, set *reading.Set, s *reading.Sample, at int64) {
	if at < w.from || at >= w.to {
		return
	}
	ref, err := l.ref, error(nil)
	if ref != 0 {
		ref, err = w.app.Append(ref, labels.EmptyLabels(), at, s.Value)
	}
	if l.ref == 0 || isUnknown(err) { // new, or it is no longer in the head
		ref, err = w.app.Append(0, w.labelsOf(set, s), at, s.Value)
	}
	if err != nil {
		w.metrics.drop(dropOf(err), 1)
		return
	}
	l.ref = ref
	w.written++
	w.metrics.samples.Inc()
}

// isUnknown reports whether a series was not found by its number, so that its labels,
// which were not given, were asked for.
func isUnknown(err error) bool {
	return err != nil && dropOf(err) == dropRefused
}

// labelsOf are the labels of a series, which own their memory.
func (w *writer) labelsOf(set *reading.Set, s *reading.Sample) labels.Labels {
	w.labels.Reset()
	w.labels.Add(model.MetricNameLabel, s.Name)
	w.labels.Add("agent", set.Agent)
	if set.Host != "" {
		w.labels.Add("host", set.Host)
	}
	for _, l := range s.Labels {
		w.labels.Add(l.Name, l.Value)
	}
	w.labels.Sort()
	return w.labels.Labels()
}

// end ends all series of a subject.
func (w *writer) end(agent, host string, source reading.Source, about string, at int64) {
	key, _ := w.table.keyOf(agent, host, source, about)
	sub := w.table.subjects[key]
	if sub == nil {
		return
	}
	if at <= sub.newest {
		at = sub.newest + 1 // events of one moment may come in any order
	}
	for i := range sub.slots {
		w.stale(&sub.slots[i], at)
	}
	sub.of.add(-len(sub.slots), len(sub.slots))
	delete(w.table.subjects, key)
}

// stale marks a series as ended.
func (w *writer) stale(l *slot, at int64) {
	if l.ref == 0 || at < w.from || at >= w.to {
		return
	}
	if _, err := w.app.Append(l.ref, labels.EmptyLabels(), at, math.Float64frombits(value.StaleNaN)); err == nil {
		w.metrics.stale.Inc()
	}
}

// dropOf is the reason why the database did not take a sample.
func dropOf(err error) string {
	switch {
	case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrOutOfOrderSample):
		return dropOld
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		return dropDuplicate
	default:
		return dropRefused
	}
}
