package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
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
)

// opened is the database while it is open.
type opened struct {
	tsdb  *tsdb.DB
	users sync.WaitGroup // queriers
}

// open opens the database.
func (db *DB) open() error {
	err := os.MkdirAll(db.o.Path, 0o700)
	var t *tsdb.DB
	if err == nil {
		t, err = tsdb.Open(db.o.Path, quiet(db.o.Logger), nil, db.options(), nil)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.fault = err; err != nil {
		return fmt.Errorf("open the database of metrics: %w", err)
	}
	db.opened = &opened{tsdb: t}
	return nil
}

func (db *DB) options() *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.RetentionDuration, o.MaxBytes = db.o.Retention.Milliseconds(), db.o.RetentionBytes
	o.MinBlockDuration, o.MaxBlockDuration = blockRange.Milliseconds(), blockMost.Milliseconds()
	o.OutOfOrderTimeWindow = window.Milliseconds()
	o.WALSegmentSize, o.WALCompression = walSegment, compression.Snappy
	o.StripeSize, o.HeadChunksWriteBufferSize = stripes, 64<<10
	o.IsolationDisabled = true // one writer; who asks may see half of a batch
	return o
}

// close closes the database once nobody reads it.
func (db *DB) close() error {
	db.mu.Lock()
	o := db.opened
	db.opened = nil
	db.mu.Unlock()
	if o == nil {
		return nil
	}
	o.users.Wait()
	if err := o.tsdb.Close(); err != nil {
		return fmt.Errorf("close the database of metrics: %w", err)
	}
	return nil
}

// errOpening is for who asks while the database is not open.
var errOpening = errors.New("the metrics are being opened: ask again in a moment")

// use returns the open database until release is called.
func (db *DB) use() (t *tsdb.DB, release func(), err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.fault != nil {
		return nil, nil, fmt.Errorf("the metrics cannot be asked, as their database does not open: %w", db.fault)
	}
	if db.opened == nil {
		return nil, nil, errOpening
	}
	o := db.opened
	o.users.Add(1)
	return o.tsdb, sync.OnceFunc(o.users.Done), nil
}

// quiet is a logger for the database, whose every step is news to it: what it calls info
// is for debugging here.
func quiet(l *slog.Logger) *slog.Logger { return slog.New(quietHandler{l.Handler()}) }

type quietHandler struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h quietHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, quieter(level))
}

// Handle implements slog.Handler.
func (h quietHandler) Handle(ctx context.Context, r slog.Record) error { //nolint:gocritic // the interface has it so
	r.Level = quieter(r.Level)
	return h.Handler.Handle(ctx, r) //nolint:wrapcheck // it is the handler's
}

// WithAttrs implements slog.Handler.
func (h quietHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(a)}
}

// WithGroup implements slog.Handler.
func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name)}
}

func quieter(l slog.Level) slog.Level {
	if l == slog.LevelInfo {
		return slog.LevelDebug
	}
	return l
}
