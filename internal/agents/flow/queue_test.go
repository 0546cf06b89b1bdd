package flow

import (
	"context"
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
