package promapi

import (
	"cmp"
	"context"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// counted is a database of which a question may touch so many series, those that it touches
// twice counted twice. The engine has such a bound, too, and then counts each sample beside
// it, which takes a part of the time of every question.
type counted struct {
	storage.Queryable

	most uint64
}

// Querier implements storage.Queryable. The engine opens one for each question, and is one
// goroutine.
func (c counted) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := c.Queryable.Querier(mint, maxt)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller asks whether the database is away
	}
	return &countedQuerier{Querier: q, most: c.most}, nil
}

type countedQuerier struct {
	storage.Querier

	most, touched uint64
}

// Select implements storage.Querier.
func (q *countedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, m ...*labels.Matcher) storage.SeriesSet {
	return &countedSet{SeriesSet: q.Querier.Select(ctx, sorted, hints, m...), of: q}
}

type countedSet struct {
	storage.SeriesSet

	of  *countedQuerier
	err error // that there were too many
}

// Next implements storage.SeriesSet.
func (s *countedSet) Next() bool {
	if s.err != nil || !s.SeriesSet.Next() {
		return false
	}
	if s.of.touched++; s.of.touched > s.of.most {
		s.err = faultf(kindCost, "the question touches more than %d series: choose them by their name and labels", s.of.most)
		return false
	}
	return true
}

// Err implements storage.SeriesSet.
func (s *countedSet) Err() error { return cmp.Or(s.err, s.SeriesSet.Err()) }
