package devices

import (
	"context"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/inventory"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// Consume implements reader.Consumer. It keeps nothing of the batch.
func (in *Inventory) Consume(_ context.Context, b *reader.Batch) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := &in.state
	if b.Tail != 0 && b.Tail < s.place { // the log was replaced; what is known stays true
		s.place = 0
		s.note("the hub's log was replaced by another: what the one before held behind this inventory's place is not known")
	}
	if b.Gap != nil {
		from := max(b.Gap.From, s.place)
		if b.Gap.To > from {
			if b.Gap.Cause != stream.CauseRemoved {
				s.lost += b.Gap.To - from
			}
			in.metrics.drop(dropGap, b.Gap.To-from)
		}
	}
	for i := range b.Events {
		e := &b.Events[i]
		if e.Offset < s.place {
			continue // it comes again after a failure
		}
		in.take(e.Encoded, e.Publisher, e.Offset, e.Logged)
		s.place = e.Offset + 1
	}
	s.place = max(s.place, b.Next)
	signal(in.news)
	return nil
}

// take folds one event of the log. The caller holds mu.
func (in *Inventory) take(encoded []byte, publisher string, offset stream.Offset, logged time.Time) {
	ev, err := event.Decode(encoded)
	if err != nil {
		in.metrics.drop(dropMalformed, 1) // the hub admits none
		return
	}
	event.Attribute(ev, publisher)
	if logged.After(in.state.newest) {
		in.state.newest = logged
	}
	at := in.when(ev, logged)
	in.metrics.events.Inc()
	in.fold(&sighted{ev: ev, at: at, offset: offset})
}

// Bounds on the time that an event says it is of.
const (
	// futureMost is how far the clock of an observer may be ahead of the hub's.
	futureMost = 5 * time.Minute
	// pastMost is how long an event may have waited in a spool.
	pastMost = 30 * 24 * time.Hour
)

// when is the time of an event, if it can be believed, else when the hub received it.
func (in *Inventory) when(ev *pb.Event, logged time.Time) time.Time {
	if !ev.GetTime().IsValid() {
		return logged
	}
	at := ev.GetTime().AsTime()
	if at.After(logged.Add(futureMost)) || at.Before(logged.Add(-pastMost)) {
		in.metrics.drop(dropTime, 1)
		return logged
	}
	return at
}

// sighted is an event about to be folded.
type sighted struct {
	ev     *pb.Event
	at     time.Time
	offset stream.Offset
}

// observer names who saw it: the host, and behind a slash the agent.
func (e *sighted) observer() string {
	return e.ev.GetObserver().GetName() + "/" + e.ev.GetAgent().GetId()
}

// fold does with an event what its type asks for:
//
//	device.discovered, device.changed   the device's state, whole from a scanner
//	device.moved                        where it is plugged in
//	device.gone                         it is down, unless others see it
//	snmp.reading                        what it says of itself, its reading, its neighbours
//	snmp.trap, .reboot, .interface_*    a line of its history
//	finding.*                           counted for each device that it names
//	agent.*                             the host of the agent is a device
//
// Devices are told of by observers alone: an event without one speaks of its own host.
func (in *Inventory) fold(e *sighted) {
	ev := e.ev
	switch {
	case ev.GetFinding() != nil: // finding.created, finding.scanner.arp_spoofing, …
		in.foldFinding(e)
		return
	case ev.GetType() == event.TypeAgentHealth:
		in.foldHost(e)
		return
	}
	if ev.GetObserver().GetName() == "" {
		in.metrics.drop(dropUnobserved, 1)
		return
	}
	switch ev.GetType() {
	case event.TypeDeviceDiscovered, event.TypeDeviceChanged, event.TypeDeviceMoved:
		in.foldDevice(e)
	case event.TypeDeviceGone:
		in.foldGone(e)
	case event.TypeSNMPReading:
		in.foldReading(e)
	case event.TypeSNMPTrap, event.TypeSNMPReboot, event.TypeSNMPInterfaceUp, event.TypeSNMPInterfaceDown:
		in.foldNote(e)
	default:
		in.metrics.drop(dropType, 1)
	}
}

// described is the device that an event is about: its body, with what the envelope says
// where the body does not. Nil: nothing.
func described(ev *pb.Event) *pb.DeviceInventory {
	d, about := ev.GetDevice(), ev.GetAbout()
	if d == nil && about == nil {
		return nil
	}
	if d == nil {
		d = &pb.DeviceInventory{}
	}
	if d.GetUid() == "" {
		d.Uid = about.GetUid()
	}
	if len(d.GetIp()) == 0 {
		d.Ip = about.GetIp()
	}
	if len(d.GetMac()) == 0 {
		d.Mac = about.GetMac()
	}
	if d.GetHostname() == "" && len(d.GetNames()) == 0 {
		d.Hostname = about.GetName()
	}
	if d.GetDeviceClass() == "" {
		d.DeviceClass = about.GetType()
	}
	return d
}

// kindScanner is the kind of agents whose events have the whole state of a device.
const kindScanner = "scanner"

func (in *Inventory) foldDevice(e *sighted) {
	d := described(e.ev)
	if d == nil {
		in.metrics.drop(dropEmpty, 1)
		return
	}
	s := &in.state
	var changes []inventory.Change
	if e.ev.GetAgent().GetKind() == kindScanner {
		s.heard = later(s.heard, e.at)
		if wasProbed(d) {
			s.scanned = later(s.scanned, e.at)
		}
		changes = s.book.ObserveState(e.at, e.observer(), d)
	} else {
		changes = s.book.Observe(e.at, e.observer(), d)
	}
	in.apply(changes, e)
	if e.ev.GetType() == event.TypeDeviceMoved {
		in.foldNote(e)
	}
}

// wasProbed reports whether packets were sent to a device: who only listens hears no
// answers to pings and no open ports.
func wasProbed(d *pb.DeviceInventory) bool {
	for _, how := range d.GetSources() {
		switch how {
		case "icmp", "tcp", "udp":
			return true
		}
	}
	return false
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// foldGone notes that an observer does not see a device any more. One that is not known
// is not made by that.
func (in *Inventory) foldGone(e *sighted) {
	for _, d := range in.find(e.ev) {
		uid := d.GetUid()
		changes := in.state.book.ObserveGone(e.at, e.observer(), &pb.DeviceInventory{Uid: uid})
		if !in.apply(changes, e)[event.TypeDeviceGone] {
			in.note(in.beside(uid), uid, e) // others see it still
		}
	}
}

// foldNote adds an event to the history of the device that it is about.
func (in *Inventory) foldNote(e *sighted) {
	for _, d := range in.find(e.ev) {
		in.note(in.beside(d.GetUid()), d.GetUid(), e)
	}
}

// find is the device that an event is about, if it is known: by uid, then by MAC
// address, then by IP address where one device alone has that. The messages belong to
// the Book.
func (in *Inventory) find(ev *pb.Event) []*pb.DeviceInventory {
	d := described(ev)
	if d == nil {
		return nil
	}
	if d.GetUid() != "" {
		if found := in.state.book.Find(d.GetUid()); len(found) > 0 {
			return found[:1]
		}
	}
	for _, list := range [][]string{d.GetMac(), d.GetIp()} {
		for _, address := range list[:min(len(list), maxLookups)] {
			if found := in.state.book.Find(address); len(found) == 1 {
				return found
			}
		}
	}
	return nil
}

// maxLookups is by how many addresses one event is looked up.
const maxLookups = 8

// apply notes what became of devices, and returns the types of what happened.
func (in *Inventory) apply(changes []inventory.Change, e *sighted) map[string]bool {
	told := map[string]bool{}
	in.revision += uint64(len(changes))
	for i := range changes {
		c := &changes[i]
		told[c.Type] = true
		uid := c.Device.GetUid()
		m := in.beside(uid)
		m.text = ""
		for _, former := range slices.Concat(c.Device.GetFormerUids(), c.Merged) {
			in.join(uid, former)
		}
		if e.ev.GetType() == event.TypeDeviceMoved && slices.Equal(c.Attributes, []string{"plugged"}) {
			continue // the event says it better
		}
		in.noteChange(m, uid, c, e)
	}
	return told
}
