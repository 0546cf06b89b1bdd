package snmp

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/trap"
)

// Bounds of one event.
const (
	// maxEventPorts is how many interfaces one reading holds: an event may have 1 MiB, and
	// of the thousands of a large router few are looked at.
	maxEventPorts = 512
	// maxLinkEvents is how many interfaces of one poll are told of, up or down.
	maxLinkEvents = 64
)

// word is how a device is called in messages. d is locked, or its own.
func (d *device) word() string { return cmp.Or(d.Name, d.target, d.at.String()) }

func joined(words ...string) string { return joinedBy(" ", words...) }

func joinedBy(between string, words ...string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "" }), between)
}

// readingEvent is a poll that worked. d is locked.
func readingEvent(d *device, r *result) *pb.Event {
	rd := r.reading
	rd.Interfaces, rd.Incomplete = interfaces(r.ports, d.watts, rd.GetIncomplete())
	if r.leftOut > 0 {
		rd.Incomplete = append(rd.Incomplete, fmt.Sprintf("interfaces: %d more than polling.max_interfaces are not followed", r.leftOut))
	}
	// The event has its own: what is kept of the reading changes.
	return &pb.Event{
		Type: event.TypeSNMPReading, Time: timestamppb.New(d.LastSeen), About: d.about(),
		Body: &pb.Event_Snmp{Snmp: copyReading(rd)},
	}
}

// copyReading shares the parts, which nobody changes, and none of the lists' heads.
func copyReading(r *pb.SnmpReading) *pb.SnmpReading {
	c := basis(r)
	c.Target, c.Uptime, c.ResponseTime, c.Error = r.GetTarget(), r.GetUptime(), r.GetResponseTime(), r.GetError()
	c.Interfaces, c.Neighbors, c.Incomplete = r.GetInterfaces(), r.GetNeighbors(), r.GetIncomplete()
	return c
}

// interfaces are the ports of a reading: all, or the busiest of those that are up.
func interfaces(ports []port, power watts, incomplete []string) ([]*pb.SnmpInterface, []string) {
	order := make([]int, 0, len(ports))
	named := haveNames(ports)
	for i := range ports {
		if ports[i].exists(named) {
			order = append(order, i)
		}
	}
	all := len(order)
	if all > maxEventPorts {
		slices.SortStableFunc(order, func(x, y int) int {
			a, b := &ports[x], &ports[y]
			return cmp.Or(
				cmp.Compare(b.rates.errors, a.rates.errors), compareUp(a, b),
				cmp.Compare(b.rates.in+b.rates.out, a.rates.in+a.rates.out), cmp.Compare(a.index, b.index),
			)
		})
		order = order[:maxEventPorts]
		slices.Sort(order)
		incomplete = append(incomplete, fmt.Sprintf("interfaces: the %d of %d that are up and busiest are told", maxEventPorts, all))
	}
	out := make([]*pb.SnmpInterface, 0, len(order))
	for _, i := range order {
		it := ports[i].message()
		it.PoeWatts = float64(power[ports[i].index])
		out = append(out, it)
	}
	return out, incomplete
}

func compareUp(a, b *port) int {
	switch {
	case a.oper == b.oper:
		return 0
	case a.oper == 1:
		return -1
	case b.oper == 1:
		return 1
	default:
		return 0
	}
}

// message is an interface as events have it.
func (p *port) message() *pb.SnmpInterface {
	m := &pb.SnmpInterface{
		Index: p.index, Name: p.name.Value(), Alias: p.alias.Value(), SpeedBps: p.speed,
		AdminStatus: statusName(p.admin), OperStatus: statusName(p.oper), Mac: p.macText(), Type: kindName(p.kind),
		BytesIn: p.sample.in, BytesOut: p.sample.out, PacketsIn: p.packetsIn, PacketsOut: p.packetsOut,
		ErrorsIn: uint64(p.sample.errorsIn), ErrorsOut: uint64(p.sample.errorsOut), DiscardsIn: uint64(p.discardsIn), DiscardsOut: uint64(p.discardsOut),
	}
	if p.rates.ok {
		m.BytesInPerSecond, m.BytesOutPerSecond, m.ErrorsPerSecond = float64(p.rates.in), float64(p.rates.out), float64(p.rates.errors)
	}
	return m
}

// failureEvent is the first poll of a row that did not work. d is locked.
func failureEvent(d *device, err error) *pb.Event {
	return &pb.Event{
		Type: event.TypeSNMPReading, Severity: pb.Severity_SEVERITY_LOW, About: d.about(),
		Message: fmt.Sprintf("%s does not answer SNMP: %s", d.word(), cause(err)),
		Body:    &pb.Event_Snmp{Snmp: &pb.SnmpReading{Target: d.at.String(), SysName: d.Name, Error: err.Error()}},
	}
}

// rebootEvent says that a device has begun anew. d is locked.
func rebootEvent(d *device, r *result) *pb.Event {
	up := time.Duration(r.uptime) * 10 * time.Millisecond
	return &pb.Event{
		Type: event.TypeSNMPReboot, Severity: pb.Severity_SEVERITY_MEDIUM, About: d.about(),
		Message: fmt.Sprintf("%s has started %s ago, after it had been up for %s", d.word(), span(up), span(time.Duration(d.Uptime)*10*time.Millisecond)),
		Body: &pb.Event_Snmp{Snmp: &pb.SnmpReading{
			Target: d.at.String(), SysName: r.reading.GetSysName(), SysObjectId: r.reading.GetSysObjectId(), Vendor: r.reading.GetVendor(),
			OsName: r.reading.GetOsName(), OsVersion: r.reading.GetOsVersion(), Uptime: durationpb.New(up),
		}},
	}
}

func span(d time.Duration) string {
	if d > 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.Round(time.Second).String()
}

// linkEvents tell which interfaces went up or down since the poll before. d is locked.
func linkEvents(d *device, before, now []port, r *result) []*pb.Event {
	var out []*pb.Event
	more := 0
	named := haveNames(now)
	for i := range now {
		p := &now[i]
		at, ok := slices.BinarySearchFunc(before, p.index, func(b port, n uint32) int { return cmp.Compare(b.index, n) })
		if !ok || before[at].oper == p.oper || before[at].oper == 0 || p.oper == 0 {
			continue
		}
		up, was := p.oper == 1, before[at].oper == 1
		if up == was {
			continue // from one way of not working to another
		}
		if !p.exists(named) && !before[at].exists(named) {
			continue
		}
		if len(out) == maxLinkEvents {
			more++
			continue
		}
		out = append(out, linkEvent(d, p, up, r))
	}
	if more > 0 {
		r.reading.Incomplete = append(r.reading.Incomplete, fmt.Sprintf("events of interfaces: %d more went up or down", more))
	}
	return out
}

func linkEvent(d *device, p *port, up bool, r *result) *pb.Event {
	typ, word, severity := event.TypeSNMPInterfaceDown, "down", pb.Severity_SEVERITY_LOW
	switch {
	case up:
		typ, word, severity = event.TypeSNMPInterfaceUp, "up", pb.Severity_SEVERITY_INFORMATIONAL
	case p.admin == 2:
		word, severity = "down, switched off by its administrator", pb.Severity_SEVERITY_INFORMATIONAL
	}
	name := p.label()
	if alias := p.alias.Value(); alias != "" {
		name += " (" + alias + ")"
	}
	return &pb.Event{
		Type: typ, Severity: severity, About: d.about(), Message: fmt.Sprintf("%s of %s is %s", name, d.word(), word),
		Body: &pb.Event_Snmp{Snmp: &pb.SnmpReading{
			Target: d.at.String(), SysName: r.reading.GetSysName(), Interfaces: []*pb.SnmpInterface{p.message()},
		}},
	}
}

// tellTraps publishes traps, and has their senders polled soon where it matters.
func (a *Agent) tellTraps(ctx context.Context, traps []received) {
	events := make([]*pb.Event, 0, len(traps))
	for i := range traps {
		t := &traps[i]
		if t.Name == "" {
			t.Name = a.surveyor.trap(t.OID)
		}
		d := a.book.heard(t.whom())
		events = append(events, trapEvent(t, d, a.surveyor.named))
		a.metrics.trapped(t.Name)
		switch t.Name {
		case trap.LinkDown, trap.LinkUp, trap.ColdStart, trap.WarmStart:
			if d != nil && t.whom() == t.from { // anybody can write the address of another
				a.soon(d, t.at)
			}
		}
	}
	_ = a.o.Publisher.Publish(ctx, events...) // an error means that ctx has ended
}

// Objects in traps that messages name (RFC 2863).
const (
	oidIfIndex = "1.3.6.1.2.1.2.2.1.1"
	oidIfDescr = "1.3.6.1.2.1.2.2.1.2"
	oidIfName  = "1.3.6.1.2.1.31.1.1.1.1"
)

// trapEvent is one trap; d is the device that sent it, nil where it is not known. name writes
// OIDs by name.
func trapEvent(t *received, d *device, name func(oid string) string) *pb.Event {
	about := &pb.Device{Ip: []string{t.whom().String()}, Uid: entity.DeviceUID(entity.DeviceFacts{IP: t.whom().String()})}
	who := t.whom().String()
	port := ""
	if d != nil {
		d.mu.Lock()
		about, who, port = d.about(), d.word(), d.portName(t)
		d.mu.Unlock()
	}
	r := &pb.SnmpReading{Target: t.from.String(), SysName: about.GetName(), TrapOid: t.OID, TrapName: t.Name}
	if len(t.Engine) > 0 {
		r.EngineId = hex.EncodeToString(t.Engine)
	}
	if t.Uptime > 0 {
		r.Uptime = durationpb.New(t.Uptime)
	}
	for _, v := range t.Values {
		text := v.Text
		if v.Type == snmp.ObjectID {
			text = name(text)
		}
		r.TrapValues = append(r.TrapValues, name(v.OID)+"="+text)
	}
	if t.LeftOut > 0 {
		r.Incomplete = append(r.Incomplete, fmt.Sprintf("values: %d more than %d are not told", t.LeftOut, trap.MaxValues))
	}
	message, severity := t.describe(who, port)
	return &pb.Event{
		Type: event.TypeSNMPTrap, Time: timestamppb.New(t.at), Severity: severity, About: about, Message: message,
		Body: &pb.Event_Snmp{Snmp: r},
	}
}

// portName is the interface that a trap speaks of, as the trap or the last poll names it.
func (d *device) portName(t *received) string {
	index := t.Value(oidIfIndex)
	for i := range d.ports {
		if number32(d.ports[i].index) == index {
			return d.ports[i].label()
		}
	}
	return ""
}

// describe is a line for people, and how bad it is.
func (t *received) describe(who, port string) (string, pb.Severity) {
	numbered := "an interface" // RFC 2863 has its number in the trap; not all devices do
	if index := t.Value(oidIfIndex); index != "" {
		numbered = "interface " + index
	}
	port = cmp.Or(port, t.Value(oidIfName), t.Value(oidIfDescr), numbered)
	switch t.Name {
	case trap.LinkDown:
		return port + " of " + who + " is down, it says", pb.Severity_SEVERITY_LOW
	case trap.LinkUp:
		return port + " of " + who + " is up, it says", pb.Severity_SEVERITY_INFORMATIONAL
	case trap.ColdStart, trap.WarmStart:
		return who + " has started, it says (" + t.Name + ")", pb.Severity_SEVERITY_LOW
	case trap.AuthFailure:
		return "somebody asked " + who + " with a wrong community or user, it says", pb.Severity_SEVERITY_LOW
	default:
		return who + " sends " + t.word(), pb.Severity_SEVERITY_INFORMATIONAL
	}
}
