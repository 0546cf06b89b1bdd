// Package metrics is the memory of numbers: a reader of the log that writes the readings
// of all agents (package reading) into a Prometheus TSDB
// (github.com/prometheus/prometheus/tsdb), which PromQL is asked of. It runs in the
// store's process.
//
// What it holds can be made again from the log, as far as that reaches, and is never a
// reason for the store to end:
//
//	what happens                              what the database does
//	it does not open                          tries again; said in Status
//	a block is damaged, or of a newer version sets it aside, and reads its time from the log again
//	the log of its head is damaged            keeps what is whole, and reads the rest from the log again
//	a write fails                             opens again, and goes on from its place
//	the disk has less than MinFree            takes nothing, and goes on when there is room
//	the process, or the machine, ends         goes on from its place: what comes twice is there once
//	the hub's log was replaced                begins the new one
//	a reading is up to a day late             takes it, in its place
//	a reading is older                        drops it, counted
//	a reading is of more than 5 minutes ahead gives it the time of the hub
//	an agent or its host has too many series  drops what is beyond, counted
//	all have too many series                  likewise; said in Status
//	a process ends, or is not among the top   ends its series (stale markers)
//	a counter goes back                       keeps it: PromQL's rate knows that as a restart
//	NaN, infinities                           keeps them
package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// Options say what is read, and where the database is. Path is required.
type Options struct {
	// Source is the log; nil: nothing is read.
	Source reader.Source
	// Path is the folder of the database, made when it is missing.
	Path   string
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
	FS         vfs.FS // of the place and for free space; the operating system's where nil
	// Now is a clock that is believed (package clock): no sample is of later, and what is
	// older than Retention by it goes; nil: time.Now.
	Now func() time.Time
	// Retention is how long samples are kept; 400 days. Blocks go whole.
	Retention time.Duration
	// RetentionBytes bounds what is on disk; 0: no bound.
	RetentionBytes int64
	// MinFree is how many bytes of the disk are left to others; 0: none.
	MinFree int64
	// Written is told of each write, and must not wait; nil: nobody.
	Written func()
	// Series bounds those in the head, 500,000; SeriesOfAgent those of one agent, a tenth of
	// them and not more than 50,000.
	Series, SeriesOfAgent int

	// openPause is before a database that did not open is tried again; 10 s. saveEvery is
	// how often the place moves; 20 s. readPause is the longest before the log is read
	// again after a failure; 0 for the reader's own. reloadEvery is how often the database
	// looks for blocks; a minute.
	openPause, saveEvery, readPause, reloadEvery time.Duration
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Retention <= 0 {
		o.Retention = 400 * 24 * time.Hour
	}
	if o.Series <= 0 {
		o.Series = 500_000
	}
	if o.SeriesOfAgent <= 0 {
		o.SeriesOfAgent = min(50_000, max(1, o.Series/10))
	}
	if o.openPause <= 0 {
		o.openPause = 10 * time.Second
	}
	if o.reloadEvery <= 0 {
		o.reloadEvery = time.Minute
	}
	if o.saveEvery <= 0 {
		o.saveEvery = 20 * time.Second
	}
}

// DB is the database of readings. Make it with New, call Run once, and ask it as a
// storage.Queryable.
type DB struct {
	o       Options
	metrics *selfMetrics
	reader  atomic.Pointer[reader.Reader]
	mend    chan struct{} // the database is to be opened again
	rebuild chan struct{} // something is to be read from the log again

	// Of the goroutine that consumes:
	writer  *writer
	written *tsdb.DB // what writer knows the series of

	saving sync.Mutex // held while the place is written; taken before mu

	mu      sync.Mutex    // guards what follows
	opened  *opened       // nil while it is not open
	ready   chan struct{} // closed while it is open and well
	fault   error         // why it did not open
	broken  error         // why it is to be opened again
	full    error         // why nothing is written for now
	crowded bool          // there is no room for one more series
	unsaved error         // why the place could not be written
	// uncompacted is why blocks could not be made or joined, when that was tried last.
	uncompacted   error
	uncompactedAt time.Time
	place         place
	next          stream.Offset // everything before it is written
	last          lastRead      // the last event that was read
	placeDue      bool
	held          Held // as of heldAt
	heldAt        time.Time
}

// New checks the options. Nothing is opened yet.
func New(o Options) (*DB, error) {
	if o.Path == "" {
		return nil, errors.New("make the database of metrics: its path is required")
	}
	o.setDefaults()
	db := &DB{o: o, mend: make(chan struct{}, 1), rebuild: make(chan struct{}, 1), ready: make(chan struct{})}
	var err error
	if db.metrics, err = newSelfMetrics(db, o.Registerer); err != nil {
		return nil, fmt.Errorf("register metrics of the database of metrics: %w", err)
	}
	return db, nil
}

// Run keeps the database open and follows the log until ctx ends, and closes it then.
func (db *DB) Run(ctx context.Context) error {
	db.begin(ctx)
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var keeping sync.WaitGroup
	keeping.Go(func() { db.keep(own) })
	err := db.follow(ctx)
	cancel()
	keeping.Wait()
	return errors.Join(err, db.close(context.WithoutCancel(ctx)))
}

// begin reads where the log is to be read on.
func (db *DB) begin(ctx context.Context) {
	p, err := loadPlace(db.o.FS, db.o.Path)
	if err != nil {
		db.o.Logger.WarnContext(ctx, "the place of the database of metrics cannot be read: it begins at the log's oldest event", obs.KeyError, err)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.place, db.next, db.last = p, p.Offset, p.Last
}

// follow reads the log until ctx ends, and rebuilds what was set aside beside that.
func (db *DB) follow(ctx context.Context) error {
	if db.o.Source == nil {
		<-ctx.Done()
		return nil
	}
	db.mu.Lock()
	from := db.next
	db.mu.Unlock()
	r, err := reader.New(reader.Options{
		Name: "metrics", Source: knownLog{db.o.Source, db}, Consumer: db, Logger: db.o.Logger, Registerer: db.o.Registerer,
		Cursor: "metrics", OwnPlace: true, Start: reader.Start{Offset: from}, Explicit: true,
		Filter: &pb.Filter{Types: types()}, MaxEvents: 4096, Pause: db.o.readPause, MaxPause: db.o.readPause,
	})
	if err != nil {
		return fmt.Errorf("read the log for metrics: %w", err)
	}
	db.reader.Store(r)
	var rebuilding sync.WaitGroup
	rebuilding.Go(func() { db.rebuildAll(ctx) })
	err = r.Run(ctx)
	rebuilding.Wait()
	return err //nolint:wrapcheck // it is nil
}

// keep opens the database, again where it failed, and moves the place, until ctx ends.
func (db *DB) keep(ctx context.Context) {
	save := time.NewTicker(db.o.saveEvery)
	defer save.Stop()
	for {
		if err := db.open(ctx); err != nil {
			if stream.Wait(ctx, db.o.openPause) != nil {
				return
			}
			continue
		}
		for again := false; !again; {
			select {
			case <-ctx.Done():
				return
			case <-save.C:
				db.savePlace(ctx)
				db.lookAhead(ctx)
			case <-db.mend:
				again = true
			}
		}
		db.closeBroken(ctx)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
