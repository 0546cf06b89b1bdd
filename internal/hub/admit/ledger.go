package admit

import (
	"sync"
	"time"
)

// WindowSize is how many sequences behind the highest one a producer's window
// remembers (compare the anti-replay window of RFC 4303 section 3.4.3).
const WindowSize = 1024

// Verdict says what to do with a batch or an event.
type Verdict uint8

const (
	// New means: not seen, and now claimed. Stored or Failed must follow.
	New Verdict = iota + 1
	// Duplicate means: seen before. It is stored, or on its way; once the log
	// has passed a barrier, Has tells whether it got there.
	Duplicate
	// Stale means: too far behind the window to tell.
	Stale
)

// LedgerOptions bounds a Ledger. The zero value takes the defaults.
type LedgerOptions struct {
	// Producers is how many producers are remembered, 65,536 by default, for as long
	// as there is room: no time passes in which one would be forgotten.
	Producers int
	// PerPublisher is how many of them one certificate may hold, half by default.
	PerPublisher int
	// Events is how many ids of single events are remembered, 65,536 by default, half
	// of them of one certificate.
	Events int
	// Holds reports whether the log may still hold records that came at a time; nil
	// if it always may. It is told what the clock of Claim and Replay showed.
	Holds func(time.Time) bool
}

// Ledger remembers what has been stored, so that a retry is harmless. It knows
// batches by the producer's window of sequences and single events by their id.
// It is rebuilt from the log (Replay) and written into it (Checkpoint).
//
// A claim is not a promise: only what Stored was called for is in a
// checkpoint, because a batch that was claimed and then lost in a crash must be
// accepted when it comes again. Its methods may be called concurrently.
type Ledger struct {
	options LedgerOptions

	mu        sync.Mutex // guards all below
	producers *shelf[producerKey, *producer]
	events    *shelf[eventKey, *bool] // whether they are stored
	forgotten Forgotten
}

// Forgotten says which producers had to be forgotten while the log may hold their
// records, so that a batch of theirs that comes again would be stored twice.
type Forgotten struct {
	Count     uint64
	Publisher string    // of the last one
	Time      time.Time // when
}

type producerKey struct {
	publisher string
	id        [IDSize]byte
}

type eventKey struct {
	publisher string
	id        [IDSize]byte
}

// NewLedger returns an empty Ledger.
func NewLedger(o LedgerOptions) *Ledger {
	if o.Producers <= 0 {
		o.Producers = 1 << 16
	}
	if o.PerPublisher <= 0 {
		o.PerPublisher = max(1, o.Producers/2)
	}
	if o.Events <= 0 {
		o.Events = 1 << 16
	}
	l := &Ledger{
		options:   o,
		producers: newShelf[producerKey, *producer](o.Producers, o.PerPublisher),
		events:    newShelf[eventKey, *bool](o.Events, max(1, o.Events/2)),
	}
	// One with batches on their way stays, for a duplicate of them may come at any moment.
	l.producers.busy = func(p *producer) bool { return p.pending > 0 }
	return l
}

// PerPublisher returns how many producers of one certificate are remembered.
func (l *Ledger) PerPublisher() int { return l.options.PerPublisher }

// Forgotten returns what had to be forgotten early.
func (l *Ledger) Forgotten() Forgotten {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.forgotten
}

// Claim asks whether a batch is new, and marks it as on its way if it is.
func (l *Ledger) Claim(publisher string, id [IDSize]byte, sequence uint64, now time.Time) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.producer(producerKey{publisher, id}, now)
	verdict := p.window.claim(sequence)
	if verdict == New {
		p.pending++
	}
	return verdict
}

// Stored marks a claimed batch as durable.
func (l *Ledger) Stored(publisher string, id [IDSize]byte, sequence uint64) {
	l.settle(publisher, id, sequence, (*window).store)
}

// Failed takes a claim back.
func (l *Ledger) Failed(publisher string, id [IDSize]byte, sequence uint64) {
	l.settle(publisher, id, sequence, (*window).release)
}

func (l *Ledger) settle(publisher string, id [IDSize]byte, sequence uint64, how func(*window, uint64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p, ok := l.producers.get(producerKey{publisher, id}); ok {
		p.pending--
		how(&p.window, sequence)
	}
}

// Has reports whether a batch is stored.
func (l *Ledger) Has(publisher string, id [IDSize]byte, sequence uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.producers.get(producerKey{publisher, id})
	return ok && p.window.covers(sequence) && p.window.stored.has(sequence)
}

// Producers returns how many producers are remembered.
func (l *Ledger) Producers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.producers.len()
}

// producer finds or makes a producer and makes it the newest. The caller holds mu.
func (l *Ledger) producer(key producerKey, now time.Time) *producer {
	if p, ok := l.producers.get(key); ok {
		l.producers.renew(key)
		p.used = now
		return p
	}
	p := &producer{used: now}
	l.producers.forgot = func(publisher string, gone *producer) {
		if l.options.Holds == nil || l.options.Holds(gone.used) {
			l.forgotten = Forgotten{Count: l.forgotten.Count + 1, Publisher: publisher, Time: now}
		}
	}
	l.producers.put(key.publisher, key, p)
	return p
}

// producer is one sender's spool.
type producer struct {
	used    time.Time
	pending int // claims that are not settled
	window  window
}
