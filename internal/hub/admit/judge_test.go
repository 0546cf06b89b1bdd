package admit_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub/admit"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// FuzzJudge: whatever bytes a host's certificate sends, a decoder finds nothing in
// what is taken that is another's.
func FuzzJudge(f *testing.F) {
	for _, change := range []func(*pb.Event){
		func(*pb.Event) {},
		func(e *pb.Event) { e.Host.Name = "VM. " },
		func(e *pb.Event) { e.Host.Name = "other" },
		func(e *pb.Event) { e.Observer, e.Host = &pb.Host{Name: "vm"}, &pb.Host{Name: "other"} },
		func(e *pb.Event) { e.About = &pb.Device{Name: "switch-1"} },
		func(e *pb.Event) { e.Publisher = "spiffe://amoskys.local/agent/other" },
		func(e *pb.Event) { e.Type, e.Body = "audit.activity", &pb.Event_Audit{Audit: &pb.AuditActivity{}} },
		func(e *pb.Event) {
			e.Type, e.Body = "finding.proc.x", &pb.Event_Finding{Finding: &pb.DetectionFinding{}}
		},
		func(e *pb.Event) { e.Agent = &pb.Agent{Id: "Proc_Agent", Kind: "proc"} },
	} {
		b := changed(change)
		f.Add(b, false)
		f.Add(b, true)
		f.Add(append(b, changed(change)...), true) // each field twice
	}
	f.Fuzz(func(t *testing.T, b []byte, observes bool) {
		rules := admit.Rules{Host: "vm", AgentID: "proc_agent", Observes: observes, MaxEventBytes: 1 << 20}
		if _, refusal := admit.Judge(b, &rules); refusal != nil {
			return
		}
		var ev pb.Event
		if err := proto.Unmarshal(b, &ev); err != nil {
			t.Fatalf("took what does not decode: %v", err)
		}
		others := ev.GetObserver() != nil || ev.GetAbout() != nil
		switch {
		case ev.GetPublisher() != "":
			t.Fatal("took a publisher")
		case ev.GetAudit() != nil:
			t.Fatal("took an audit record")
		case ev.GetAgent().GetId() != "" && hostname.Normal(ev.GetAgent().GetId()) != "proc_agent":
			t.Fatalf("took an event of agent %q", ev.GetAgent().GetId())
		case others && !observes:
			t.Fatal("took an event about others from who observes nobody")
		case others && hostname.Normal(ev.GetObserver().GetName()) != "vm":
			t.Fatalf("took an event that %q has seen", ev.GetObserver().GetName())
		case !others && hostname.Normal(ev.GetHost().GetName()) != "vm":
			t.Fatalf("took an event of host %q", ev.GetHost().GetName())
		}
		event.Attribute(&ev, "spiffe://amoskys.local/agent/vm")
		if !event.IsFromItself(&ev) {
			t.Fatal("took an event that is not its sender's own")
		}
	})
}
