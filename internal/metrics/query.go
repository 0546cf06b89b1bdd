package metrics

import (
	"errors"

	"github.com/prometheus/prometheus/storage"
)

var (
	_ storage.Queryable      = (*DB)(nil)
	_ storage.ChunkQueryable = (*DB)(nil)
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

// IsAway reports whether an error of a query says that the database is not open: it will
// be, or the error says why not.
func IsAway(err error) bool { return errors.Is(err, errOpening) || errors.Is(err, errNotOpen) }
