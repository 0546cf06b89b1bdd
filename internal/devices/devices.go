// Package devices makes the inventory of what is on the network out of the log: it
// follows events about devices, folds what all observers tell into one Book (package
// inventory), and answers as the Devices service who a device is, what is open on it and
// where it is plugged in. It runs in the store's process.
//
// What it holds can be made again. Its file is a checkpoint, from which it reads the log
// on; without one it begins at the oldest event that the log has, and with what the store
// has of the time before that. A day later it is whole in any case, as observers tell of
// every device they know once a day.
//
// Its memory is bounded by MaxDevices, 100,000, each with what package inventory allows
// it, by the history of all (maxHistory lines) and by the newest readings by SNMP
// (maxReadingBytes together). A device with five ports and two addresses takes some 4.6 KB.
//
// An event is believed as far as the hub has let it in: only agents whose certificate
// allows them to observe others speak of devices. What is too old, too new, too large or
// without room is counted, and never stops the reader.
package devices

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/inventory"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// Options say what is read and where the checkpoint is. Source and Path are required.
type Options struct {
	Source reader.Source
	// Path is the folder of the checkpoint, made when it is missing.
	Path   string
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
	FS         vfs.FS // the operating system's where nil
	// Now is a clock that is believed (package clock), for what is gone; nil: time.Now.
	Now func() time.Time
	// Earlier finds events from before the log's oldest; nil: there are none.
	Earlier Earlier
	// LogBegins asks for the offset of the log's oldest event; nil: it is 0.
	LogBegins func(context.Context) (stream.Offset, error)
	// Caller says whose share of questions a call is of; nil: all are one caller's.
	Caller func(context.Context) string
	// MaxDevices bounds the inventory; 100,000.
	MaxDevices int
	// SaveEvery is how often at most the checkpoint is written; a minute. It is longer
	// where that takes long.
	SaveEvery time.Duration
	// GoneAfter is after what silence a device is no longer up; a day and an hour, as
	// observers tell of each once a day.
	GoneAfter time.Duration

	// readPause is the longest before the log is read again after a failure; 0 for the reader's own.
	readPause time.Duration
}

// Earlier searches stored events; the store's Query service does.
type Earlier interface {
	SearchEvents(ctx context.Context, req *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error)
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
	if o.LogBegins == nil {
		o.LogBegins = func(context.Context) (stream.Offset, error) { return 0, nil }
	}
	if o.Caller == nil {
		o.Caller = func(context.Context) string { return "" }
	}
	if o.MaxDevices <= 0 {
		o.MaxDevices = 100_000
	}
	if o.SaveEvery <= 0 {
		o.SaveEvery = time.Minute
	}
	if o.GoneAfter <= 0 {
		o.GoneAfter = 25 * time.Hour
	}
}

// Inventory is what is known of devices. Make it with New, call Run once, and serve it as
// the Devices service.
type Inventory struct {
	pb.UnimplementedDevicesServer

	o       Options
	metrics *metrics
	slots   *limit.Slots // questions being answered, by caller
	reader  atomic.Pointer[reader.Reader]
	news    chan struct{} // something was folded

	mu    sync.Mutex // guards what follows
	state state
	pages pages
	// revision counts lines of history and whatever else a list shows; it begins anywhere, so
	// that one of a store before is another.
	revision uint64
	// listings are the newest answers, the oldest first.
	listings []*listing
}

// state is all that events make.
type state struct {
	book *inventory.Book
	more map[string]*beside // by uid of a device in book
	// hosts are those with agents, by name.
	hosts map[string]*hostFacts
	place stream.Offset // events before it are folded
	// newest is when the hub received the last event that is folded.
	newest time.Time
	// heard and scanned are when a scanner last told of a device, and of one that it had
	// probed.
	heard, scanned time.Time
	lines          int // of history, of all devices
	readingBytes   int // of readings by SNMP, of all devices
	lost           uint64
	// notes say why something may lack that was not lost by the log.
	notes []string
	// unsaved is why the newest checkpoint could not be written; empty where it was.
	unsaved string
	// opened says that there is something to answer with.
	opened bool
}

// New checks the options. Nothing is read yet.
func New(o Options) (*Inventory, error) {
	if o.Source == nil || o.Path == "" {
		return nil, errors.New("make the inventory of devices: source and path are required")
	}
	o.setDefaults()
	in := &Inventory{
		o: o, news: make(chan struct{}, 1), pages: newPages(), revision: rand.Uint64() >> 12, //nolint:gosec // no secret
		slots: limit.NewSlots(limit.SlotOptions{Slots: maxQuestions, Now: o.Now}),
	}
	in.state = in.blank()
	var err error
	if in.metrics, err = newMetrics(in, o.Registerer); err != nil {
		return nil, fmt.Errorf("register metrics of devices: %w", err)
	}
	return in, nil
}

// blank is the state before any event.
func (in *Inventory) blank() state {
	return state{book: inventory.New(in.bookOptions()), more: map[string]*beside{}, hosts: map[string]*hostFacts{}}
}

func (in *Inventory) bookOptions() inventory.Options {
	return inventory.Options{MaxDevices: in.o.MaxDevices, GoneAfter: in.o.GoneAfter}
}

// types are the events that are read; see fold.
func types() []string { return []string{"device.", "snmp.", "finding.", "agent."} }

// Run follows the log until ctx ends, and writes the checkpoint then. A folder that
// cannot be used is said in the log and in answers, and is tried again with the next
// checkpoint: it ends nothing.
func (in *Inventory) Run(ctx context.Context) error {
	in.open(ctx)
	in.mu.Lock()
	place := in.state.place
	in.mu.Unlock()
	r, err := reader.New(reader.Options{
		Name: "devices", Source: in.o.Source, Consumer: in, Logger: in.o.Logger, Registerer: in.o.Registerer,
		Cursor: "devices", OwnPlace: true, Start: reader.Start{Offset: place}, Explicit: true,
		Filter: &pb.Filter{Types: types()}, Pause: in.o.readPause, MaxPause: in.o.readPause,
	})
	if err != nil {
		return fmt.Errorf("read the log for devices: %w", err)
	}
	in.reader.Store(r)
	var tending sync.WaitGroup
	tending.Go(func() { in.tend(ctx, r) })
	err = r.Run(ctx)
	tending.Wait()
	in.saveLast(ctx, r)
	return err //nolint:wrapcheck // it is nil
}

// Periods of what is done beside reading.
const (
	expireEvery = time.Minute
	sweepEvery  = time.Hour
)

// tend writes the checkpoint when something is new, and looks for what is gone.
func (in *Inventory) tend(ctx context.Context, r *reader.Reader) {
	expire, sweep := time.NewTicker(expireEvery), time.NewTicker(sweepEvery)
	defer expire.Stop()
	defer sweep.Stop()
	save := time.NewTimer(in.o.SaveEvery)
	defer save.Stop()
	due := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.news:
			due = true
		case <-expire.C:
			in.expire()
		case <-sweep.C:
			in.sweep()
		case <-save.C:
			wait := in.o.SaveEvery
			if due {
				due = false
				began := time.Now()
				in.save(ctx, r)
				wait = max(wait, 20*time.Since(began)) // at most a twentieth of the time
			}
			save.Reset(wait)
		}
	}
}

// saveLast writes the checkpoint at the end.
func (in *Inventory) saveLast(ctx context.Context, r *reader.Reader) {
	in.save(context.WithoutCancel(ctx), r)
}

// Status says how the inventory is: "ok", also while it is being opened or catches up, or
// "degraded" with why.
func (in *Inventory) Status() (status, reason string) {
	if why, fault := in.behind(); fault {
		return "degraded", "devices: " + why
	}
	return "ok", ""
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
