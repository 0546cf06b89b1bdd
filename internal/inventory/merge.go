package inventory

import (
	"slices"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// enter makes a record for a device that was not known; nil if there is no room.
func (b *Book) enter(o *sighting) *record {
	if len(b.all) >= b.o.MaxDevices && !b.makeRoom() {
		b.stats.Refused++
		return nil
	}
	r := &record{d: &pb.DeviceInventory{}, memory: memory{First: o.now, Last: o.now}}
	b.all[r] = struct{}{}
	r.place = b.fresh.PushBack(r)
	if o.uid != "" && !b.taken(o.uid, r) {
		r.d.Uid = o.uid
	}
	return r
}

// settledAfter is for how many seconds a device must have been seen before it makes no
// room for others.
const settledAfter = 600

// freshness keeps the list of devices that were seen for a short time.
func (b *Book) freshness(r *record) {
	switch {
	case r.place == nil:
	case r.Last-r.First >= settledAfter || len(r.d.GetPorts()) > 0 || r.d.GetSerialNumber() != "" || r.d.GetEngineId() != "":
		b.fresh.Remove(r.place)
		r.place = nil
	default:
		b.fresh.MoveToBack(r.place)
	}
}

// makeRoom removes the device that was seen for a short time, longest ago, or one that is
// gone.
func (b *Book) makeRoom() bool {
	if first := b.fresh.Front(); first != nil {
		if r, is := first.Value.(*record); is {
			b.remove(r)
			b.stats.Evicted++
			return true
		}
	}
	looked := 0
	for r := range b.all {
		if r.Gone {
			b.remove(r)
			b.stats.Evicted++
			return true
		}
		if looked++; looked > 64 {
			break
		}
	}
	return false
}

func (b *Book) remove(r *record) {
	for _, k := range r.keys {
		b.dropKey(k, r)
	}
	r.keys = nil
	delete(b.all, r)
	if r.place != nil {
		b.fresh.Remove(r.place)
		r.place = nil
	}
}

// absorb makes other a part of r, as they are one device, and gives the uids that other
// had.
func (b *Book) absorb(r, other *record) []string {
	b.stats.Merged++
	b.remove(other)
	uids := append([]string{other.d.GetUid()}, other.d.GetFormerUids()...)
	keep, old := r.d.GetUid(), other.d.GetUid()
	if s, t := strength(old), strength(keep); t < s || s == t && other.First < r.First {
		keep, old = old, keep
	}
	r.d.Uid = keep
	former := append([]string{old}, append(without(r.d.GetFormerUids(), old), other.d.GetFormerUids()...)...)
	r.d.FormerUids = trimmed(slices.Compact(without(former, keep, "")), maxUIDs)

	r.absorbFacts(other)
	for _, h := range other.Held {
		if r.holds(h.IP) == nil && len(r.Held) < b.o.MaxAddresses {
			r.Held = append(r.Held, h)
		}
	}
	for _, m := range other.d.GetMac() {
		if !slices.Contains(r.d.GetMac(), m) && len(r.d.GetMac()) < b.o.MaxAddresses {
			r.d.Mac = append(r.d.Mac, m)
		}
	}
	for _, h := range other.History {
		r.remember(h, b.o.MaxHistory)
	}
	for _, n := range other.Names {
		if !slices.ContainsFunc(r.Names, func(own name) bool { return own.Text == n.Text }) {
			r.Names = append(r.Names, n)
		}
	}
	if len(r.Names) > 0 {
		b.orderNames(r)
	}
	for i, p := range other.d.GetPorts() {
		if !slices.ContainsFunc(r.d.GetPorts(), func(q *pb.Port) bool { return samePort(p, q) }) && len(r.d.GetPorts()) < b.o.MaxPorts {
			r.d.Ports, r.Ports = append(r.d.Ports, p), append(r.Ports, other.Ports[i])
		}
	}
	r.sortPorts()
	for _, t := range other.Told {
		if uid, _ := r.toldBy(t.Observer); uid == "" {
			r.Told = append(slices.DeleteFunc(r.Told, func(own told) bool { return own.Observer == t.Observer }), t)
		}
	}
	r.Told = r.Told[:min(len(r.Told), maxObservers)]
	r.First, r.Last = min(r.First, other.First), max(r.Last, other.Last)
	r.Gone = r.Gone && other.Gone
	r.listAddresses()
	b.index(r)
	return slices.DeleteFunc(uids, func(uid string) bool { return uid == "" })
}

// absorbFacts takes facts that the other knows better, and its lists.
func (r *record) absorbFacts(other *record) {
	d, e := r.d, other.d
	for fact, at := range map[int][2]*string{
		factVendor: {&d.Vendor, &e.Vendor}, factOS: {&d.OsName, &e.OsName}, factVersion: {&d.OsVersion, &e.OsVersion},
		factClass: {&d.DeviceClass, &e.DeviceClass}, factModel: {&d.Model, &e.Model}, factSerial: {&d.SerialNumber, &e.SerialNumber},
		factEngine: {&d.EngineId, &e.EngineId}, factSubnet: {&d.Subnet, &e.Subnet},
	} {
		if own, its := at[0], at[1]; *its != "" && (*own == "" || other.Facts[fact].Rank > r.Facts[fact].Rank) {
			*own, r.Facts[fact] = *its, other.Facts[fact]
			if fact == factClass {
				d.Confidence = e.GetConfidence()
			}
		}
	}
	d.Sources = union(d.GetSources(), e.GetSources(), maxAliases)
	slices.Sort(d.Sources)
	d.Aliases = union(d.GetAliases(), e.GetAliases(), maxAliases)
	d.Cpe = union(d.GetCpe(), e.GetCpe(), maxUIDs)
	d.Evidence = union(d.GetEvidence(), e.GetEvidence(), maxUIDs)
	if len(d.GetPlugged()) == 0 {
		d.Plugged = e.GetPlugged()
	}
	r.mergeLinks(other)
}

func union(a, b []string, limit int) []string {
	for _, s := range b {
		if !slices.Contains(a, s) && len(a) < limit {
			a = append(a, s)
		}
	}
	return a
}

// takeAddresses takes the addresses at which a device was seen from those who had them
// and have not been seen there lately: while both are, they are in conflict, and both
// keep it.
func (b *Book) takeAddresses(r *record, o *sighting) []Change {
	if o.listed || o.whole || len(o.macs) == 0 {
		return nil
	}
	var changes []Change
	for _, ip := range o.ips {
		for _, c := range slices.Clone(b.keys[addressKey(o.site, ip)]) {
			h := c.holds(ip.String())
			if c == r || h == nil || h.Listed || o.now-h.Last <= recently {
				continue
			}
			t := tally{}
			t.note("ip", "%s is another device's now", ip)
			c.Held = slices.DeleteFunc(c.Held, func(h held) bool { return h.IP == ip.String() })
			c.listAddresses()
			b.index(c)
			if change, is := c.change(false, &t); is {
				changes = append(changes, change)
			}
		}
	}
	return changes
}

// maxShared is how many MAC addresses with several hosts behind are remembered.
const maxShared = 4096

// share notes that several hosts are behind a MAC address.
func (b *Book) share(mac string) {
	if len(b.shared) >= maxShared {
		b.stats.Cut++
		return
	}
	b.shared[mac] = struct{}{}
}

// splitCrowd makes devices of their own of IPv4 addresses behind one MAC address that are
// too many for one host: a router that answers for others, or a host with others in it.
// A device that named itself by SNMP may have four times as many.
func (b *Book) splitCrowd(r *record, o *sighting) []Change {
	if len(o.macs) != 1 || o.listed || o.whole {
		return nil
	}
	mac, limit := o.macs[0], b.o.AddressesPerMAC
	if r.d.GetSerialNumber() != "" || r.d.GetEngineId() != "" {
		limit *= 4
	}
	if _, shared := b.shared[mac]; shared || r.live(mac, o.now-recently) <= limit {
		return nil
	}
	b.share(mac)
	first := ""
	var crowd []held
	for _, h := range r.Held {
		switch {
		case h.MAC != mac || h.Listed || !is4(h.IP):
		case first == "":
			first = h.IP // the one that it had before all others
		default:
			crowd = append(crowd, h)
		}
	}
	lost := func(ip string) bool { return slices.ContainsFunc(crowd, func(h held) bool { return h.IP == ip }) }
	r.Held = slices.DeleteFunc(r.Held, func(h held) bool { return lost(h.IP) })
	r.History = slices.DeleteFunc(r.History, func(h Binding) bool { return lost(h.IP) })
	r.listAddresses()
	b.index(r)
	t := tally{}
	t.note("ip", "%d addresses behind %s are of other hosts", len(crowd), mac)
	change, _ := r.change(false, &t)
	changes := []Change{change}
	for _, h := range crowd {
		b.stats.Split++
		alone := b.sight(unix(o.now), o.observer, &pb.DeviceInventory{Ip: []string{h.IP}, Mac: []string{mac}, Sources: []string{"arp"}})
		alone.looked = nothing
		if c := b.enter(alone); c != nil {
			t := tally{}
			b.apply(c, alone, &t)
			b.settle(c)
			b.index(c)
			change, _ := c.change(true, &t)
			changes = append(changes, change)
		}
	}
	return changes
}
