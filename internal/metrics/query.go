package metrics

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

var (
	_ storage.Queryable         = (*DB)(nil)
	_ storage.ChunkQueryable    = (*DB)(nil)
	_ storage.ExemplarQueryable = (*DB)(nil)
)

// Querier implements storage.Queryable. The database stays open until it is closed.
func (db *DB) Querier(mint, maxt int64) (storage.Querier, error) {
	t, release, err := db.use()
	if err != nil {
		return nil, err
	}
	q, err := t.Querier(mint, maxt)
	if err != nil {
		release()
		return nil, err //nolint:wrapcheck // it says all
	}
	return &querier{Querier: q, release: release}, nil
}

type querier struct {
	storage.Querier

	release func()
}

// Close implements storage.Querier.
func (q *querier) Close() error {
	defer q.release()
	return q.Querier.Close() //nolint:wrapcheck // it says all
}

// ChunkQuerier implements storage.ChunkQueryable. The database stays open until it is closed.
func (db *DB) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	t, release, err := db.use()
	if err != nil {
		return nil, err
	}
	q, err := t.ChunkQuerier(mint, maxt)
	if err != nil {
		release()
		return nil, err //nolint:wrapcheck // it says all
	}
	return &chunkQuerier{ChunkQuerier: q, release: release}, nil
}

type chunkQuerier struct {
	storage.ChunkQuerier

	release func()
}

// Close implements storage.ChunkQuerier.
func (q *chunkQuerier) Close() error {
	defer q.release()
	return q.ChunkQuerier.Close() //nolint:wrapcheck // it says all
}

// ExemplarQuerier implements storage.ExemplarQueryable. The database need not stay open for
// it.
func (db *DB) ExemplarQuerier(ctx context.Context) (storage.ExemplarQuerier, error) {
	return exemplarQuerier{ctx, db}, nil
}

type exemplarQuerier struct {
	ctx context.Context //nolint:containedctx // of the one question that it is for
	db  *DB
}

// Select implements storage.ExemplarQuerier.
func (q exemplarQuerier) Select(start, end int64, m ...[]*labels.Matcher) ([]exemplar.QueryResult, error) {
	t, release, err := q.db.use()
	if err != nil {
		return nil, err
	}
	defer release()
	inner, err := t.ExemplarQuerier(q.ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says all
	}
	return inner.Select(start, end, m...) //nolint:wrapcheck // it says all
}

// IsAway reports whether an error of a query says that the database is not open: it will
// be, or the error says why not.
func IsAway(err error) bool { return errors.Is(err, errOpening) || errors.Is(err, errNotOpen) }
