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
	// maxCollected is how many flows of exporters may wait beside them: who brings those
	// waits, and must not take the room of what was captured.
	maxCollected = 1024
	// maxBatch is how many are published together.
	maxBatch = 256
	// lastWords is how long publishing goes on after the agent was asked to stop: all
	// flows that are open end then.
	lastWords = 3 * time.Second
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
	found   chan told // findings, which go first
	events  chan told // of flows that were captured, which go next
	others  chan told // of flows that were collected
	// stopping is closed when the agent was asked to stop, and ended when nothing is put
	// any more.
	stopping, ended chan struct{}
	batch           []told
}

func newQueue(o agent.Options, find *owners, m *metrics) *queue {
	q := &queue{
		o: o, owners: find, metrics: m,
		found: make(chan told, maxFindings), events: make(chan told, maxQueue), others: make(chan told, maxCollected),
		stopping: make(chan struct{}), ended: make(chan struct{}),
	}
	m.queued = func() int { return len(q.found) + len(q.events) + len(q.others) }
	return q
}

// put adds an event of a flow, or drops and counts it where there is no room. Once the
// agent was asked to stop it waits for room, as capture does not go on: all open flows
// end at once then.
func (q *queue) put(t told) { q.offer(q.events, t) }

// putFinding is put for a finding.
func (q *queue) putFinding(ev *pb.Event) { q.offer(q.found, told{event: ev}) }

func (q *queue) offer(to chan<- told, t told) {
	select {
	case to <- t:
		return
	default:
	}
	select {
	case <-q.stopping:
		to <- t
	default:
		q.metrics.dropped.Inc()
	}
}

// wait adds an event of a flow that was collected as soon as there is room. Neither it
// nor put waits for long at the end: run and drain take events until then, whatever
// becomes of them.
func (q *queue) wait(t told) { q.others <- t }

// end says that nothing is put any more.
func (q *queue) end() { close(q.ended) }

// run publishes until the end, and no longer than lastWords after ctx has ended: what
// comes then is dropped and counted. After it drain is needed, as an error leaves events
// behind, and those who wait for room.
func (q *queue) run(ctx context.Context) error {
	publishing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		close(q.stopping)
		time.AfterFunc(lastWords, cancel)
	})()
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
				return fmt.Errorf("publish flows: %w", err)
			}
		}
		clear(q.batch) // they belong to the publisher
	}
}

// gather waits for an event and takes what waits, up to a batch: findings first, and
// flows that were collected last. It reports whether there was one before the end.
func (q *queue) gather() bool {
	q.batch = q.batch[:0]
	if q.take(); len(q.batch) > 0 {
		return true
	}
	var t told
	select {
	case t = <-q.found:
	case t = <-q.events:
	case t = <-q.others:
	case <-q.ended:
		q.take() // what was put since
		return len(q.batch) > 0
	}
	q.batch = append(q.batch, t)
	q.take()
	return true
}

// take adds what waits to the batch, as far as there is room.
func (q *queue) take() {
	for _, from := range [...]chan told{q.found, q.events, q.others} {
		for waits := true; waits && len(q.batch) < maxBatch; {
			select {
			case t := <-from:
				q.batch = append(q.batch, t)
			default:
				waits = false
			}
		}
	}
}

// drain drops and counts what comes until the end.
func (q *queue) drain() {
	for q.gather() {
		q.metrics.dropped.Add(float64(len(q.batch)))
	}
}

// ended says whether an event is the last of its flow.
func (t *told) ended() bool { return t.event.GetType() == event.TypeFlowEnded }
