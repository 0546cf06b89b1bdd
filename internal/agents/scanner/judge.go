package scanner

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/inventory"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan/ask"
	"github.com/amoskys/amoskys/internal/scan/exposure"
	"github.com/amoskys/amoskys/internal/scan/probe"
	"github.com/amoskys/amoskys/internal/scan/stack"
)

// experts are what judges devices: beside those of every scan the facts of what should
// not be.
type experts struct {
	*ask.Experts
	facts *exposure.Facts
}

func load(cfg Config) (e *experts, err error) {
	e = &experts{}
	if e.Experts, err = ask.Load(cfg.Discovery.timeout()); err != nil {
		return nil, err
	}
	if e.facts, err = exposure.Load(); err != nil {
		return nil, fmt.Errorf("load facts about exposures: %w", err)
	}
	return e, nil
}

// watch looks for exposures; nil does not.
func (e *experts) watch(cfg Config) *exposure.Watch {
	if !cfg.Exposure.Enabled {
		return nil
	}
	var off []exposure.Kind
	for _, name := range cfg.Exposure.Disabled {
		off = append(off, exposure.Kind(name))
	}
	return exposure.NewWatch(e.facts, off...)
}

// conclude adds to an observation what all that is known of the device says that it is.
func (a *Agent) conclude(e *experts, d *pb.DeviceInventory, traits *probe.Traits, clues []stack.Clue) {
	known := a.stateOf(d)
	if known == nil {
		known = proto.CloneOf(d)
	} else {
		known.Ports = withNews(known.GetPorts(), d.GetPorts())
	}
	// What was concluded before is no reason to conclude it again.
	known.OsName, known.OsVersion, known.DeviceClass, known.Confidence = "", "", "", 0
	is := e.Judge.Device(known, traits, clues)
	d.OsName, d.OsVersion, d.DeviceClass, d.Confidence = is.GetOsName(), is.GetOsVersion(), is.GetDeviceClass(), is.GetConfidence()
	d.Evidence, d.Cpe, d.Names = append(d.GetEvidence(), is.GetEvidence()...), is.GetCpe(), is.GetNames()
	if is.GetVendor() != "" {
		d.Vendor = is.GetVendor()
	}
	d.Model = is.GetModel()
}

// withNews gives the ports that are known, with those that were looked at anew in place
// of what was known of them.
func withNews(known, fresh []*pb.Port) []*pb.Port {
	for _, p := range fresh {
		at := slices.IndexFunc(known, func(q *pb.Port) bool { return q.GetPort() == p.GetPort() && q.GetProtocol() == p.GetProtocol() })
		switch {
		case at < 0:
			known = append(known, p)
		case p.GetService() != "":
			known[at] = p
		}
	}
	return known
}

// heard judges a device of which something was heard.
func (e *experts) heard(c inventory.Change) *pb.DeviceInventory {
	known := proto.CloneOf(c.Device)
	if len(known.GetPorts()) > 0 {
		return nil // scans say more
	}
	known.OsName, known.OsVersion, known.DeviceClass, known.Confidence = "", "", "", 0
	is := e.Judge.Device(known, nil, nil)
	if is.GetDeviceClass() == "" && is.GetOsName() == "" {
		return nil
	}
	return &pb.DeviceInventory{
		Uid: c.Device.GetUid(), Mac: c.Device.GetMac(), OsName: is.GetOsName(), OsVersion: is.GetOsVersion(), DeviceClass: is.GetDeviceClass(),
		Confidence: is.GetConfidence(), Sources: []string{"arp"},
	}
}

// stateOf is what is known now of the device that was observed.
func (a *Agent) stateOf(d *pb.DeviceInventory) *pb.DeviceInventory {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, text := range slices.Concat(d.GetIp(), d.GetMac()) {
		for _, found := range a.book.Find(text) {
			if len(d.GetMac()) == 0 || len(found.GetMac()) == 0 || slices.Contains(found.GetMac(), d.GetMac()[0]) {
				return proto.CloneOf(found)
			}
		}
	}
	return nil
}

// exposures are the findings that are new, or over, in the state of a device.
func (a *Agent) exposures(now time.Time, c inventory.Change) []*pb.Event {
	if a.exposed == nil {
		return nil
	}
	if c.Type == event.TypeDeviceGone {
		a.exposed.Forget(c.Device.GetUid())
		return nil
	}
	if len(c.Device.GetPorts()) == 0 && !slices.Contains(c.Attributes, "ports") {
		return nil
	}
	events := a.exposed.Observe(now, c.Device)
	for _, ev := range events { // the doubted clock judges; what is found is found now
		ev.Time = timestamppb.New(a.now())
	}
	return events
}
