// Package spool keeps an agent's events on disk between the moment they are
// observed and the moment the hub has made them durable.
//
// Events that are appended go into a journal until they make a batch; a seal packs
// them, gives the batch its sequence number and writes it behind the others into the
// last segment, before it is handed out for the first time. What is sent are the bytes
// that lie there. So a batch that is sent again, even by the next process after a
// crash, carries the same producer id, the same number and the same events, and the
// hub stores it once.
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

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/vfs"
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

// MaxEventBytes is the largest encoded event that is accepted: what a hub takes by
// default. One that is larger than a batch travels alone.
const MaxEventBytes = 1 << 20

var (
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("spool is closed")
	// ErrFull is returned by Append when the spool is full and the policy is
	// DropNewest. The events are counted as dropped.
	ErrFull = errors.New("spool is full")
	// ErrTooLarge is returned by Append for an event over MaxEventBytes.
	ErrTooLarge = errors.New("event is too large")
)

// How long events wait for others where Options does not say. An agent that publishes at
// intervals has all of a look in one batch after DefaultQuiet; one whose events come one
// by one gets larger batches by DefaultAge (docs/agents.md has the figures).
const (
	DefaultAge   = 500 * time.Millisecond
	DefaultQuiet = 200 * time.Millisecond
)

// Options configure a spool. Dir is required; zero values mean the defaults.
type Options struct {
	Dir      string
	MaxBytes int64 // bound on what lies on disk, in bytes (64 MiB, at least 1 MiB)
	// MinFree is how many bytes of the disk the spool leaves to others: it does not
	// grow while there are fewer, but for its first 4 MiB (0: it takes what there is).
	MinFree uint64
	Policy  Policy        // what is dropped when full (DropOldest)
	Events  int           // most events of a batch (500)
	Bytes   int           // most bytes of a batch before it is packed, unless one event alone is larger (256 KiB)
	Age     time.Duration // longest an event waits for others before its batch is handed out (DefaultAge)
	Quiet   time.Duration // a batch is handed out when no event has come for so long (DefaultQuiet, at most Age)
	Fsync   bool          // make Append wait for fdatasync
	Logger  *slog.Logger  // (discards)
	// BootID names the running system, so that a restart of the machine is told
	// from a restart of the agent; empty means unknown, which is always safe.
	BootID string

	openFile func(name string, flag int) (file, error) // seam for faults
	free     func(dir string) (uint64, error)          // seam for disks that fill
}

// Stats is a snapshot of a spool. Counters count since Open.
type Stats struct {
	Events        uint64 // waiting on disk: not acknowledged, sealed or not
	Bytes         int64  // of all segment files and the journal
	Appended      uint64
	Acked         uint64 // events in acknowledged batches
	DroppedFull   uint64 // events lost to the size limit, or to keep MinFree
	DroppedDisk   uint64 // events lost to write errors
	DamagedEvents uint64 // events that damage to the files has cost
	DamagedBytes  int64  // bytes that were found damaged
	// AtLeast says that damage may have cost more than DamagedEvents: what would tell
	// is damaged too, or the system has restarted without an orderly stop.
	AtLeast bool
	// SealedBytes is how long the events of sealed batches were, and PackedBytes what
	// was written of them.
	SealedBytes, PackedBytes uint64
	LowDisk                  bool  // the spool may not grow, because of MinFree
	LastError                error // of the last write, nil when it went well
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
	journal  *journal
	segments []*segment // oldest first; the last is written to
	ordinal  uint64     // of the last segment
	queue    []batch    // sealed and not acknowledged, ascending by sequence
	given    int        // queue[:given] were looked at by Next since the last Rewind
	orphans  map[uint64]int
	open     openBatch
	owed     *owed // the last batch, while it could not be written: it goes before anything else
	disk     disk
	nextSeq  uint64
	hold     time.Time // Next hands nothing out before
	flushing bool      // Next seals without waiting for Age
	buf      []byte
	stats    Stats
	wake     chan struct{} // for Next; capacity 1
	idle     chan struct{} // closed when nothing waits any more, then replaced
}

// batch is one sealed batch that the hub has not acknowledged.
type batch struct {
	seg      *segment // nil while it is owed
	frame    []byte   // while it is owed
	seq      uint64
	off, end int64
	count    int
	state    batchState
	ours     bool // the number cannot have been used by an earlier process
	found    bool // by recovery: who wrote it is not known
	tries    int  // times handed out
}

type batchState uint8

const (
	pending batchState = iota
	inFlight
	acked
)

// openBatch is what was appended and not sealed yet. It is in the journal as well.
type openBatch struct {
	fields []byte // as they stand in a PublishRequest
	count  int
	since  time.Time // when the first came
	last   time.Time // when the last did
	urgent bool      // it does not wait
}

// due is when the batch is to be handed out.
func (b *openBatch) due(o *Options) time.Time {
	if b.urgent {
		return time.Time{}
	}
	due := b.since.Add(o.Age)
	if quiet := b.last.Add(o.Quiet); quiet.Before(due) {
		return quiet
	}
	return due
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
	o.Bytes = min(o.Bytes, MaxBatchBytes)
	if o.Age <= 0 {
		o.Age = DefaultAge
	}
	if o.Quiet <= 0 {
		o.Quiet = DefaultQuiet
	}
	o.Quiet = min(o.Quiet, o.Age)
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.openFile == nil {
		o.openFile = openOSFile
	}
	if o.free == nil {
		o.free = vfs.OS{}.FreeBytes
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
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open spool %s: %w", o.Dir, err), s.release())
	}
	return s, nil
}

// Stats returns a snapshot.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Bytes = s.size()
	return out
}

// load takes over what lies in the folder.
func (s *Spool) load() error {
	rest, err := s.upgrade()
	if err != nil {
		return err
	}
	if err := s.recover(); err != nil {
		return err
	}
	return s.takeOver(rest)
}

// size is what lies on disk, in bytes. The caller holds mu.
func (s *Spool) size() (total int64) {
	for _, seg := range s.segments {
		total += seg.size
	}
	if s.journal != nil {
		total += s.journal.size
	}
	return total
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
	errs := []error{s.payOwed(), s.journal.f.Sync()}
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
	if s.journal != nil {
		errs = append(errs, s.journal.f.Close())
	}
	errs = append(errs, s.lock.Close())
	return errors.Join(errs...)
}
