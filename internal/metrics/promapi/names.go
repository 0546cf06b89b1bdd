package promapi

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// wanted is what all questions about names have.
type wanted struct {
	start, end int64
	sets       [][]*labels.Matcher
	limit      int
}

func (a *API) wanted(q *request) (w wanted, err error) {
	if w.limit, err = q.limit(); err != nil {
		return w, err
	}
	if w.start, w.end, err = q.span(); err != nil {
		return w, err
	}
	w.sets, err = q.matchers(a)
	return w, err
}

// hint is how many results the database is asked for: one more than the limit, so that a
// cut is seen.
func (w *wanted) hint() int {
	if w.limit > 0 && w.limit < math.MaxInt {
		return w.limit + 1
	}
	return w.limit
}

// labelNames answers which labels there are.
func (a *API) labelNames(q *request) (answer, error) {
	return a.texts(q, func(querier storage.Querier, hints *storage.LabelHints, set []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return querier.LabelNames(q.ctx, hints, set...)
	})
}

// labelValues answers which values a label has.
func (a *API) labelValues(q *request) (answer, error) {
	name := q.label
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return answer{}, faultf(kindBadData, "invalid label name: %q", shortened(name))
	}
	return a.texts(q, func(querier storage.Querier, hints *storage.LabelHints, set []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return querier.LabelValues(q.ctx, name, hints, set...)
	})
}

// texts answers with what look finds for any of the selectors, sorted.
func (a *API) texts(
	q *request, look func(storage.Querier, *storage.LabelHints, []*labels.Matcher) ([]string, annotations.Annotations, error),
) (answer, error) {
	w, err := a.wanted(q)
	if err != nil {
		return answer{}, err
	}
	querier, err := a.o.Queryable.Querier(w.start, w.end)
	if err != nil {
		return answer{}, a.faultOf(err, "opening the metrics")
	}
	made := answer{}
	found, notes := map[string]struct{}{}, annotations.Annotations{}
	sets := w.sets
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	for _, set := range sets {
		texts, more, err := look(querier, &storage.LabelHints{Limit: w.hint()}, set)
		if err != nil {
			return made, errors.Join(a.faultOf(err, "looking for names"), querier.Close())
		}
		notes.Merge(more)
		for _, text := range texts {
			// The database may lie mapped into memory, which is gone once it is closed.
			found[strings.Clone(text)] = struct{}{}
		}
	}
	if err := querier.Close(); err != nil {
		return made, a.faultOf(err, "closing the metrics")
	}
	made = list(slices.Sorted(maps.Keys(found)), w.limit, notes)
	made.from, made.to = time.UnixMilli(w.start), time.UnixMilli(w.end)
	return made, nil
}

// seriesEach is after how many series a question looks whether anybody still waits.
const seriesEach = 128

// series answers which series there are.
func (a *API) series(q *request) (made answer, err error) {
	if len(q.form["match[]"]) == 0 {
		return answer{}, faultf(kindBadData, "no match[] parameter provided")
	}
	w, err := a.wanted(q)
	if err != nil {
		return answer{}, err
	}
	querier, err := a.o.Queryable.Querier(w.start, w.end)
	if err != nil {
		return answer{}, a.faultOf(err, "opening the metrics")
	}
	defer func() {
		if closing := querier.Close(); err == nil && closing != nil {
			err = a.faultOf(closing, "closing the metrics")
		}
	}()
	hints := &storage.SelectHints{Start: w.start, End: w.end, Func: "series", Limit: w.hint()}
	sets := make([]storage.SeriesSet, len(w.sets))
	for i, set := range w.sets {
		sets[i] = querier.Select(q.ctx, len(w.sets) > 1, hints, set...)
	}
	set := sets[0]
	if len(sets) > 1 {
		set = storage.NewMergeSeriesSet(sets, 0, storage.ChainedSeriesMerge)
	}
	var found []labels.Labels
	cut := false
	for set.Next() {
		if len(found)%seriesEach == 0 && q.ctx.Err() != nil {
			return made, a.faultOf(q.ctx.Err(), "looking for series")
		}
		if cut = w.limit > 0 && len(found) == w.limit; cut {
			break
		}
		l := set.At().Labels()
		if found, made.bytes = append(found, l), made.bytes+labelBytes(l); made.bytes > a.o.Limits.AnswerBytes {
			return made, a.fits(made)
		}
	}
	if err := set.Err(); err != nil {
		return made, a.faultOf(err, "looking for series")
	}
	made.from, made.to = time.UnixMilli(w.start), time.UnixMilli(w.end)
	made.annotate(set.Warnings(), "")
	if cut {
		made.warnings = append(made.warnings, truncated)
	}
	made.emit = func(e *encoder) { e.series(found) }
	return made, nil
}

// series writes the labels of series.
func (e *encoder) series(found []labels.Labels) {
	e.raw("[")
	for i, l := range found {
		if i > 0 {
			e.raw(",")
		}
		e.labels(l)
		if !e.spill() {
			return
		}
	}
	e.raw("]")
}
