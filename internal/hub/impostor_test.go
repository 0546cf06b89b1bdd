package hub

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// claim is an event and what the hub must answer; no reason means that it is taken.
type claim struct {
	name   string
	event  *pb.Event
	reason pb.RefusalReason
	detail string // a part of the refusal's text
}

const (
	taken      = pb.RefusalReason_REFUSAL_REASON_UNSPECIFIED
	noType     = pb.RefusalReason_REFUSAL_REASON_NO_TYPE
	wrongAgent = pb.RefusalReason_REFUSAL_REASON_WRONG_AGENT
	wrongHost  = pb.RefusalReason_REFUSAL_REASON_WRONG_HOST
	reserved   = pb.RefusalReason_REFUSAL_REASON_RESERVED_TYPE
)

// of is an event of a host and an agent.
func of(host, agent string) *pb.Event {
	ev := &pb.Event{Type: "process.execution", Host: &pb.Host{Name: host}}
	if agent != "" {
		kind, _, _ := strings.Cut(agent, "_")
		ev.Agent = &pb.Agent{Id: agent, Kind: kind}
	}
	return ev
}

// with changes an event.
func with(ev *pb.Event, change func(*pb.Event)) *pb.Event {
	change(ev)
	return ev
}

func typed(typ string, ev *pb.Event) *pb.Event {
	return with(ev, func(e *pb.Event) { e.Type = typ })
}

func seenBy(observer string, ev *pb.Event) *pb.Event {
	return with(ev, func(e *pb.Event) { e.Observer = &pb.Host{Name: observer} })
}

func audited(ev *pb.Event) *pb.Event {
	return with(ev, func(e *pb.Event) { e.Body = &pb.Event_Audit{Audit: &pb.AuditActivity{Operation: "user.login"}} })
}

func found(ev *pb.Event) *pb.Event {
	return with(ev, func(e *pb.Event) { e.Body = &pb.Event_Finding{Finding: &pb.DetectionFinding{Title: "x"}} })
}

// TestImpostors lets certificates claim to be what they are not, at the running
// hub, as one event of a batch and as an event alone.
func TestImpostors(t *testing.T) {
	h := startHub(t, "")
	agent := func(name string) identity.ID { return identity.ID{Role: identity.RoleAgent, Name: name} }
	tests := []struct {
		name     string
		id       identity.ID
		observes []string
		claims   []claim
	}{
		{"a host's certificate", agent("evilhost"), nil, []claim{
			{"itself", of("evilhost", "proc_agent"), taken, ""},
			{"itself in capitals", of("EvilHost", "proc_agent"), taken, ""},
			{"itself as a full name", of(" evilhost. ", ""), taken, ""},
			{"another agent of its own", of("evilhost", "flow_agent"), taken, ""},
			{"another host", of("vm", "proc_agent"), wrongHost, `set host.name`},
			{"another host in capitals", of("VM", "proc_agent"), wrongHost, ""},
			{"another host with a blank", of("vm ", "proc_agent"), wrongHost, ""},
			{"another host with a dot", of("vm.", "proc_agent"), wrongHost, ""},
			{"a longer name", of("evilhost2", ""), wrongHost, ""},
			{"a part of its name", of("evil", ""), wrongHost, ""},
			{"no host", &pb.Event{Type: "a.b", Host: &pb.Host{Id: "1"}}, wrongHost, `set host.name to "evilhost"`},
			{"another host that it says to have observed", seenBy("evilhost", of("vm", "snmp_agent")), wrongHost, "docs/security.md"},
			{"itself, observed by another", seenBy("vm", of("evilhost", "")), wrongHost, ""},
			{"itself about a device", with(of("evilhost", ""), func(e *pb.Event) { e.About = &pb.Device{Name: "switch-1"} }), wrongHost, ""},
			{"a publisher", with(of("evilhost", ""), func(e *pb.Event) { e.Publisher = "spiffe://amoskys.local/agent/vm" }), wrongAgent, "leave it out"},
		}},
		{"one agent's certificate", agent("evilhost/flow_agent"), nil, []claim{
			{"itself", of("evilhost", "flow_agent"), taken, ""},
			{"itself in capitals", of("evilhost", "Flow_Agent"), taken, ""},
			{"another agent", of("evilhost", "proc_agent"), wrongAgent, `its sender is "flow_agent"`},
			{"another host", of("vm", "flow_agent"), wrongHost, ""},
			{"another host's agent", of("vm", "proc_agent"), wrongAgent, ""},
		}},
		{"a certificate in capitals", agent("VM."), nil, []claim{
			{"its name in normal form", of("vm", ""), taken, ""},
			{"its name as it is written", of("VM.", ""), taken, ""},
		}},
		{"an observer", agent("evilhost"), []string{"snmp"}, []claim{
			{"itself", of("evilhost", "proc_agent"), taken, ""},
			{"another host", seenBy("evilhost", of("vm", "snmp_agent")), taken, ""},
			{"a device", seenBy("EVILHOST.", &pb.Event{Type: "a.b", About: &pb.Device{Name: "switch-1"}}), taken, ""},
			{"another host without observer", of("vm", "snmp_agent"), wrongHost, ""},
			{"a device without observer", with(of("vm", ""), func(e *pb.Event) { e.About = &pb.Device{Name: "switch-1"} }), wrongHost, `set observer.name to "evilhost"`},
			{"an observer without name", with(of("vm", ""), func(e *pb.Event) { e.Observer = &pb.Host{Id: "1"} }), wrongHost, ""},
			{"a false observer", seenBy("vm", of("evilhost", "")), wrongHost, `its sender is "evilhost"`},
			{"nobody", seenBy("evilhost", &pb.Event{Type: "a.b"}), wrongHost, "whom it is about"},
		}},
		{"reserved types", agent("evilhost"), nil, []claim{
			{"audit", audited(typed("audit.activity", of("evilhost", ""))), reserved, "the hub's own"},
			{"audit without body", typed("audit.activity", of("evilhost", "")), reserved, ""},
			{"an audit type to come", typed("audit.other.more", of("evilhost", "")), reserved, ""},
			{"audit in capitals", audited(typed("Audit.activity", of("evilhost", ""))), noType, "lower-case"},
			{"audit in full capitals", typed("AUDIT.ACTIVITY", of("evilhost", "")), noType, ""},
			{"audit with a blank", audited(typed(" audit.activity", of("evilhost", ""))), noType, ""},
			{"audit with dots", audited(typed("audit..activity", of("evilhost", ""))), noType, ""},
			{"audit in letters that look the same", audited(typed("\u0430udit.activity", of("evilhost", ""))), noType, ""},
			{"an audit body under another type", audited(of("evilhost", "")), reserved, ""},
			{"auditd is a type like others", typed("auditd.record", of("evilhost", "")), taken, ""},
			{"one word", typed("process", of("evilhost", "")), noType, ""},
			{"a finding of its own kind", found(typed("finding.proc.miner", of("evilhost", "proc_agent"))), taken, ""},
			{"a finding of another kind", found(typed("finding.flow.miner", of("evilhost", "proc_agent"))), reserved, `"proc"`},
			{"a finding without agent", found(typed("finding.proc.miner", of("evilhost", ""))), reserved, ""},
			{"a finding of the analysis", found(typed("finding.created", of("evilhost", "proc_agent"))), reserved, ""},
			{"a finding of the hub", found(typed("finding.hub.silent", of("evilhost", "hub_agent"))), reserved, ""},
			{"a finding of the store", typed("finding.metric.high", of("evilhost", "metric_agent")), reserved, ""},
			{"a finding's body under another type", found(of("evilhost", "proc_agent")), reserved, ""},
			{"a finding in capitals", found(typed("Finding.proc.miner", of("evilhost", "proc_agent"))), noType, ""},
		}},
		{"a store", identity.ID{Role: identity.RoleStore, Name: "db-1"}, nil, []claim{
			{"a finding of a metric", found(typed("finding.metric.high", seenBy("db-1", of("vm", "")))), taken, ""},
			{"of its own host", found(typed("finding.metric.high", of("db-1", ""))), taken, ""},
			{"without observer", found(typed("finding.metric.high", of("vm", ""))), wrongHost, ""},
			{"another finding", found(typed("finding.proc.miner", seenBy("db-1", of("vm", "proc_agent")))), reserved, ""},
			{"no finding", seenBy("db-1", of("vm", "")), reserved, "findings alone"},
			{"audit", audited(typed("audit.activity", of("db-1", ""))), reserved, ""},
		}},
		{"an analysis", identity.ID{Role: identity.RoleAnalysis, Name: "db-1"}, nil, []claim{
			{"any finding", found(typed("finding.created", seenBy("db-1", of("vm", "")))), taken, ""},
			{"a false observer", found(typed("finding.created", seenBy("vm", of("vm", "")))), wrongHost, ""},
			{"no finding", of("db-1", ""), reserved, ""},
			{"audit among findings", audited(typed("finding.created", of("db-1", ""))), reserved, ""},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := dialFiles(t, h.Addr().String(), issueWith(t, h.home, identity.IssueOptions{ID: tt.id, Observes: tt.observes}))
			s := publishStream(t, conn, "")
			for _, c := range tt.claims {
				t.Run(c.name, func(t *testing.T) {
					ack := exchange(t, s, &pb.PublishRequest{Events: [][]byte{encode(t, c.event)}})
					reason, detail := taken, ""
					if r := ack.GetRefused(); len(r) > 0 {
						reason, detail = r[0].GetReason(), r[0].GetDetail()
					}
					if reason != c.reason || !strings.Contains(detail, c.detail) {
						t.Errorf("in a batch: %s %q, want %s", reason, detail, c.reason)
					}
					alone := proto.CloneOf(c.event)
					alone.Id, alone.Time = sixteen(len(c.name)+1000), now()
					_, err := pb.NewEventBusClient(conn).PublishEvent(t.Context(), alone)
					if c.reason == taken && err != nil || c.reason != taken && (status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.reason.String())) {
						t.Errorf("alone: %v, want %s", err, c.reason)
					}
				})
			}
		})
	}
}

// TestStoredUnderTheCertificatesName: whatever spelling certificate and event use,
// there is one name for readers.
func TestStoredUnderTheCertificatesName(t *testing.T) {
	h := startHub(t, "")
	for _, spelling := range []string{"VM", "vm", "Vm."} {
		conn := dialFiles(t, h.Addr().String(), issue(t, h.home, identity.ID{Role: identity.RoleAgent, Name: spelling}, 2*time.Hour))
		exchange(t, publishStream(t, conn, ""), &pb.PublishRequest{Events: [][]byte{encode(t, of(spelling, ""))}})
	}
	events, _, _ := h.readAll(t, &pb.SubscribeRequest{Filter: &pb.Filter{Hosts: []string{"vm"}}})
	if len(events) != 3 {
		t.Fatalf("%d events, want 3", len(events))
	}
	for _, e := range events {
		if e.GetPublisher() != "spiffe://amoskys.local/agent/vm" {
			t.Errorf("publisher %s", e.GetPublisher())
		}
	}
}
