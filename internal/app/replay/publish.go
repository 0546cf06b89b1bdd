package replay

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/flow/track"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	// batchEvents is how many flows are sent together.
	batchEvents = 256
	// batchSpan is how much time of the capture is sent together, in nanoseconds, so
	// that a replay at the pace of its packets is seen as it goes.
	batchSpan = int64(5 * time.Second)
	// window is how many batches wait for the hub's answer; further flows are not read.
	window = 16
)

// Options say what is published, and where to.
type Options struct {
	Hub   string // host:port
	Host  string // in the certificate
	Files identity.Files
	Dial  dial.Func
	Key   Key
	Path  string // of the capture
	// Patience is how long the hub may be away; 1 minute if 0.
	Patience time.Duration
	Now      func() time.Time
	// Away is told each time that the hub is lost, and why.
	Away func(error)
	// Add adds to a flow what its packets do not tell; nil adds nothing.
	Add func(*pb.NetworkActivity)
}

// Counts are flows, and apart from them findings.
type Counts struct {
	Outcome
	Findings Outcome `json:"findings"`
}

// Outcome counts events by what became of them.
type Outcome struct {
	Stored     uint64 `json:"stored"`
	Duplicates uint64 `json:"stored_before"`
	Refused    uint64 `json:"refused"`
}

// Publisher sends flows and findings to the hub. Flow, Finding, Pass, Finish and Abandon are called by one
// goroutine, Run by another.
type Publisher struct {
	o       Options
	capture string
	queue   chan *batch
	ended   chan struct{} // closed when Run returns
	events  [][]byte      // of the batch that is being made
	finds   []bool        // which of them are findings
	began   int64         // time of the capture when it was begun
	flows   uint64
	found   uint64
	batches uint64

	mu      sync.Mutex // guards what follows
	counts  Counts
	refusal string // the first
}

// batch is what is sent together.
type batch struct {
	producer [16]byte
	sequence uint64
	events   [][]byte
	finds    []bool    // which of them are findings
	sent     bool      // it is on its way
	due      time.Time // not before then
}

// NewPublisher returns a Publisher that sends once it runs.
func NewPublisher(o Options) *Publisher {
	if o.Patience <= 0 {
		o.Patience = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Away == nil {
		o.Away = func(error) {}
	}
	return &Publisher{o: o, capture: captureName(o.Path), queue: make(chan *batch), ended: make(chan struct{})}
}

// Counts returns what became of the flows and findings so far, and the first reason for which the
// hub refused one.
func (p *Publisher) Counts() (c Counts, refusal string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts, p.refusal
}

// Capture is what the capture is called in events.
func (p *Publisher) Capture() string { return p.capture }

// Flow adds a flow that ended. It waits while the hub is slower.
func (p *Publisher) Flow(f *track.Flow) error {
	b, err := p.encode(f)
	if err != nil {
		return err
	}
	p.flows++
	return p.add(b, false)
}

// Finding adds what was found in the flows so far: an event that lacks what is ours. Its
// type becomes finding.replay.KIND, as findings are named after who makes them.
func (p *Publisher) Finding(ev *pb.Event) error {
	b, err := p.encodeFinding(ev)
	if err != nil {
		return err
	}
	p.found++
	return p.add(b, true)
}

func (p *Publisher) add(event []byte, finding bool) error {
	p.events, p.finds = append(p.events, event), append(p.finds, finding)
	if len(p.events) >= batchEvents {
		return p.flush()
	}
	return nil
}

// Pass is told the time of each packet, in Unix nanoseconds.
func (p *Publisher) Pass(at int64) error {
	if age := at - p.began; age >= 0 && age < batchSpan {
		return nil
	}
	p.began = at
	return p.flush()
}

// Finish sends what is left: the capture was read to its end.
func (p *Publisher) Finish() error {
	err := p.flush()
	close(p.queue)
	return err
}

// Abandon sends nothing more: a batch that is not full would be another the next time.
func (p *Publisher) Abandon() { close(p.queue) }

// errEnded says that Run has returned, whose error tells why.
var errEnded = errors.New("publishing has ended")

func (p *Publisher) flush() error {
	if len(p.events) == 0 {
		return nil
	}
	b := &batch{producer: p.o.Key.producer(p.batches), sequence: p.batches%perProducer + 1, events: p.events, finds: p.finds}
	p.batches++
	p.events, p.finds = make([][]byte, 0, batchEvents), make([]bool, 0, batchEvents)
	select {
	case p.queue <- b:
		return nil
	case <-p.ended:
		return errEnded
	}
}

// Run sends until Finish or Abandon, and all is answered; until ctx ends; or until the
// hub refuses us or is away for too long.
func (p *Publisher) Run(ctx context.Context) error {
	defer close(p.ended)
	return p.run(ctx)
}
