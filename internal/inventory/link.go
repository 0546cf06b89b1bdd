package inventory

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	// maxLinks is how many links of a device are kept.
	maxLinks = 256
	// unlinked is after how many seconds a link that its observer leaves out of others that
	// it tells is none any more: a table may be read in part.
	unlinked = 3 * 60 * 60
)

// linked is who told a link, and when last.
type linked struct {
	Observer string `json:"observer,omitempty"` // empty where nobody remembers
	At       int64  `json:"at"`
}

// applyLinks keeps neighbours.
func (b *Book) applyLinks(r *record, o *sighting, t *tally) {
	in := o.in.GetLinks()
	if len(in) == 0 {
		return
	}
	r.dropLinks(o, t)
	d := r.d
	for _, l := range in {
		if byAddress(l) && r.holds(l.GetIp()) != nil {
			continue // to itself, and no change each time that it is told
		}
		at := slices.IndexFunc(d.GetLinks(), func(k *pb.DeviceLink) bool { return sameLink(k, l) })
		switch {
		case at >= 0:
			if !proto.Equal(d.GetLinks()[at], l) {
				d.Links[at] = proto.CloneOf(l)
			}
			r.Linked[at] = linked{o.observer, max(r.Linked[at].At, o.now)}
		case len(d.GetLinks()) >= maxLinks:
			b.stats.Cut++
		default:
			d.Links, r.Linked = append(d.Links, proto.CloneOf(l)), append(r.Linked, linked{o.observer, o.now})
			if !o.whole {
				t.note("links", "is linked with %s", linkWords(l))
			}
		}
	}
}

// dropLinks takes away links that o does not tell any more: of a whole state those that
// its observer told, and of tables and ways those that it has not told for long.
func (r *record) dropLinks(o *sighting, t *tally) {
	r.fitLinked(o.now)
	lists := slices.Contains(o.in.GetSources(), "snmp")
	for i, k := range slices.Backward(r.Linked) {
		l := r.d.GetLinks()[i]
		over := o.whole || o.now-k.At > unlinked && (lists && (l.GetSource() == "lldp" || l.GetSource() == "cdp") || byAddress(l) && o.tells(l.GetSource()))
		if !over || k.Observer != "" && k.Observer != o.observer || slices.ContainsFunc(o.in.GetLinks(), func(n *pb.DeviceLink) bool { return sameLink(l, n) }) {
			continue
		}
		r.d.Links, r.Linked = slices.Delete(r.d.Links, i, i+1), slices.Delete(r.Linked, i, i+1)
		if !o.whole {
			t.note("links", "is linked with %s no more", linkWords(l))
		}
	}
}

// dropOwnLinks takes away links that are told by an address which is the device's own: it was
// heard at another one of its addresses, before both proved to be of one device.
func (r *record) dropOwnLinks() {
	own := func(l *pb.DeviceLink) bool { return byAddress(l) && r.holds(l.GetIp()) != nil }
	if !slices.ContainsFunc(r.d.GetLinks(), own) {
		return
	}
	r.fitLinked(r.Last)
	for i, l := range slices.Backward(r.d.GetLinks()) {
		if own(l) {
			r.d.Links, r.Linked = slices.Delete(r.d.Links, i, i+1), slices.Delete(r.Linked, i, i+1)
		}
	}
}

// fitLinked has one entry for each link, also of those of which nobody remembers who told
// them, as in inventories that were written before.
func (r *record) fitLinked(now int64) {
	r.Linked = r.Linked[:min(len(r.Linked), len(r.d.GetLinks()))]
	for len(r.Linked) < len(r.d.GetLinks()) {
		r.Linked = append(r.Linked, linked{At: now})
	}
}

// mergeLinks adds the links of a device that proved to be the same.
func (r *record) mergeLinks(other *record) {
	r.fitLinked(r.Last)
	other.fitLinked(other.Last)
	for i, l := range other.d.GetLinks() {
		if len(r.Linked) < maxLinks && !slices.ContainsFunc(r.d.GetLinks(), func(k *pb.DeviceLink) bool { return sameLink(k, l) }) {
			r.d.Links, r.Linked = append(r.d.Links, proto.CloneOf(l)), append(r.Linked, other.Linked[i])
		}
	}
}

// byAddress reports links that are told of routers by their addresses alone.
func byAddress(l *pb.DeviceLink) bool { return l.GetSource() == "traceroute" || l.GetSource() == "arp" }

// tells reports whether an observation has a link of a source.
func (o *sighting) tells(source string) bool {
	return slices.ContainsFunc(o.in.GetLinks(), func(l *pb.DeviceLink) bool { return l.GetSource() == source })
}

func linkWords(l *pb.DeviceLink) string {
	return cmp.Or(clean(l.GetName()), clean(l.GetIp()), clean(l.GetMac()), clean(l.GetDeviceUid()))
}

func sameLink(x, y *pb.DeviceLink) bool {
	return x.GetSource() == y.GetSource() && x.GetIfIndex() == y.GetIfIndex() && x.GetPort() == y.GetPort() &&
		x.GetDeviceUid() == y.GetDeviceUid() && x.GetName() == y.GetName() && x.GetMac() == y.GetMac() &&
		(!byAddress(x) || x.GetIp() == y.GetIp())
}
