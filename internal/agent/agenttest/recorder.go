package agenttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Recorder is a Publisher that keeps what it is given, completed as the runtime
// completes it, and remembers what the hub would refuse.
type Recorder struct {
	origin event.Origin

	mu     sync.Mutex
	events []*pb.Event
	faults []string
	change chan struct{}
}

var _ agent.Publisher = (*Recorder)(nil)

// NewRecorderOf returns an empty Recorder of an agent of this kind, which may make
// findings of it.
func NewRecorderOf(kind string) *Recorder {
	r := NewRecorder()
	r.origin.Agent = &pb.Agent{Id: "test", Kind: kind}
	return r
}

// NewRecorder returns an empty Recorder. It takes events about other hosts and
// devices: what an agent's Definition allows is for Suite to check.
func NewRecorder() *Recorder {
	return &Recorder{
		change: make(chan struct{}),
		origin: event.Origin{Observes: true, Agent: &pb.Agent{Id: "test", Kind: "test"}, Host: &pb.Host{Name: "host.example.test", Id: "0"}},
	}
}

// Publish implements agent.Publisher: like the runtime, it drops a bad event alone.
func (r *Recorder) Publish(ctx context.Context, events ...*pb.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ev := range events {
		if err := r.check(ev); err != nil {
			r.faults = append(r.faults, err.Error())
		}
	}
	close(r.change)
	r.change = make(chan struct{})
	return nil
}

func (r *Recorder) check(ev *pb.Event) error {
	if ev == nil {
		return errors.New("not an event")
	}
	ev = proto.CloneOf(ev)
	if err := r.origin.Complete(ev); err != nil {
		return err
	}
	b, err := event.Encode(ev)
	if err != nil {
		return err
	}
	if err := admissible(b); err != nil {
		return fmt.Errorf("%s: %w", ev.GetType(), err)
	}
	r.events = append(r.events, ev)
	return nil
}

// admissible refuses what a hub refuses, as far as the event itself shows it.
func admissible(b []byte) error {
	envelope, err := event.Inspect(b)
	if err == nil {
		err = envelope.CheckType(event.MakerAgent)
	}
	switch {
	case err != nil:
		return err
	case envelope.HasPublisher:
		return errors.New("it carries publisher")
	case envelope.HasAbout && !envelope.HasObserver:
		return errors.New("it is about a device and names no observer")
	case len(envelope.HostName) == 0 && !envelope.HasAbout:
		return errors.New("it names no host")
	}
	return nil
}

// Events returns what was published so far, in order.
func (r *Recorder) Events() []*pb.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*pb.Event(nil), r.events...)
}

// Faults returns why events would be refused.
func (r *Recorder) Faults() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.faults...)
}

// Wait blocks until ok holds of the events, and fails the test after limit.
func (r *Recorder) Wait(tb testing.TB, limit time.Duration, what string, ok func([]*pb.Event) bool) []*pb.Event {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	defer cancel()
	for {
		r.mu.Lock()
		change := r.change
		r.mu.Unlock()
		events := r.Events()
		if ok(events) {
			return events
		}
		select {
		case <-change:
		case <-ctx.Done():
			tb.Fatalf("waited %v for %s; there are %d events, faults %v", limit, what, len(events), r.Faults())
		}
	}
}

// OfType returns the events of one type.
func OfType(events []*pb.Event, typ string) []*pb.Event {
	var out []*pb.Event
	for _, ev := range events {
		if ev.GetType() == typ {
			out = append(out, ev)
		}
	}
	return out
}
