package metrics

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/tsdb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// types are the events that have readings, and that which ends those of a process. One
// that ends in a dot stands for all that begin so.
func types() []string { return append(event.ReadingTypes(), event.TypeProcessExit) }

var _ reader.Consumer = (*DB)(nil)

// Consume implements reader.Consumer: it writes what a batch reads in one piece. It waits
// while the database is not open.
func (db *DB) Consume(ctx context.Context, b *reader.Batch) error {
	t, release, err := db.useSoon(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := db.roomOnDisk(); err != nil {
		return err
	}
	db.mu.Lock()
	next, last := db.next, db.last
	db.mu.Unlock()
	if b.Tail != 0 && b.Tail < next {
		db.startOver(ctx)
		return errReplaced // the reader knows, and begins at its beginning
	}
	if err := db.write(ctx, t, b, next); err != nil {
		db.breaks(err)
		return fmt.Errorf("write readings: %w", err)
	}
	last = lastOf(b, last)
	db.mu.Lock()
	db.next, db.last = max(next, b.Next), last
	db.placeDue = true
	db.crowded = db.writer.room <= 0
	db.mu.Unlock()
	return nil
}

// write writes the events of a batch from an offset on.
func (db *DB) write(ctx context.Context, t *tsdb.DB, b *reader.Batch, next stream.Offset) (err error) {
	w := db.writer
	if w == nil || db.written != t {
		w = newWriter(db.o.SeriesOfAgent, db.metrics, db.o.Now)
		db.writer, db.written = w, t
	}
	w.app = t.Appender(ctx)
	w.room = db.o.Series - int(t.Head().NumSeries())
	done := false
	defer func() {
		if !done { // it panicked
			err = w.app.Rollback()
		}
	}()
	for i := range b.Events {
		if b.Events[i].Offset >= next {
			w.take(&b.Events[i])
		}
	}
	done = true
	return w.app.Commit() //nolint:wrapcheck // the caller says what this was
}

// errRoom says that the disk is nearly full.
var errRoom = errors.New("the disk of the metrics is nearly full")

// errReplaced says that the hub's log is another than before. What is written stays true.
var errReplaced = errors.New("the hub's log was replaced by another, which is read from its beginning")

// roomOnDisk fails while less than MinFree is free: a database that meets the end of the
// disk in the middle of a write has to be mended. The log keeps the events meanwhile.
func (db *DB) roomOnDisk() error {
	if db.o.MinFree <= 0 {
		return nil
	}
	free, err := db.o.FS.FreeBytes(db.o.Path)
	if err == nil && free < uint64(db.o.MinFree) {
		err = fmt.Errorf("%w: %d MB are free, and the store stops at %d (store.min_free_mb)", errRoom, free>>20, db.o.MinFree>>20)
	} else {
		err = nil // a disk that does not say is found out by writing
	}
	db.mu.Lock()
	db.full = err
	db.mu.Unlock()
	return err
}

// useSoon returns the open database, once it is that.
func (db *DB) useSoon(ctx context.Context) (t *tsdb.DB, release func(), err error) {
	for {
		db.mu.Lock()
		ready := db.ready
		db.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-ready:
		}
		if t, release, err = db.use(); err == nil {
			return t, release, nil
		}
	}
}

// breaks notes that the database failed, so that it is closed and opened again: what of a
// write is on disk is known only then.
func (db *DB) breaks(err error) {
	db.mu.Lock()
	db.broken = err
	db.away()
	db.mu.Unlock()
	signal(db.mend)
}

// away has whoever comes from now on wait until the database is open again; who waits
// already goes on waiting for the same. The caller holds mu.
func (db *DB) away() {
	select {
	case <-db.ready:
		db.ready = make(chan struct{})
	default:
	}
}
