package event

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Names of the types that exist today. A type is added here and in
// docs/events.md together.
const (
	TypeProcessExecution  = "process.execution"
	TypeProcessExit       = "process.exit"
	TypeProcessSample     = "process.sample"
	TypeNetworkConnection = "network.connection"
	TypeFlowCreated       = "flow.created"
	TypeFlowUpdated       = "flow.updated"
	TypeFlowEnded         = "flow.ended"
	TypeFileCreate        = "file.create"
	TypeFileModify        = "file.modify"
	TypeFileDelete        = "file.delete"
	TypeAuthAttempt       = "auth.attempt"
	TypeDeviceDiscovered  = "device.discovered"
	TypeDeviceChanged     = "device.changed"
	TypeDeviceGone        = "device.gone"
	TypeDeviceMoved       = "device.moved"
	TypeSNMPReading       = "snmp.reading"
	TypeSNMPTrap          = "snmp.trap"
	TypeSNMPReboot        = "snmp.reboot"
	TypeSNMPInterfaceUp   = "snmp.interface_up"
	TypeSNMPInterfaceDown = "snmp.interface_down"
	TypeMetricBatch       = "metric.batch"
	TypeFinding           = "finding.created"
	TypeMetricAlert       = "finding.metric_alert"
	TypeAgentHealth       = "agent.health"
	TypeHubHealth         = "hub.health"
	TypeAudit             = "audit.activity"
)

// What finding.status says of a finding: it began, goes on, or has ended.
const (
	FindingNew      = "new"
	FindingUpdate   = "update"
	FindingResolved = "resolved"
)

// KindReplay is the kind, and the id, of the agent that a capture is published as: it
// speaks of what others saw.
const KindReplay = "replay"

// Origin fills in what every event of one agent has in common.
type Origin struct {
	Agent *pb.Agent
	Host  *pb.Host
	// Observes allows events about other hosts and devices.
	Observes bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// ErrNotObserver says that an event is about another host or a device, and that
// its agent is of a kind that does not watch others.
var ErrNotObserver = errors.New("the event is about another host or a device, which this kind of agent does not observe")

// Complete sets id, time, severity, agent and host where the event lacks them. Of
// an event about another host or a device the origin's host is the observer and
// never the host. The event shares the origin's messages, which nobody may change.
func (o *Origin) Complete(ev *pb.Event) error {
	if len(ev.GetId()) == 0 {
		id, err := NewID()
		if err != nil {
			return err
		}
		ev.Id = id[:]
	}
	if ev.GetTime() == nil {
		now := time.Now
		if o.Now != nil {
			now = o.Now
		}
		ev.Time = timestamppb.New(now())
	}
	if ev.GetSeverity() == pb.Severity_SEVERITY_UNSPECIFIED {
		ev.Severity = pb.Severity_SEVERITY_INFORMATIONAL
	}
	if ev.GetAgent() == nil {
		ev.Agent = o.Agent
	}
	return o.completeHost(ev)
}

// completeHost tells apart what the origin's host is to the event.
func (o *Origin) completeHost(ev *pb.Event) error {
	named := ev.GetHost().GetName()
	switch {
	case ev.GetAbout() == nil && named == "":
		ev.Host, ev.Observer = o.Host, nil
		return nil
	case ev.GetAbout() == nil && hostname.Same(named, o.Host.GetName()):
		ev.Observer = nil
		return nil
	case !o.Observes:
		return ErrNotObserver
	}
	ev.Observer = o.Host
	return nil
}

// Encode returns the wire form, the same bytes for the same event.
func Encode(ev *pb.Event) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(ev)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return b, nil
}

// Decode reads the wire form.
func Decode(b []byte) (*pb.Event, error) {
	ev := &pb.Event{}
	if err := proto.Unmarshal(b, ev); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	return ev, nil
}
