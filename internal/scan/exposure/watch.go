package exposure

import (
	"maps"
	"slices"
	"strings"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// maxDevices is how many devices with findings are remembered.
const maxDevices = 65536

// Watch tells what is new, and what is over, of the devices that it is shown. It is not
// safe for concurrent use.
type Watch struct {
	facts *Facts
	off   map[Kind]bool
	known map[string]map[string]told // by uid of the device, by key of the sighting
	full  uint64
}

// told is a finding that was told, by the uid that it had then: a device that gets
// another uid keeps its findings.
type told struct {
	sighting
	uid string
}

// NewWatch tells all kinds but disabled.
func NewWatch(f *Facts, disabled ...Kind) *Watch {
	w := &Watch{facts: f, off: map[Kind]bool{}, known: map[string]map[string]told{}}
	for _, k := range disabled {
		w.off[k] = true
	}
	return w
}

// Observe compares all that is known of d now with what was found before, and returns
// an event for each finding that is new, or over: with status "new" and "resolved". d
// needs its uid. Devices beyond 65,536 with findings are not told of; see Full.
func (w *Watch) Observe(now time.Time, d *pb.DeviceInventory) []*pb.Event {
	if d.GetUid() == "" {
		return nil
	}
	before, doubles := w.before(d)
	current := map[string]told{}
	for _, s := range w.facts.look(d, now) {
		if !w.off[s.kind] {
			current[s.key()] = told{s, s.uid(d.GetUid())}
		}
	}
	if len(before) == 0 && len(current) > 0 && len(w.known) >= maxDevices {
		w.full++
		return nil
	}
	var events []*pb.Event
	for _, key := range slices.Sorted(maps.Keys(current)) {
		t := current[key]
		if was, is := before[key]; is {
			current[key] = told{t.sighting, was.uid}
			continue
		}
		events = append(events, t.event(d, t.uid, "new", now))
	}
	over := func(t told, why string) {
		t.description = strings.TrimSuffix(t.description, ".") + "; " + why + "."
		events = append(events, t.event(d, t.uid, "resolved", now))
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, still := current[key]; !still {
			why := "this is over"
			if w.off[before[key].kind] {
				why = "this kind is not looked for any more"
			}
			over(before[key], why)
		}
	}
	for _, t := range doubles {
		over(t, "this was told of the same device under another uid, too")
	}
	if len(current) == 0 {
		delete(w.known, d.GetUid())
	} else {
		w.known[d.GetUid()] = current
	}
	return events
}

// before takes what was told of a device by its uid and by those that it had, and what
// of that was told twice, before two devices proved to be one.
func (w *Watch) before(d *pb.DeviceInventory) (before map[string]told, doubles []told) {
	before = w.known[d.GetUid()]
	for _, former := range d.GetFormerUids() {
		was := w.known[former]
		if was == nil || former == d.GetUid() {
			continue
		}
		delete(w.known, former)
		if before == nil {
			before = was
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(was)) {
			if _, is := before[key]; is {
				doubles = append(doubles, was[key])
			} else {
				before[key] = was[key]
			}
		}
	}
	return before, doubles
}

// Forget drops what is known of a device that is gone; nothing is told of it.
func (w *Watch) Forget(uid string) { delete(w.known, uid) }

// Full is how often a device was left out as too many have findings.
func (w *Watch) Full() uint64 { return w.full }
