package metrics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

var _ storage.AppendableV2 = (*DB)(nil)

// AppenderV2 implements storage.AppendableV2, for what is worked out of readings and is in
// no event: results of rules, and what the store says of itself. None of it comes again
// when the log is read anew. While the database is not open, or the disk is nearly full, it
// takes nothing and says why. It stays open until Commit or Rollback.
func (db *DB) AppenderV2(ctx context.Context) storage.AppenderV2 {
	t, release, err := db.use()
	if err != nil {
		return refusing{err}
	}
	if err := db.roomOnDisk(); err != nil {
		release()
		return refusing{err}
	}
	full := int(t.Head().NumSeries()) >= db.o.Series+db.o.Series/workedShare
	return &appender{
		AppenderV2: t.AppenderV2(ctx), db: db, release: release, full: full,
		latest: db.o.Now().Add(futureMost).UnixMilli(),
	}
}

// workedShare is which part of the bound on series is there on top for what is worked out.
const workedShare = 10

// Why an appender does not take a sample.
var (
	errCrowded = errors.New("the database of metrics has no room for more series")
	errFuture  = errors.New("its time has not come by the clock that is believed")
)

// appender writes into the open database.
type appender struct {
	storage.AppenderV2

	db      *DB
	release func()
	full    bool
	latest  int64 // no sample is later, ms
}

// Append implements storage.AppenderV2.
func (a *appender) Append(
	ref storage.SeriesRef, l labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AppendV2Options,
) (storage.SeriesRef, error) {
	switch {
	case t > a.latest:
		return 0, fmt.Errorf("write a sample of %s: %w", time.UnixMilli(t).UTC().Format(time.RFC3339), errFuture)
	case a.full:
		return 0, errCrowded
	}
	return a.AppenderV2.Append(ref, l, st, t, v, h, fh, o) //nolint:wrapcheck // callers compare it
}

// Commit implements storage.AppenderTransaction.
func (a *appender) Commit() error {
	defer a.release()
	err := a.AppenderV2.Commit()
	if err != nil {
		a.db.breaks(err) // what of it is on disk is known once it is opened again
	}
	return err //nolint:wrapcheck // it says all
}

// Rollback implements storage.AppenderTransaction.
func (a *appender) Rollback() error {
	defer a.release()
	return a.AppenderV2.Rollback() //nolint:wrapcheck // it says all
}

// refusing is an appender of a database that takes nothing.
type refusing struct{ why error }

func (r refusing) Append(storage.SeriesRef, labels.Labels, int64, int64, float64, *histogram.Histogram, *histogram.FloatHistogram, storage.AppendV2Options) (storage.SeriesRef, error) {
	return 0, r.why
}

func (r refusing) Commit() error { return r.why }

func (refusing) Rollback() error { return nil }

// CaughtUp reports whether the database is open and has, or nearly has, what the log has.
func (db *DB) CaughtUp() bool {
	db.mu.Lock()
	open := db.opened != nil && db.broken == nil
	db.mu.Unlock()
	if !open {
		return false
	}
	if db.o.Source == nil {
		return true
	}
	r := db.reader.Load()
	return r != nil && r.Status().Lag <= nearly
}

// nearly is how many events the log may be ahead: those that come while one looks.
const nearly = 2000
