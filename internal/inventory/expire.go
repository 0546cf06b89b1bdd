package inventory

import (
	"fmt"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func unix(seconds int64) time.Time { return time.Unix(seconds, 0) }

// maxAhead is how many seconds a sighting may lie ahead of the clock before it is not
// believed any more: the clock was set back.
const maxAhead = 60 * 60

// Expire tells which devices are gone since they were not seen for long, takes away
// addresses that they have no longer, and forgets devices that were not seen for much
// longer.
func (b *Book) Expire(now time.Time) []Change {
	at := now.Unix()
	if at < b.now {
		b.stats.ClockBack++
		b.now = at
	}
	var changes []Change
	for r := range b.all {
		if r.Last > at+maxAhead {
			b.setBack(r, at)
		}
		silent := b.silence(r.Last, at)
		switch {
		case silent > b.o.ForgetAfter:
			b.remove(r)
		case silent > b.o.GoneAfter && !r.Gone:
			changes = append(changes, r.leave(silent))
		default:
			if c, is := b.expireAddresses(r, at); is {
				changes = append(changes, c)
			}
		}
	}
	slices.SortFunc(changes, func(x, y Change) int {
		return slices.Compare([]string{x.Device.GetUid()}, []string{y.Device.GetUid()})
	})
	return changes
}

// silence is how long ago something was seen, as far as that is known; both are Unix seconds.
func (b *Book) silence(seen, at int64) time.Duration {
	silent := time.Duration(at-seen) * time.Second
	if b.o.Age != nil && silent > min(b.o.GoneAfter, b.o.AddressAfter) { // below nothing follows of it
		silent = min(silent, b.o.Age(unix(seen)))
	}
	return silent
}

// setBack makes times of a record that are ahead of the clock now.
func (b *Book) setBack(r *record, at int64) {
	b.stats.ClockBack++
	r.Last, r.First = at, min(r.First, at)
	for i := range r.Held {
		r.Held[i].Last = min(r.Held[i].Last, at)
	}
	for i := range r.Facts {
		r.Facts[i].At = min(r.Facts[i].At, at)
	}
	for i := range r.Names {
		r.Names[i].At = min(r.Names[i].At, at)
	}
	for i := range r.Linked {
		r.Linked[i].At = min(r.Linked[i].At, at)
	}
	for i := range r.Told {
		r.Told[i].At = min(r.Told[i].At, at)
	}
	r.d.FirstSeenTime, r.d.LastSeenTime = stamp(r.First), stamp(r.Last)
}

func (r *record) leave(silent time.Duration) Change {
	r.Gone = true
	return Change{
		Type: event.TypeDeviceGone, Device: r.snapshot(nil),
		Message: fmt.Sprintf("%s was not seen for %s", Describe(r.d), silent.Round(time.Minute)),
	}
}

// expireAddresses takes away addresses that were not seen for long while others of the
// device were.
func (b *Book) expireAddresses(r *record, at int64) (Change, bool) {
	seen := func(h held) bool { return b.silence(h.Last, at) <= b.o.AddressAfter }
	if !slices.ContainsFunc(r.Held, seen) {
		return Change{}, false
	}
	t := tally{}
	r.Held = slices.DeleteFunc(r.Held, func(h held) bool {
		if seen(h) {
			return false
		}
		t.note("ip", "has address %s no more", h.IP)
		return true
	})
	if len(t.attributes) == 0 {
		return Change{}, false
	}
	r.listAddresses()
	b.index(r)
	return r.change(false, &t)
}

// ObserveGone is told that observer sees a device no more; it is gone if no other
// observer has seen it within the time after which devices are.
func (b *Book) ObserveGone(now time.Time, observer string, d *pb.DeviceInventory) []Change {
	var changes []Change
	for _, r := range b.keys[keyUID+d.GetUid()] {
		others := slices.ContainsFunc(r.Told, func(t told) bool {
			return t.Observer != observer && now.Unix()-t.At <= int64(b.o.GoneAfter.Seconds())
		})
		if !others && !r.Gone && d.GetUid() != "" {
			changes = append(changes, r.leave(now.Sub(unix(r.Last))))
		}
	}
	return changes
}
