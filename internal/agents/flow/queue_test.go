package flow

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// archive keeps the types of what is published.
type archive struct{ types []string }

func (a *archive) Publish(_ context.Context, events ...*pb.Event) error {
	for _, ev := range events {
		a.types = append(a.types, ev.GetType())
	}
	return nil
}

// TestFindingsGoFirst: a queue that is full of flows has room for findings, which are
// published before them, and loses none at the end.
func TestFindingsGoFirst(t *testing.T) {
	var kept archive
	o := agent.Options{Publisher: &kept, Registerer: prometheus.NewRegistry()}
	q := newQueue(o, nil, newMetrics(o, 1))
	const tooMany = 10
	for range maxQueue + tooMany {
		q.put(told{event: &pb.Event{Type: event.TypeFlowCreated, Body: &pb.Event_Network{}}})
	}
	for range 3 {
		q.putFinding(&pb.Event{Type: "finding.flow.udp_flood"})
	}
	q.end()
	if err := q.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(kept.types) != maxQueue+3 {
		t.Fatalf("%d events", len(kept.types))
	}
	for i, kind := range kept.types[:4] {
		if (kind == "finding.flow.udp_flood") != (i < 3) {
			t.Errorf("event %d is %s", i, kind)
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(q.metrics.dropped)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if got := families[0].GetMetric()[0].GetCounter().GetValue(); got != tooMany {
		t.Errorf("%v events dropped", got)
	}
}

// TestQueueAtStop: the flows that end with the agent are more than the queue holds, and
// none is lost.
func TestQueueAtStop(t *testing.T) {
	var kept archive
	o := agent.Options{Publisher: &kept, Registerer: prometheus.NewRegistry()}
	q := newQueue(o, nil, newMetrics(o, 1))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	ended := make(chan error, 1)
	go func() { ended <- q.run(ctx) }()
	<-q.stopping
	const open = 2 * maxQueue
	for range open {
		q.put(told{event: &pb.Event{Type: event.TypeFlowEnded, Body: &pb.Event_Network{}}})
	}
	q.end()
	if err := <-ended; err != nil || len(kept.types) != open {
		t.Errorf("%d events, %v", len(kept.types), err)
	}
}

// broken takes nothing.
type broken struct{}

func (broken) Publish(context.Context, ...*pb.Event) error { return errors.New("the disk is gone") }

// TestQueueThatFails: an error is told while others still put, who never wait for ever.
func TestQueueThatFails(t *testing.T) {
	o := agent.Options{Publisher: broken{}, Registerer: prometheus.NewRegistry()}
	q := newQueue(o, nil, newMetrics(o, 1))
	q.put(told{event: &pb.Event{Type: event.TypeFlowCreated}})
	if err := q.run(t.Context()); err == nil {
		t.Fatal("no error")
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		q.drain()
	}()
	for range 2 * maxCollected {
		q.wait(told{event: &pb.Event{Type: event.TypeFlowEnded}, collected: true})
	}
	q.end()
	<-drained
}

// TestCollectedGoLast: flows of exporters leave room to those that were captured, and go
// after them.
func TestCollectedGoLast(t *testing.T) {
	var kept archive
	o := agent.Options{Publisher: &kept, Registerer: prometheus.NewRegistry()}
	q := newQueue(o, nil, newMetrics(o, 1))
	for range maxCollected {
		q.wait(told{event: &pb.Event{Type: event.TypeFlowEnded, Body: &pb.Event_Network{}}, collected: true})
	}
	for range maxQueue {
		q.put(told{event: &pb.Event{Type: event.TypeFlowCreated, Body: &pb.Event_Network{}}})
	}
	q.end()
	if err := q.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(kept.types) != maxQueue+maxCollected || slices.Index(kept.types, event.TypeFlowEnded) != maxQueue {
		t.Errorf("%d events, the first of an exporter is %d", len(kept.types), slices.Index(kept.types, event.TypeFlowEnded))
	}
}
