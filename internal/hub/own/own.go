// Package own publishes the hub's own events: what was done to it, and what it
// finds out about the fleet by itself. They go into the log like those of agents,
// by the hub's one way past admission, which lets nobody else make such events.
package own

import (
	"context"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Options are what a Publisher needs.
type Options struct {
	// Append puts one encoded event into the log.
	Append func(ctx context.Context, encoded []byte) error
	// Host is where the hub runs, and Version what runs.
	Host, Version string
	Now           func() time.Time
}

// Publisher publishes events as the hub. It is safe for concurrent use.
type Publisher struct {
	o      Options
	origin event.Origin
}

// New returns a Publisher.
func New(o Options) *Publisher {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Publisher{o: o, origin: event.Origin{
		Agent: &pb.Agent{Id: "hub", Kind: "hub", Version: o.Version},
		Host:  &pb.Host{Name: o.Host}, Observes: true,
		Now: o.Now,
	}}
}

// Publish completes an event, which is the publisher's from then on, and returns
// when it is durable.
func (p *Publisher) Publish(ctx context.Context, ev *pb.Event) error {
	if err := p.origin.Complete(ev); err != nil {
		return fmt.Errorf("make %s: %w", ev.GetType(), err)
	}
	encoded, err := event.Encode(ev)
	if err != nil {
		return err
	}
	if err := p.o.Append(ctx, encoded); err != nil {
		return fmt.Errorf("publish %s: %w", ev.GetType(), err)
	}
	return nil
}

// Finding is something about a host that people should act on.
type Finding struct {
	// Name is the last word of the type finding.hub.NAME.
	Name     string
	Severity pb.Severity
	// Host is whom it is about.
	Host string
	// Title says what is the matter, Description what is known and what to do.
	Title, Description string
	// Observables are facts by name, such as addresses.
	Observables map[string]string
	// Resolved says that it is over.
	Resolved bool
}

// Find publishes a finding.
func (p *Publisher) Find(ctx context.Context, f Finding) error {
	kind := "finding.hub." + f.Name
	status := event.FindingNew
	if f.Resolved {
		status = event.FindingResolved
	}
	return p.Publish(ctx, &pb.Event{
		Type: kind, Severity: f.Severity, Host: &pb.Host{Name: f.Host},
		Message: f.Title,
		Body: &pb.Event_Finding{Finding: &pb.DetectionFinding{
			Uid: f.Name + "/" + f.Host, Title: f.Title, Description: f.Description, RuleId: kind, RuleName: f.Title,
			Observables: f.Observables, Status: status,
		}},
	})
}
