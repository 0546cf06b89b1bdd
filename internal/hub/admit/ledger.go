package admit

import (
	"container/list"
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
	// Producers is how many producers are remembered, 65,536 by default; the
	// one that was idle longest is forgotten first.
	Producers int
	// PerPublisher is how many of them one certificate may hold, half by default:
	// whoever invents producer ids forgets its own before those of others.
	PerPublisher int
	// Idle is how long a silent producer is remembered, 30 days by default.
	Idle time.Duration
	// Events is how many ids of single events are remembered, 65,536 by default.
	Events int
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
	producers map[producerKey]*list.Element
	recency   *list.List            // of *producer, the one used last in front
	own       map[string]*list.List // the same for each publisher
	events    map[eventKey]bool
	order     []eventKey // ring of the keys of events in the order they came
	next      int        // place in order that is overwritten next
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
	if o.Idle <= 0 {
		o.Idle = 30 * 24 * time.Hour
	}
	if o.Events <= 0 {
		o.Events = 1 << 16
	}
	return &Ledger{
		options:   o,
		producers: map[producerKey]*list.Element{},
		recency:   list.New(),
		own:       map[string]*list.List{},
		events:    map[eventKey]bool{},
	}
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
	if e, ok := l.producers[producerKey{publisher, id}]; ok {
		p := entryOf(e)
		p.pending--
		how(&p.window, sequence)
	}
}

// Has reports whether a batch is stored.
func (l *Ledger) Has(publisher string, id [IDSize]byte, sequence uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.producers[producerKey{publisher, id}]
	if !ok {
		return false
	}
	w := &entryOf(e).window
	return w.covers(sequence) && w.stored.has(sequence)
}

// Producers returns how many producers are remembered.
func (l *Ledger) Producers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.producers)
}

// producer finds or makes a producer and moves it to the front. The caller
// holds mu.
func (l *Ledger) producer(key producerKey, now time.Time) *producer {
	if e, ok := l.producers[key]; ok {
		p := entryOf(e)
		l.recency.MoveToFront(e)
		l.own[key.publisher].MoveToFront(p.own)
		p.used = now
		return p
	}
	l.evictOwn(key.publisher)
	l.evict(now)
	p := &producer{key: key, used: now}
	l.producers[key] = l.recency.PushFront(p)
	if l.own[key.publisher] == nil {
		l.own[key.publisher] = list.New()
	}
	p.own = l.own[key.publisher].PushFront(p)
	return p
}

// evictOwn makes room within the share of a publisher. The caller holds mu.
func (l *Ledger) evictOwn(publisher string) {
	own := l.own[publisher]
	if own == nil || own.Len() < l.options.PerPublisher {
		return
	}
	for e := own.Back(); e != nil; e = e.Prev() {
		if p := entryOf(e); p.pending == 0 {
			l.forget(p)
			return
		}
	}
}

// forget removes a producer. The caller holds mu.
func (l *Ledger) forget(p *producer) {
	l.recency.Remove(l.producers[p.key])
	delete(l.producers, p.key)
	own := l.own[p.key.publisher]
	own.Remove(p.own)
	if own.Len() == 0 {
		delete(l.own, p.key.publisher)
	}
}

// evict makes room for one more producer. One with batches on their way stays,
// for a duplicate of them may come at any moment. The caller holds mu.
func (l *Ledger) evict(now time.Time) {
	for e := l.recency.Back(); e != nil; {
		p, before := entryOf(e), e.Prev()
		full := len(l.producers) >= l.options.Producers
		if !full && now.Sub(p.used) < l.options.Idle {
			return
		}
		if p.pending == 0 {
			l.forget(p)
		}
		e = before
	}
}

func entryOf(e *list.Element) *producer { return e.Value.(*producer) } //nolint:forcetypeassert // the list holds nothing else

// producer is one sender's spool.
type producer struct {
	key     producerKey
	used    time.Time
	pending int           // claims that are not settled
	own     *list.Element // its place among those of its publisher
	window  window
}
