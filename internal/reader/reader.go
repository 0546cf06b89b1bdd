// Package reader runs whatever follows the log: it owns the place, the commits, the
// filter, the batches, gaps, restarts and what is told of all that, so that a consumer
// is one function. The same reader works in the hub's process (Local) and anywhere by
// gRPC (Remote); readertest holds both to one suite.
//
// What a consumer is promised:
//   - Batches come in log order, one at a time, on one goroutine.
//   - After it failed, or panicked, or the program ended, it gets again what was not
//     durable with it, from the first such event on, and nothing before that.
//   - What is gone is a Gap in its place in the order. No event is left out otherwise.
//   - It may fail as often and as long as it likes: nobody but its own reader waits.
package reader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// Event is one event as the log holds it.
type Event struct {
	Offset    stream.Offset
	Logged    time.Time // when the hub received it
	Publisher string    // SPIFFE id of the certificate it came with
	Encoded   []byte
}

// Batch is a run of events that matched, or a gap. It and its bytes are valid until
// the consumer returns.
type Batch struct {
	Events []Event
	// Blocks are there in place of Events with Options.Blocks: whole entries as they are
	// stored, which a consumer may keep as they are (Payload with Codec, First, Count,
	// Received and Publisher) or unpack (Entry.Events). Events below From are not of this
	// batch. An entry that does not unpack is the consumer's to count: Entry.Missing.
	Blocks []stream.Entry
	Gap    *stream.Gap   // no events then
	Next   stream.Offset // everything before it has been looked at
	Tail   stream.Offset // the end of the log, as far as is known
}

// empty reports whether there is nothing in the batch for a consumer.
func (b *Batch) empty() bool { return len(b.Events) == 0 && len(b.Blocks) == 0 && b.Gap == nil }

// count returns how many events there are.
func (b *Batch) count() int {
	n := len(b.Events)
	for i := range b.Blocks {
		e := &b.Blocks[i]
		n += int(e.First + stream.Offset(e.Count) - max(e.First, e.From))
	}
	return n
}

// Consumer takes batches. What it returns nil for counts as durable with it, unless
// Options.Explicit. An error, or a panic, has it called again after a pause, from what
// is durable on.
type Consumer interface {
	Consume(ctx context.Context, b *Batch) error
}

// Func is a function as a Consumer.
type Func func(ctx context.Context, b *Batch) error

// Consume calls f.
func (f Func) Consume(ctx context.Context, b *Batch) error { return f(ctx, b) }

// Options set up a Reader. Name, Source, Consumer and Logger are required; the zero
// value of everything else is right for most.
type Options struct {
	Name     string // in logs, metrics and health
	Source   Source
	Consumer Consumer
	Logger   *slog.Logger
	// Registerer takes the reader's metrics; nil: none.
	Registerer prometheus.Registerer

	// Cursor is a durable place in the log, so that a restart of the program goes on
	// where it was; a new one begins at the oldest event. With Hold retention keeps
	// what the cursor has not passed. Empty: the reader begins at Start each time.
	Cursor string
	Hold   bool
	Start  Start
	// OwnPlace says that the consumer keeps its place itself and that Start.Offset is it,
	// 0 included. A cursor follows it, wherever it stood.
	OwnPlace bool

	Filter *pb.Filter // nil: all events; without a query
	// Match chooses among them in this process; nil: all.
	Match Match
	// MaxEvents bounds a batch, 512.
	MaxEvents int
	// Blocks gives the consumer Batch.Blocks, never Batch.Events. MaxEvents does not cut
	// a block. Where the source has events alone, because of the filter or an old hub,
	// they come in blocks without a codec.
	Blocks bool
	// NoFollow ends Run at the tail.
	NoFollow bool

	// Explicit leaves it to the consumer to call Durable. A commit follows after
	// CommitEvents offsets, 10,000, or CommitInterval, 1 s, whatever is first.
	Explicit       bool
	CommitEvents   uint64
	CommitInterval time.Duration

	// Pause comes before a consumer or a source that failed is tried again, 250 ms,
	// and doubles up to MaxPause, 30 s, while it gets no further.
	Pause, MaxPause time.Duration
	// Wait pauses, so that tests need not; Now is the clock.
	Wait func(context.Context, time.Duration) error
	Now  func() time.Time
}

// Start is where a reader without a cursor begins. The zero value is the oldest event.
type Start struct {
	Offset stream.Offset
	Tail   bool      // with the next event to come
	Time   time.Time // with the first one received then
}

// Reader follows the log for one consumer. Make it with New.
type Reader struct {
	o       Options
	metrics *metrics
	kick    chan struct{} // a commit is due

	mu        sync.Mutex // guards what follows
	reading   stream.Reading
	begun     bool          // next and durable mean something
	next      stream.Offset // everything before it was taken by the consumer
	given     stream.Offset // everything before it was given to the consumer, ever
	durable   stream.Offset // everything before it is durable with the consumer
	committed stream.Offset
	failing   map[string]string // why it waits, by what fails
	stopped   bool
}

// What can fail, as keys of Reader.failing.
const (
	failsSource = "source"
	failsCommit = "commit"
)

// New checks the options and registers the metrics.
func New(o Options) (*Reader, error) {
	if o.Name == "" || o.Source == nil || o.Consumer == nil || o.Logger == nil {
		return nil, errors.New("make a reader: name, source, consumer and logger are required")
	}
	if o.Cursor != "" && o.Start != (Start{}) && !o.OwnPlace {
		return nil, fmt.Errorf("make reader %s: a cursor says where to begin, and so does Start", o.Name)
	}
	if o.OwnPlace && (o.Start.Tail || !o.Start.Time.IsZero()) {
		return nil, fmt.Errorf("make reader %s: a place of its own is an offset", o.Name)
	}
	if o.MaxEvents <= 0 {
		o.MaxEvents = defaultMaxEvents
	}
	if o.CommitEvents == 0 {
		o.CommitEvents = 10_000
	}
	if o.CommitInterval <= 0 {
		o.CommitInterval = time.Second
	}
	if o.Pause <= 0 {
		o.Pause = 250 * time.Millisecond
	}
	if o.MaxPause <= 0 {
		o.MaxPause = 30 * time.Second
	}
	if o.Wait == nil {
		o.Wait = stream.Wait
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Reader{o: o, kick: make(chan struct{}, 1), failing: map[string]string{}}
	var err error
	if r.metrics, err = newMetrics(o.Registerer, o.Name, r.lag); err != nil {
		return nil, fmt.Errorf("register metrics of reader %s: %w", o.Name, err)
	}
	return r, nil
}

// Run reads until one of these, which is no error; nothing else ends it:
//
//	what happens                            what the reader does
//	ctx ends, the log is closed, or its     commits what is durable, returns nil
//	  tail is reached with NoFollow
//	the source cannot be opened, or breaks  waiting; opens it again after a pause
//	the disk cannot be read                 waiting; the source tries again and passes it
//	the log is another, and ends earlier    begins it anew
//	a gap                                   counts it, logs it, gives it to the consumer
//	the consumer fails or panics            waiting; reads again from what is durable
//	a commit fails                          waiting; the next one is due after the interval
//
// The pauses double while the reader gets no further than before.
func (r *Reader) Run(ctx context.Context) error {
	commits, stop := context.WithCancel(ctx)
	var committer sync.WaitGroup
	if r.o.Cursor != "" {
		committer.Go(func() { r.commitUntil(commits) })
	}
	pause, furthest := r.o.Pause, stream.Offset(0)
	for {
		err := r.once(ctx)
		if ctx.Err() != nil || errors.Is(err, stream.ErrClosed) || r.o.NoFollow && errors.Is(err, io.EOF) {
			break
		}
		r.metrics.restarts.Inc()
		if at := r.position(); at > furthest {
			pause, furthest = r.o.Pause, at
		}
		r.fails(failsSource, err)
		r.o.Logger.WarnContext(ctx, "reader waits and tries again", obs.KeyReader, r.o.Name, obs.KeyError, err, obs.KeyBackoff, pause)
		if r.o.Wait(ctx, pause) != nil {
			break
		}
		pause = min(2*pause, r.o.MaxPause)
	}
	stop()
	committer.Wait()
	r.lastCommit(ctx)
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	return nil
}

// once opens the source and feeds the consumer until something fails.
func (r *Reader) once(ctx context.Context) error {
	req := Request{
		Cursor: r.o.Cursor, Hold: r.o.Hold, Start: r.o.Start, Filter: r.o.Filter, Match: r.o.Match, MaxEvents: r.o.MaxEvents,
		Blocks: r.o.Blocks, NoFollow: r.o.NoFollow,
		Trouble: func(err error) { r.fails(failsSource, err) },
	}
	r.mu.Lock()
	if r.o.OwnPlace && !r.begun {
		req.Resume, req.Move = true, true
	}
	if r.begun {
		r.next = r.durable
		req.Start, req.Resume = Start{Offset: r.durable}, true
	}
	r.mu.Unlock()
	feed, from, err := r.o.Source.Open(ctx, req)
	if err != nil {
		return err
	}
	defer func() {
		if err := feed.Close(); err != nil {
			r.o.Logger.WarnContext(ctx, "reader left its source open", obs.KeyReader, r.o.Name, obs.KeyError, err)
		}
	}()
	r.begin(from)
	for {
		b, err := feed.Next(ctx)
		if err != nil {
			return err
		}
		if r.startsOver(b) {
			r.o.Logger.WarnContext(ctx, "log was replaced, reader begins it anew", obs.KeyReader, r.o.Name, obs.KeyOffset, b.Tail)
		}
		r.clip(b)
		if err := r.take(ctx, b); err != nil {
			return err
		}
	}
}

// clip leaves out what was given already: a source may begin before it was asked to.
func (r *Reader) clip(b *Batch) {
	next := r.position()
	for len(b.Events) > 0 && b.Events[0].Offset < next {
		b.Events = b.Events[1:]
	}
	for len(b.Blocks) > 0 && b.Blocks[0].Next <= next {
		b.Blocks = b.Blocks[1:]
	}
	if len(b.Blocks) > 0 {
		b.Blocks[0].From = max(b.Blocks[0].From, next)
	}
	if b.Gap != nil && b.Gap.To <= next {
		b.Gap = nil
	}
	if b.Gap != nil {
		b.Gap.From = max(b.Gap.From, next)
	}
	b.Next = max(b.Next, next)
}

// take gives a batch to the consumer, if there is anything in it, and moves on.
func (r *Reader) take(ctx context.Context, b *Batch) error {
	if g := b.Gap; g != nil {
		r.metrics.gap(g)
		r.o.Logger.WarnContext(ctx, "reader passes what is gone", obs.KeyReader, r.o.Name,
			obs.KeyOffset, g.From, obs.KeyCount, g.To-g.From, obs.KeyReason, g.Reason)
	}
	r.mu.Lock()
	r.given = max(r.given, b.Next)
	r.mu.Unlock()
	if !b.empty() {
		if err := r.consume(ctx, b); err != nil {
			return fmt.Errorf("consume up to offset %d: %w", b.Next, err)
		}
		r.metrics.events.Add(float64(b.count()))
	}
	r.fails(failsSource, nil)
	r.moved(b)
	return nil
}

// consume calls the consumer and turns a panic into an error.
func (r *Reader) consume(ctx context.Context, b *Batch) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			r.o.Logger.ErrorContext(ctx, "consumer panicked", obs.KeyReader, r.o.Name, "cause", cause, "stack", string(debug.Stack()))
			err = fmt.Errorf("the consumer panicked: %v", cause)
		}
	}()
	return r.o.Consumer.Consume(ctx, b)
}
