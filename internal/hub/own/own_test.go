package own_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub/own"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestFinding(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var got []byte
	p := own.New(own.Options{
		Append: func(_ context.Context, b []byte) error { got = b; return nil }, Host: "hub-1", Now: func() time.Time { return at },
	})
	err := p.Find(t.Context(), own.Finding{
		Name: "silent_host", Severity: pb.Severity_SEVERITY_MEDIUM, Host: "web-1", Title: "web-1 is silent", Description: "since 12:00",
		Observables: map[string]string{"since": "12:00"}, Resolved: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := event.Inspect(got); err != nil {
		t.Fatal(err)
	}
	ev, err := event.Decode(got)
	if err != nil {
		t.Fatal(err)
	}
	f := ev.GetFinding()
	if ev.GetType() != "finding.hub.silent_host" || ev.GetHost().GetName() != "web-1" || ev.GetObserver().GetName() != "hub-1" ||
		ev.GetAgent().GetId() != "hub" || !ev.GetTime().AsTime().Equal(at) || f.GetStatus() != "resolved" ||
		f.GetUid() != "silent_host/web-1" || f.GetDescription() != "since 12:00" {
		t.Errorf("published %v", ev)
	}
}

func TestPublishSaysWhatIsLost(t *testing.T) {
	full := errors.New("disk full")
	p := own.New(own.Options{Append: func(context.Context, []byte) error { return full }})
	if err := p.Publish(t.Context(), &pb.Event{Type: "audit.activity"}); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}
