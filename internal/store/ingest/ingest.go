package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/logsql/row"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// Options say what is stored where. Engine, Source and Path are required.
type Options struct {
	Engine Engine
	Source reader.Source
	Path   string // folder of the store, where its place is kept
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none. ReaderRegisterer takes those of the reader,
	// which are to have the labels of other readers of the process and no more; nil: Registerer.
	Registerer, ReaderRegisterer prometheus.Registerer
	FS                           vfs.FS // the operating system's where nil
	// Cursor is the name by which the hub shows how far the store is; "store".
	Cursor    string
	Retention Retention
	// Refill says that the engine's files are not ours to look at: what it holds is counted
	// when it was started again, and where it has lost rows it is filled again from the log.
	Refill bool
	// Turn is whose turn it is, where several stores may feed the engine.
	Turn TurnOptions
	// Free is how many bytes the engine's disk has free; nil: the disk that Path lies on.
	Free func() (uint64, error)
	// Now is a clock that is believed (package clock), for retention; nil: time.Now.
	Now func() time.Time

	// Batches end at so many rows or bytes, 2,000 and 1 MiB, or after BatchDelay, 200 ms.
	BatchRows, BatchBytes int
	BatchDelay            time.Duration
	// QuietDelay is how long a batch of fewer than quietRows waits for more where nobody
	// asks (Offer), 4 s: each makes the engine write a part of its data and merge it with
	// others, which is most of what it does on a quiet host.
	QuietDelay time.Duration
	// BarrierEvery is how long what is new stays behind the place, 10 s; see barrierDelay.
	BarrierEvery time.Duration
	// AtOnce is how many batches are given to the engine at the same time, 1.
	AtOnce int
	// RetainEvery is how often it is looked for what is too old, a minute.
	RetainEvery time.Duration

	insert    func(context.Context, *vlogs.Rows) error // gives rows to the engine
	takesRows func(context.Context) error              // asks the engine whether it takes any
	now       func() time.Time                         // for delays
	wait      func(context.Context, time.Duration) error
	fullPause time.Duration // before a full disk is tried again
	// readPause is the longest before the log is read again after a failure; 0 for the reader's own.
	readPause time.Duration
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.ReaderRegisterer == nil {
		o.ReaderRegisterer = o.Registerer
	}
	o.Turn.setDefaults()
	if o.Free == nil {
		o.Free = func() (uint64, error) { return o.FS.FreeBytes(o.Path) }
	}
	if o.Cursor == "" {
		o.Cursor = "store"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.BatchRows = orElse(o.BatchRows, 2000)
	o.AtOnce = orElse(o.AtOnce, inFlight)
	o.BatchBytes = orElse(o.BatchBytes, 1<<20)
	o.BatchDelay = orElse(o.BatchDelay, 200*time.Millisecond)
	o.QuietDelay = max(orElse(o.QuietDelay, 4*time.Second), o.BatchDelay)
	o.BarrierEvery = orElse(o.BarrierEvery, 10*time.Second)
	o.RetainEvery = orElse(o.RetainEvery, time.Minute)
	o.fullPause = orElse(o.fullPause, time.Second)
	if o.now == nil {
		o.now = time.Now
	}
	if o.wait == nil {
		o.wait = wait
	}
	if o.takesRows == nil {
		o.takesRows = func(ctx context.Context) error { return o.Engine.Rows().TakesRows(ctx) } //nolint:wrapcheck // it says all
	}
	if o.insert == nil {
		o.insert = func(ctx context.Context, r *vlogs.Rows) error {
			return o.Engine.Rows().Insert(ctx, r) //nolint:wrapcheck // it says all
		}
	}
}

func orElse[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Ingest feeds one store. Make it with New, and call Run once.
type Ingest struct {
	o        Options
	reader   atomic.Pointer[reader.Reader] // nil until the place is found
	metrics  *metrics
	flight   *flight
	refusals refusals
	epoch    atomic.Uint64 // the engine's start that rows are given to: keeper.State.Starts
	round    atomic.Uint64 // how often what was not durable was forgotten, by begin or for another log
	// gate is locked while there must be no inserts: by a barrier, and by begin.
	gate sync.RWMutex
	// news says that something came, rebuilt that there is a day to rebuild, begun that
	// begin has done its work.
	news, rebuilding, begun chan struct{}

	startOver func() // ends the reader that reads, for another one to begin; of read

	mu      sync.Mutex // guards what follows; Consume holds it while it waits for the engine
	writer  *row.Writer
	rows    *batch    // being filled; nil until it is needed
	since   time.Time // when rows got its first
	next    stream.Offset
	last    []byte           // id of the event before next; empty where it was none
	oldest  int64            // time of the oldest event, ns; 0 where it is not known
	newest  time.Time        // of the times at which the hub received events
	days    map[int64]uint64 // rows by day since 1970, those that are not durable as well
	thinned map[int64]uint64 // readings that were left out, by day likewise
	place   Place            // durable; its maps and lists do not change
	lost    bool             // no place is known yet
	gaps    []Gap            // met since
	settled time.Time        // when the last barrier was
	started time.Time        // when the engine was last ready for what is behind the place
	dropped float64          // rows that the engine has ever dropped, by its own count

	view view
}

// view is what status and retention need, who must not wait for mu: its holder may wait
// until there is room on the disk.
type view struct {
	sync.Mutex
	removed  map[string]bool // days that retention removed since the last barrier
	place    Place
	next     stream.Offset
	oldest   int64
	days     map[int64]uint64 // rows of each day, those behind the place too
	thinned  map[int64]uint64 // readings of each day that were left out, likewise
	readOnly bool
	trouble  string // why reading has not begun
	rebuild  Rebuild
	freeing  string // what retention cannot do
	turn     turn
	lost     bool   // place is none, as Ingest.lost
	crowded  string // who else fills the disk
	late     givenUp
}

// New checks the options. Nothing is read yet.
func New(o Options) (*Ingest, error) {
	if o.Engine == nil || o.Source == nil || o.Path == "" {
		return nil, errOptions
	}
	o.setDefaults()
	in := &Ingest{
		o: o, flight: newFlight(o.AtOnce), news: make(chan struct{}, 1), rebuilding: make(chan struct{}, 1), begun: make(chan struct{}, 1),
		writer: row.NewWriter(o.Retention.bounds()), days: map[int64]uint64{}, thinned: map[int64]uint64{},
		view: view{removed: map[string]bool{}, days: map[int64]uint64{}, thinned: map[int64]uint64{}},
	}
	var err error
	if in.metrics, err = newMetrics(in, o.Registerer); err != nil {
		return nil, fmt.Errorf("register metrics of the store: %w", err)
	}
	return in, nil
}

// Run feeds the store until ctx ends; it makes durable then what came. The keeper must
// run beside it, and longer. The error says that the store's folder cannot be used.
func (in *Ingest) Run(ctx context.Context) error {
	if err := in.open(ctx); err != nil {
		return err
	}
	if in.findPlace(ctx) != nil {
		return nil // ctx ended
	}
	// The inserts outlast the reader, for the last batch.
	inserting, stop := context.WithCancel(context.WithoutCancel(ctx))
	var inserts, others sync.WaitGroup
	for range in.o.AtOnce {
		inserts.Go(func() { in.insertAll(inserting) })
	}
	err := in.read(ctx, func() {
		others.Go(func() { in.tend(ctx) })
		others.Go(func() { in.watchEngine(ctx) })
		others.Go(func() { in.rebuildAll(ctx) })
		others.Go(func() { in.retain(ctx) })
		others.Go(func() { in.keepTurn(ctx) })
	})
	others.Wait()
	in.settleLast(ctx)
	stop()
	inserts.Wait()
	return err
}

// read reads the log until ctx ends, with one reader after the other where the place is
// moved back. first is called once there is one.
func (in *Ingest) read(ctx context.Context, first func()) error {
	registerer := in.o.ReaderRegisterer
	var theirs *registered
	if registerer != nil {
		theirs = &registered{Registerer: registerer}
		registerer = theirs
	}
	for ctx.Err() == nil {
		reading, over := context.WithCancel(ctx)
		in.mu.Lock()
		in.startOver = over
		from := in.place.Offset
		in.mu.Unlock()
		r, err := reader.New(reader.Options{
			Name: in.o.Cursor, Source: &source{Source: in.o.Source, in: in}, Consumer: in, Logger: in.o.Logger, Registerer: registerer,
			Cursor: in.o.Cursor, OwnPlace: true, Start: reader.Start{Offset: from}, Blocks: true, MaxEvents: in.o.BatchRows, Explicit: true,
			Pause: in.o.readPause, MaxPause: in.o.readPause,
		})
		if err != nil {
			over()
			return fmt.Errorf("read the log for the store: %w", err)
		}
		if in.reader.Swap(r) == nil {
			first()
		}
		err = r.Run(reading)
		ended := reading.Err() == nil // the log was closed
		over()
		if err != nil || ended {
			return err //nolint:wrapcheck // it is nil
		}
		if theirs != nil {
			theirs.forget()
		}
	}
	return nil
}

// Reader tells how far reading is; nil until it has begun.
func (in *Ingest) Reader() *reader.Reader { return in.reader.Load() }

// lastTime bounds the barrier at the end.
const lastTime = 10 * time.Second

// settleLast makes durable what came, if the engine still serves.
func (in *Ingest) settleLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
	defer cancel()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.view.Lock()
	full := in.view.readOnly
	in.view.Unlock()
	if full || in.flight.failure() != nil || !in.o.Engine.State().Running || in.inDoubt() {
		return // what came is read again
	}
	if err := in.settle(ctx); err != nil {
		in.o.Logger.WarnContext(ctx, "the store ends before its newest events are durable: it reads them again", obs.KeyError, err)
	}
}

// errRestarted says that the engine's process is another one than before.
var errRestarted = errors.New("the store's engine was started again")

// watchEngine has the reader begin again when the engine does, though no event comes.
func (in *Ingest) watchEngine(ctx context.Context) {
	for {
		select {
		case <-in.begun:
		case <-ctx.Done():
			return
		}
		epoch := in.epoch.Load()
		if _, err := in.o.Engine.Wait(ctx, epoch); err != nil {
			return
		}
		if in.epoch.Load() == epoch {
			in.flight.fail(errRestarted)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
