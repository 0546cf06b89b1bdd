package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestWhatDoesNotLinger: events that somebody may have to act on, and by which an agent
// is known to live, are sent at once; others wait to be sent together.
func TestWhatDoesNotLinger(t *testing.T) {
	for name, tt := range map[string]struct {
		event  *pb.Event
		urgent bool
	}{
		"of no severity":   {&pb.Event{Type: "process.execution"}, false},
		"informational":    {&pb.Event{Type: "process.execution", Severity: pb.Severity_SEVERITY_INFORMATIONAL}, false},
		"low":              {&pb.Event{Type: "process.execution", Severity: pb.Severity_SEVERITY_LOW}, false},
		"medium":           {&pb.Event{Type: "process.execution", Severity: pb.Severity_SEVERITY_MEDIUM}, true},
		"critical":         {&pb.Event{Type: "process.execution", Severity: pb.Severity_SEVERITY_CRITICAL}, true},
		"finding":          {&pb.Event{Type: "finding.proc.odd", Severity: pb.Severity_SEVERITY_LOW}, true},
		"the agent's own":  {&pb.Event{Type: event.TypeAgentHealth}, true},
		"like a finding's": {&pb.Event{Type: "findings.proc"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := spool.Open(spool.Options{Dir: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				p := &publisher{spool: s, meter: &meter{}, now: time.Now, origin: event.Origin{
					Now: time.Now, Agent: &pb.Agent{Id: "proc_agent", Kind: "proc"},
				}}
				p.host.Store(&pb.Host{Name: "web-1", Id: "0"})
				begin := time.Now()
				if err := p.Publish(t.Context(), &pb.Event{Type: "process.execution"}, tt.event); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				b, err := s.Next(ctx)
				if err != nil || b.Count != 2 {
					t.Fatalf("%d events, %v", b.Count, err)
				}
				want := spool.DefaultQuiet
				if tt.urgent {
					want = 0
				}
				if waited := time.Since(begin); waited != want {
					t.Errorf("it waited %v, want %v", waited, want)
				}
			})
		})
	}
}
