package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/amoskys/amoskys/internal/obs"
)

// Sizes of the database, small where nothing is asked or written.
const (
	// blockRange is of the smallest block, and what the head holds at least before it
	// becomes one; blockMost of the largest: a damaged one costs no more than a week.
	blockRange = 2 * time.Hour
	blockMost  = 162 * time.Hour // blockRange times a power of three
	// window is how far a sample may lie behind the newest: agents keep what they cannot
	// send, and send it later.
	window = 24 * time.Hour

	walSegment = 16 << 20
	stripes    = 512 // of the table of series; 16,384 take 2 MB

	// exemplarsMost are kept, of all series, the newest; one takes some 300 bytes of memory.
	// They lie in the write-ahead log alone and are gone with it, hours later.
	exemplarsMost = 5000
)

// opened is the database while it is open.
type opened struct {
	tsdb     *tsdb.DB
	registry *prometheus.Registry // of the database's own metrics
	users    sync.WaitGroup       // who reads or writes
	lock     io.Closer
	// counted is tsdb for who chooses the blocks that go, which begins before that is known.
	counted atomic.Pointer[tsdb.DB]
}

// open puts aside what cannot be used and opens the database.
func (db *DB) open(ctx context.Context) error {
	o, err := db.tryOpen(ctx)
	if err != nil && db.guiltyHead(err) {
		if aside := db.setHeadAside(ctx, err); aside == nil {
			o, err = db.tryOpen(ctx)
		} else {
			err = errors.Join(err, aside)
		}
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	news := db.fault == nil
	if db.fault = err; err != nil {
		if news {
			db.o.Logger.WarnContext(ctx, "the database of metrics does not open: it is tried again", obs.KeyPath, db.o.Path, obs.KeyError, err)
		}
		return err
	}
	if !news {
		db.o.Logger.InfoContext(ctx, "the database of metrics is open again", obs.KeyPath, db.o.Path)
	}
	db.opened, db.broken = o, nil
	db.next, db.last, db.placeDue = db.place.Offset, db.place.Last, true
	close(db.ready)
	signal(db.rebuild)
	return nil
}

func (db *DB) tryOpen(ctx context.Context) (*opened, error) {
	if err := os.MkdirAll(db.o.Path, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the database of metrics: %w", err)
	}
	lock, err := db.o.FS.Lock(filepath.Join(db.o.Path, "lock"))
	if err != nil {
		return nil, fmt.Errorf("open the database of metrics: %w", err)
	}
	o := &opened{registry: prometheus.NewRegistry(), lock: lock}
	if err := errors.Join(db.setBlocksAside(ctx), db.noteCut(ctx)); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	mended := &mendings{}
	o.tsdb, err = tsdb.Open(db.o.Path, telling(db.o.Logger, mended, db.noteCompaction), o.registry, db.options(o), nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database of metrics: %w", err), lock.Close())
	}
	o.counted.Store(o.tsdb)
	if db.o.Written != nil {
		o.tsdb.SetWriteNotified(written{db.o.Written})
	}
	if err := db.noteMended(ctx, mended); err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

// written is told of each write.
type written struct{ tell func() }

// Notify implements wlog.WriteNotified.
func (w written) Notify() { w.tell() }

// noteCompaction keeps that blocks could not be made or joined.
func (db *DB) noteCompaction(err error) {
	db.metrics.compactionErrors.Inc()
	db.mu.Lock()
	defer db.mu.Unlock()
	db.uncompacted, db.uncompactedAt = err, time.Now()
}

// close closes the database once nobody reads it.
func (o *opened) close() error {
	o.users.Wait()
	if err := errors.Join(o.tsdb.Close(), o.lock.Close()); err != nil {
		return fmt.Errorf("close the database of metrics: %w", err)
	}
	return nil
}

func (db *DB) options(opened *opened) *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.BlocksToDelete = func(blocks []*tsdb.Block) map[ulid.ULID]struct{} { return db.outlived(opened.counted.Load(), blocks) }
	o.MinBlockDuration, o.MaxBlockDuration = blockRange.Milliseconds(), blockMost.Milliseconds()
	o.OutOfOrderTimeWindow = window.Milliseconds()
	o.WALSegmentSize, o.WALCompression = walSegment, compression.Snappy
	o.StripeSize, o.HeadChunksWriteBufferSize = stripes, 64<<10
	o.BlockReloadInterval = db.o.reloadEvery
	o.EnableExemplarStorage, o.MaxExemplars = true, exemplarsMost
	o.NoLockfile = true        // there is one
	o.IsolationDisabled = true // one writer; who asks may see half of a batch
	return o
}

// closeBroken closes a database that failed.
func (db *DB) closeBroken(ctx context.Context) {
	db.metrics.reopened.Inc()
	db.mu.Lock()
	o, why := db.opened, db.broken
	db.opened = nil
	db.away()
	db.mu.Unlock()
	db.o.Logger.WarnContext(ctx, "the database of metrics failed: it is opened again", obs.KeyError, why)
	if err := o.close(); err != nil {
		db.o.Logger.WarnContext(ctx, "the database of metrics did not close in order", obs.KeyError, err)
	}
	if errors.Is(why, errAhead) {
		if err := db.setAheadAside(ctx, why); err != nil {
			db.o.Logger.WarnContext(ctx, "readings of a time that has not come stay", obs.KeyError, err)
		}
	}
}

// close closes the database once nobody reads it, and moves the place.
func (db *DB) close(ctx context.Context) error {
	db.mu.Lock()
	o := db.opened
	db.opened = nil
	db.mu.Unlock()
	if o == nil {
		return nil
	}
	err := o.close()
	db.savePlace(ctx)
	return err
}

// These are for who asks while the database is not open.
var (
	errOpening = errors.New("the metrics are being opened: ask again in a moment")
	errNotOpen = errors.New("the metrics cannot be asked, as their database does not open")
)

// use returns the open database until release is called.
func (db *DB) use() (t *tsdb.DB, release func(), err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.fault != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNotOpen, db.fault)
	}
	if db.opened == nil {
		return nil, nil, errOpening
	}
	o := db.opened
	o.users.Add(1)
	return o.tsdb, sync.OnceFunc(o.users.Done), nil
}
