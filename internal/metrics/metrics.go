// Package metrics is the memory of numbers: a reader of the log that writes the readings
// of all agents into a Prometheus TSDB (github.com/prometheus/prometheus/tsdb), which
// PromQL is asked of. It runs in the store's process.
//
// What it holds can be made again from the log, as far as that reaches. It is never a
// reason for the store to end: a database that cannot be opened is tried again, and said
// in Status.
package metrics

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/stream"
)

// Options say where the database is and what it keeps. Path is required.
type Options struct {
	// Path is the folder of the database, made when it is missing.
	Path   string
	Logger *slog.Logger
	// Now is a clock that is believed (package clock), for what is too old; nil: time.Now.
	Now func() time.Time
	// Retention is how long samples are kept; 400 days. Blocks go whole.
	Retention time.Duration
	// RetentionBytes bounds what is on disk; 0: no bound.
	RetentionBytes int64

	// openPause is before a database that did not open is tried again; 10 s.
	openPause time.Duration
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Retention <= 0 {
		o.Retention = 400 * 24 * time.Hour
	}
	if o.openPause <= 0 {
		o.openPause = 10 * time.Second
	}
}

// DB is the database of readings. Make it with New, call Run once, and ask it as a
// storage.Queryable.
type DB struct {
	o Options

	mu     sync.Mutex // guards what follows
	opened *opened    // nil while it is not open
	fault  error      // why it did not open
}

// New checks the options. Nothing is opened yet.
func New(o Options) (*DB, error) {
	if o.Path == "" {
		return nil, errors.New("make the database of metrics: its path is required")
	}
	o.setDefaults()
	return &DB{o: o}, nil
}

// Run keeps the database open until ctx ends, and closes it then.
func (db *DB) Run(ctx context.Context) error {
	for {
		err := db.open()
		if err == nil {
			break
		}
		db.o.Logger.WarnContext(ctx, "the database of metrics does not open: it is tried again", obs.KeyPath, db.o.Path, obs.KeyError, err)
		if stream.Wait(ctx, db.o.openPause) != nil {
			return nil //nolint:nilerr // it was told to end
		}
	}
	<-ctx.Done()
	return db.close()
}

// Status says how the database is: "ok", also while it is being opened, or "degraded" with why.
func (db *DB) Status() (state, reason string) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.fault != nil {
		return "degraded", "metrics: the database does not open, and is tried again: " + db.fault.Error()
	}
	return "ok", ""
}
