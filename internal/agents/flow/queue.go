package flow

import (
	"context"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/geo"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	// maxQueue is how many events may wait to be published; more are dropped and
	// counted, as capture waits for nobody. Each has about 1 KiB.
	maxQueue = 8192
	// maxFindings is how many findings may wait beside them. They are few, and most when
	// flows are too many for the queue: those must not crowd them out.
	maxFindings = 256
	// maxBatch is how many are published together.
	maxBatch = 256
	// lastWords is how long publishing goes on after the agent was asked to stop.
	lastWords = time.Second
)

// told is an event on its way.
type told struct {
	event *pb.Event
	tuple dissect.Tuple
	first int64
	// collected flows are no sockets of this host's, or were long ago.
	collected bool
}

// queue holds events until they are published.
type queue struct {
	o       agent.Options
	owners  *owners    // nil names no processes
	atlas   *geo.Atlas // nil names no places
	metrics *metrics
	events  chan told
	found   chan told // findings, which go first
	batch   []told
}

func newQueue(o agent.Options, find *owners, m *metrics) *queue {
	q := &queue{o: o, owners: find, metrics: m, events: make(chan told, maxQueue), found: make(chan told, maxFindings)}
	m.queued = func() int { return len(q.events) + len(q.found) }
	return q
}

// put adds an event of a flow, or drops and counts it where there is no room.
func (q *queue) put(t told) { q.offer(q.events, t) }

// putFinding is put for a finding.
func (q *queue) putFinding(ev *pb.Event) { q.offer(q.found, told{event: ev}) }

func (q *queue) offer(to chan<- told, t told) {
	select {
	case to <- t:
	default:
		q.metrics.dropped.Inc()
	}
}

// wait adds an event as soon as there is room. It never waits for long: run takes events
// until the end, whatever becomes of them.
func (q *queue) wait(t told) { q.events <- t }

// end says that nothing is put any more.
func (q *queue) end() { close(q.events) }

// run publishes until the end, of which it sees the last events within a second after
// ctx has ended.
func (q *queue) run(ctx context.Context) error {
	publishing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastWords, cancel) })()
	if q.owners != nil {
		defer q.owners.system.close()
	}
	for {
		if !q.gather() {
			return nil
		}
		if q.owners != nil {
			q.owners.name(ctx, q.batch, func() bool { return len(q.events) > maxQueue/2 })
		}
		events := make([]*pb.Event, len(q.batch))
		for i, t := range q.batch {
			events[i] = t.event
			if q.atlas != nil {
				q.atlas.Fill(t.event.GetNetwork())
			}
		}
		if err := q.o.Publisher.Publish(publishing, events...); err != nil {
			q.metrics.dropped.Add(float64(len(events)))
			if publishing.Err() == nil {
				q.drain()
				return fmt.Errorf("publish flows: %w", err)
			}
		}
		clear(q.batch) // they belong to the publisher
	}
}

// gather waits for an event and takes what waits, up to a batch, findings first. It
// reports whether there was one before the end.
func (q *queue) gather() bool {
	q.batch = q.batch[:0]
	open := true
	q.takeFindings()
	if len(q.batch) == 0 {
		var t told
		select {
		case t = <-q.found:
			q.batch = append(q.batch, t)
		case t, open = <-q.events:
			if open {
				q.batch = append(q.batch, t)
			}
			q.takeFindings()
		}
	}
	for open && len(q.batch) < maxBatch {
		var t told
		select {
		case t, open = <-q.events:
			if open {
				q.batch = append(q.batch, t)
			}
		default:
			return true
		}
	}
	return len(q.batch) > 0
}

func (q *queue) takeFindings() {
	for len(q.batch) < maxBatch {
		select {
		case t := <-q.found:
			q.batch = append(q.batch, t)
		default:
			return
		}
	}
}

// drain drops what comes until the end.
func (q *queue) drain() {
	for range q.events {
		q.metrics.dropped.Inc()
	}
	q.metrics.dropped.Add(float64(len(q.found)))
}

// ended says whether an event is the last of its flow.
func (t *told) ended() bool { return t.event.GetType() == event.TypeFlowEnded }
