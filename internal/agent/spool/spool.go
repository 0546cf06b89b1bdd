// Package spool keeps an agent's events on disk between the moment they are
// observed and the moment the hub has made them durable.
//
// A spool is a folder of segment files. Append writes events behind each other
// into the last segment; a seal closes a run of events into a batch and gives it
// its sequence number, before the batch is handed out for the first time. So a
// batch that is sent again, even by the next process after a crash, carries the
// same producer id, the same number and the same events, and the hub stores it
// once.
//
// An event counts as spooled when write(2) has returned: it survives a crash of
// the agent, not one of the machine. With Options.Fsync it survives both. The
// byte format is written down in docs/agents.md.
package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Policy says which events go when the spool is full.
type Policy string

const (
	// DropOldest removes the oldest segment, so that the newest events are kept.
	DropOldest Policy = "oldest"
	// DropNewest refuses new events, so that the oldest are kept.
	DropNewest Policy = "newest"
)

// Window is how far a handed-out batch may be ahead of the oldest one that is not
// acknowledged. The hub remembers the last 1,024 numbers of a producer; staying
// well inside keeps every retry recognisable.
const Window = 64

// MaxEventBytes is the largest encoded event that is accepted.
const MaxEventBytes = 256 << 10

var (
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("spool is closed")
	// ErrFull is returned by Append when the spool is full and the policy is
	// DropNewest. The events are counted as dropped.
	ErrFull = errors.New("spool is full")
	// ErrTooLarge is returned by Append for an event over MaxEventBytes.
	ErrTooLarge = errors.New("event is too large")
)

// Options configure a spool. Dir is required; zero values mean the defaults.
type Options struct {
	Dir      string
	MaxBytes int64         // bound on all segment files together, in bytes (64 MiB, at least 1 MiB)
	Policy   Policy        // what is dropped when full (DropOldest)
	Events   int           // most events of a batch (500)
	Bytes    int           // most bytes of a batch, unless one event alone is larger (256 KiB)
	Age      time.Duration // longest an event waits for others before its batch is handed out (200 ms)
	Fsync    bool          // make Append wait for fdatasync
	Logger   *slog.Logger  // (discards)
	// BootID names the running system, so that a restart of the machine is told
	// from a restart of the agent; empty means unknown, which is always safe.
	BootID string

	openFile func(name string, flag int) (file, error) // seam for faults
}

// Batch is a sealed run of events. It belongs to the caller.
type Batch struct {
	Producer [16]byte
	Sequence uint64
	Events   [][]byte
}

// Stats is a snapshot of a spool. Counters count since Open.
type Stats struct {
	Events        uint64 // waiting on disk: not acknowledged, sealed or not
	Bytes         int64  // of all segment files
	Appended      uint64
	Acked         uint64 // events in acknowledged batches
	DroppedFull   uint64 // events lost to the size limit
	DroppedDisk   uint64 // events lost to write errors
	DamagedEvents uint64 // events found unreadable
	DamagedBytes  int64  // bytes skipped as damaged
	LastError     error  // of the last write, nil when it went well
}

// Dropped is the number of events that were lost, for whatever reason.
func (s Stats) Dropped() uint64 { return s.DroppedFull + s.DroppedDisk + s.DamagedEvents }

// Spool is a disk queue of batches. All methods may be called concurrently;
// Next is meant for one consumer.
type Spool struct {
	o    Options
	log  *slog.Logger
	lock *os.File

	mu       sync.Mutex // guards all below
	closed   bool
	producer [16]byte
	cursor   *cursorFile
	segments []*segment // oldest first; the last is written to
	ordinal  uint64     // of the last segment
	queue    []batch    // sealed and not acknowledged, ascending by sequence
	given    int        // queue[:given] were looked at by Next since the last Rewind
	orphans  map[uint64]int
	open     openBatch
	owed     []byte // a seal that could not be written, to go before anything else
	nextSeq  uint64
	hold     time.Time // Next hands nothing out before
	flushing bool      // Next seals without waiting for Age
	moving   byte      // of new segments; not movedNone only while recovery moves events
	buf      []byte
	stats    Stats
	wake     chan struct{} // for Next; capacity 1
	idle     chan struct{} // closed when nothing waits any more, then replaced
}

// batch is one sealed batch that the hub has not acknowledged.
type batch struct {
	seg      *segment
	seq      uint64
	off, end int64
	count    int
	state    batchState
	ours     bool // the number cannot have been used by an earlier process
	tries    int  // times handed out
}

type batchState uint8

const (
	pending batchState = iota
	inFlight
	acked
)

// openBatch is what was appended and not sealed yet, at the end of the last segment.
type openBatch struct {
	off   int64
	count int
	bytes int
	since time.Time
}

func (o *Options) setDefaults() {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 20
	}
	o.MaxBytes = max(o.MaxBytes, 1<<20)
	if o.Policy == "" {
		o.Policy = DropOldest
	}
	if o.Events <= 0 {
		o.Events = 500
	}
	if o.Bytes <= 0 {
		o.Bytes = 256 << 10
	}
	if o.Age <= 0 {
		o.Age = 200 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.openFile == nil {
		o.openFile = openOSFile
	}
}

// segmentBytes is the size at which a segment is closed: small enough that
// dropping one is a small part of the spool, large enough to keep files few.
func (o *Options) segmentBytes() int64 {
	return min(max(o.MaxBytes/16, 128<<10), 8<<20)
}

// Open opens or makes the spool in o.Dir and recovers what the last process left.
// A spool that another process holds is an error that names it.
func Open(o Options) (*Spool, error) {
	o.setDefaults()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	lock, err := acquireLock(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("open spool %s: %w", o.Dir, err)
	}
	s := &Spool{
		o: o, log: o.Logger, lock: lock,
		orphans: map[uint64]int{},
		wake:    make(chan struct{}, 1), idle: make(chan struct{}),
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open spool %s: %w", o.Dir, err), s.release())
	}
	return s, nil
}

// Stats returns a snapshot.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	for _, seg := range s.segments {
		out.Bytes += seg.size
	}
	return out
}

// Flush makes Next hand out what is there without waiting for more, from now on.
func (s *Spool) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushing = true
	s.signal()
}

// Empty returns a channel that is closed once nothing waits to be sent.
func (s *Spool) Empty() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 && s.open.count == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	return s.idle
}

// signal wakes Next. The caller holds mu.
func (s *Spool) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// settle tells those who wait for an empty spool. The caller holds mu.
func (s *Spool) settle() {
	if len(s.queue) == 0 && s.open.count == 0 {
		close(s.idle)
		s.idle = make(chan struct{})
	}
}

// Close makes everything durable and releases the folder. Events that were not
// acknowledged stay for the next Open.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if s.open.count > 0 {
		s.seal()
	}
	s.closed = true
	s.signal()
	errs := []error{s.payOwed()}
	for _, seg := range s.segments {
		errs = append(errs, seg.f.Sync())
	}
	errs = append(errs, s.cursor.sync())
	if errors.Join(errs...) == nil {
		errs = append(errs, s.saveProducer(true))
	}
	errs = append(errs, s.release())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close spool %s: %w", s.o.Dir, err)
	}
	return nil
}

// release closes every file and the lock, which comes last.
func (s *Spool) release() error {
	var errs []error
	for _, seg := range s.segments {
		errs = append(errs, seg.f.Close())
	}
	if s.cursor != nil {
		errs = append(errs, s.cursor.f.Close())
	}
	errs = append(errs, s.lock.Close())
	return errors.Join(errs...)
}
