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
	known map[string]map[string]sighting // by uid of the device, by uid of the finding
	full  uint64
}

// NewWatch tells all kinds but disabled.
func NewWatch(f *Facts, disabled ...Kind) *Watch {
	w := &Watch{facts: f, off: map[Kind]bool{}, known: map[string]map[string]sighting{}}
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
	before := w.known[d.GetUid()]
	current := map[string]sighting{}
	for _, s := range w.facts.look(d, now) {
		if !w.off[s.kind] {
			current[s.uid(d.GetUid())] = s
		}
	}
	if before == nil && len(current) > 0 && len(w.known) >= maxDevices {
		w.full++
		return nil
	}
	var events []*pb.Event
	for _, uid := range slices.Sorted(maps.Keys(current)) {
		if _, told := before[uid]; !told {
			s := current[uid]
			events = append(events, s.event(d, "new", now))
		}
	}
	for _, uid := range slices.Sorted(maps.Keys(before)) {
		if _, still := current[uid]; !still {
			s := before[uid]
			s.description = strings.TrimSuffix(s.description, ".") + "; this is over."
			events = append(events, s.event(d, "resolved", now))
		}
	}
	if len(current) == 0 {
		delete(w.known, d.GetUid())
	} else {
		w.known[d.GetUid()] = current
	}
	return events
}

// Forget drops what is known of a device that is gone or that became another; nothing
// is told of it.
func (w *Watch) Forget(uid string) { delete(w.known, uid) }

// Full is how often a device was left out as too many have findings.
func (w *Watch) Full() uint64 { return w.full }
