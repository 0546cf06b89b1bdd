package inventory

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/entity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// apply folds an observation into a record.
func (b *Book) apply(r *record, o *sighting, t *tally) {
	b.noteTimes(r, o, t)
	t.told = r.noteTold(o)
	b.applyMACs(r, o, t)
	b.applyAddresses(r, o, t)
	b.applyNames(r, o, t)
	r.applyFacts(o, t)
	b.applyPorts(r, o, t)
	b.applyLists(r, o, t)
	r.applyPlaces(o, t)
	b.applyLinks(r, o, t)
	r.dropOwnLinks()
	b.freshness(r)
}

// noteTimes keeps first and last sighting, and whether it had gone.
func (b *Book) noteTimes(r *record, o *sighting, t *tally) {
	last := o.now
	if at := o.in.GetLastSeenTime(); at.IsValid() && at.GetSeconds() > 0 {
		last = min(last, at.GetSeconds())
	}
	if r.Gone && last > r.Last {
		r.Gone = false
		t.note("returned", "is back")
	}
	r.Last = max(r.Last, last)
	if at := o.in.GetFirstSeenTime(); at.IsValid() && at.GetSeconds() > 0 {
		r.First = min(r.First, at.GetSeconds())
	}
	r.First = min(r.First, r.Last)
	r.d.FirstSeenTime, r.d.LastSeenTime = stamp(r.First), stamp(r.Last)
}

func (b *Book) applyMACs(r *record, o *sighting, t *tally) {
	for _, m := range o.macs {
		switch {
		case slices.Contains(r.d.GetMac(), m):
			continue
		case len(r.d.GetMac()) >= b.o.MaxAddresses:
			b.stats.Cut++
			continue
		}
		r.d.Mac = append(r.d.Mac, m)
		t.note("mac", "has MAC address %s", m)
	}
	r.d.MacRandomized = len(r.d.GetMac()) > 0 && !slices.ContainsFunc(r.d.GetMac(), func(m string) bool { return !isLocal(m) })
}

// applyAddresses keeps IP addresses and their history.
func (b *Book) applyAddresses(r *record, o *sighting, t *tally) {
	mac := ""
	if len(o.macs) == 1 && !o.listed {
		mac = o.macs[0]
	}
	for _, a := range o.ips {
		ip := a.String()
		h := r.holds(ip)
		if h == nil {
			t.note("ip", "has address %s", ip)
			r.Held = append(r.Held, held{IP: ip, Site: o.site, First: o.now, Listed: o.listed})
			h = &r.Held[len(r.Held)-1]
		}
		h.Last, h.Observer = max(h.Last, o.now), o.observer
		h.Listed = h.Listed || o.listed
		if mac != "" {
			h.MAC = mac
		}
		r.remember(Binding{IP: ip, MAC: h.MAC, First: o.now, Last: o.now}, b.o.MaxHistory)
	}
	if o.whole {
		r.Held = slices.DeleteFunc(r.Held, func(h held) bool {
			ip, _ := netip.ParseAddr(h.IP)
			gone := h.Observer == o.observer && !slices.Contains(o.ips, ip)
			if gone {
				t.note("ip", "has address %s no more", h.IP)
			}
			return gone
		})
	}
	for len(r.Held) > b.o.MaxAddresses {
		oldest := slices.MinFunc(r.Held, func(x, y held) int { return cmp.Compare(x.Last, y.Last) })
		r.Held = slices.DeleteFunc(r.Held, func(h held) bool { return h.IP == oldest.IP })
		b.stats.Cut++
	}
	r.listAddresses()
}

// listAddresses writes the addresses into the state: IPv4 first, link-local ones last.
func (r *record) listAddresses() {
	order := func(h held) int {
		ip, err := netip.ParseAddr(h.IP)
		switch {
		case err != nil || ip.IsLinkLocalUnicast():
			return 2
		case ip.Is4():
			return 0
		}
		return 1
	}
	slices.SortStableFunc(r.Held, func(x, y held) int {
		return cmp.Or(order(x)-order(y), cmp.Compare(x.First, y.First), cmp.Compare(x.IP, y.IP))
	})
	r.d.Ip = r.d.GetIp()[:0:0]
	for _, h := range r.Held {
		r.d.Ip = append(r.d.Ip, h.IP)
	}
}

// remember keeps an address in the history; the one seen longest ago makes room.
func (r *record) remember(is Binding, limit int) {
	for i := range r.History {
		h := &r.History[i]
		if h.IP == is.IP && (h.MAC == is.MAC || h.MAC == "") {
			h.MAC, h.First, h.Last = is.MAC, min(h.First, is.First), max(h.Last, is.Last)
			return
		}
	}
	r.History = append(r.History, is)
	for len(r.History) > limit {
		oldest := 0
		for i, h := range r.History {
			if h.Last < r.History[oldest].Last {
				oldest = i
			}
		}
		r.History = slices.Delete(r.History, oldest, oldest+1)
	}
}

// applyNames keeps names, and says which is the best.
func (b *Book) applyNames(r *record, o *sighting, t *tally) {
	if len(o.names) == 0 {
		return
	}
	for i, text := range o.names {
		rank := max(1, o.nameRank-min(i, 9))
		at := slices.IndexFunc(r.Names, func(n name) bool { return n.Text == text })
		if at < 0 {
			r.Names = append(r.Names, name{Text: text})
			at = len(r.Names) - 1
			t.note("names", "is called %s", text)
		}
		n := &r.Names[at]
		n.Rank, n.At, n.Announced = max(n.Rank, rank), max(n.At, o.now), n.Announced || o.announced
	}
	b.orderNames(r)
}

// sameTime is within how many seconds two names of equal rank do not take turns.
const sameTime = 60 * 60

func (b *Book) orderNames(r *record) {
	current := r.d.GetHostname()
	slices.SortStableFunc(r.Names, func(x, y name) int {
		if x.Rank != y.Rank {
			return y.Rank - x.Rank
		}
		if d := x.At - y.At; d > -sameTime && d < sameTime {
			switch current {
			case x.Text:
				return -1
			case y.Text:
				return 1
			}
			return cmp.Compare(x.Text, y.Text)
		}
		return cmp.Compare(y.At, x.At)
	})
	if len(r.Names) > b.o.MaxNames {
		b.stats.Cut += uint64(len(r.Names) - b.o.MaxNames)
		r.Names = r.Names[:b.o.MaxNames]
	}
	r.d.Names = r.d.GetNames()[:0:0]
	for _, n := range r.Names {
		r.d.Names = append(r.d.Names, n.Text)
	}
	r.d.Hostname = r.d.GetNames()[0]
}

// applyFacts takes what has one value.
func (r *record) applyFacts(o *sighting, t *tally) {
	d, in := r.d, o.in
	sure := confident(o.rank, in.GetConfidence())
	r.put(factVendor, &d.Vendor, entity.Maker(in.GetVendor()), "vendor", o.rank, o, t)
	r.put(factModel, &d.Model, in.GetModel(), "model", o.rank, o, t)
	r.put(factSerial, &d.SerialNumber, o.serial, "serial_number", o.rank, o, t)
	r.put(factEngine, &d.EngineId, o.engine, "engine_id", o.rank, o, t)
	r.put(factSubnet, &d.Subnet, in.GetSubnet(), "subnet", o.rank, o, t)
	if r.put(factOS, &d.OsName, in.GetOsName(), "os_name", sure, o, t) && in.GetOsVersion() == "" {
		d.OsVersion, r.Facts[factVersion] = "", standing{} // that was the other system's
	}
	r.put(factVersion, &d.OsVersion, in.GetOsVersion(), "os_version", sure, o, t)
	r.put(factClass, &d.DeviceClass, in.GetDeviceClass(), "device_class", sure, o, t)
	if d.GetDeviceClass() == clean(in.GetDeviceClass()) && in.GetConfidence() > 0 {
		d.Confidence = min(in.GetConfidence(), 1)
	}
}

// put takes a value where the one that stands yields to it, and reports whether there was
// another before. An empty one never counts.
func (r *record) put(fact int, at *string, value, attribute string, rank int, o *sighting, t *tally) bool {
	value = clean(value)
	if value == "" {
		return false
	}
	s := &r.Facts[fact]
	switch {
	case *at == value:
		if rank >= s.Rank {
			*s = standing{Rank: rank, Observer: o.observer, At: max(s.At, o.now)}
		}
		return false
	case *at != "" && !s.yields(rank, o):
		return false
	}
	old := *at
	*at, *s = value, standing{Rank: rank, Observer: o.observer, At: o.now}
	if old == "" {
		t.note(attribute, "%s is %s", plainWords(attribute), value)
		return false
	}
	t.note(attribute, "%s is %s, was %s", plainWords(attribute), value, old)
	return true
}

func plainWords(attribute string) string {
	switch attribute {
	case "os_name":
		return "operating system"
	case "os_version":
		return "version of the operating system"
	case "device_class":
		return "class"
	case "serial_number":
		return "serial number"
	case "engine_id":
		return "SNMP engine"
	}
	return attribute
}

// applyLists takes what has many values.
func (b *Book) applyLists(r *record, o *sighting, t *tally) {
	d := r.d
	for _, a := range o.aliases {
		switch {
		case slices.Contains(d.GetAliases(), a):
		case len(d.GetAliases()) >= maxAliases:
			b.stats.Cut++
		default:
			d.Aliases = append(d.Aliases, a)
			t.note("aliases", "has id %s", a)
		}
	}
	for _, s := range o.in.GetSources() {
		if s = clean(s); s != "" && !slices.Contains(d.GetSources(), s) && len(d.GetSources()) < maxAliases {
			d.Sources = append(d.Sources, s)
		}
	}
	slices.Sort(d.Sources)
	b.applyEvidence(r, o)
	if s := &r.Facts[factCPE]; len(o.in.GetCpe()) > 0 && s.yields(confident(o.rank, o.in.GetConfidence()), o) {
		*s = standing{Rank: confident(o.rank, o.in.GetConfidence()), Observer: o.observer, At: o.now}
		if c := b.some(o.in.GetCpe(), b.o.MaxNames, clean); len(c) > 0 && !slices.Equal(c, d.GetCpe()) {
			d.Cpe = c
			t.note("cpe", "is %s", c[0])
		}
	}
}

// applyEvidence keeps sentences for people. What a device says of itself stands beside
// what scans conclude, and a newer sentence of the same beginning takes the place of an
// older one; conclusions of a scan take the place of all before.
func (b *Book) applyEvidence(r *record, o *sighting) {
	in := b.some(o.in.GetEvidence(), b.o.MaxNames, clean)
	if len(in) == 0 {
		return
	}
	begins := func(s string) string {
		words := strings.SplitN(s, " ", 4)
		return strings.Join(words[:min(3, len(words))], " ")
	}
	kept := slices.DeleteFunc(r.d.GetEvidence(), func(s string) bool {
		if o.whole || o.scanned && !isClaim(s) {
			return true
		}
		return slices.ContainsFunc(in, func(n string) bool { return begins(n) == begins(s) })
	})
	kept = append(kept, in...)
	if over := len(kept) - b.o.MaxNames; over > 0 {
		kept = kept[over:]
	}
	r.d.Evidence = slices.Clone(kept)
}

// isClaim reports whether a sentence tells what a device says of itself, as those of
// package hear do, or what it was seen to do for others: a scan of it finds neither.
func isClaim(s string) bool {
	return slices.ContainsFunc([]string{"announces by ", "names itself ", "asks by ", "says by ", "advertises itself ", "passes packets on "}, func(p string) bool {
		return strings.HasPrefix(s, p)
	})
}

// applyPlaces keeps where it is plugged in, the present place first.
func (r *record) applyPlaces(o *sighting, t *tally) {
	in := o.in.GetPlugged()
	if len(in) == 0 {
		return
	}
	now := proto.CloneOf(in[0])
	if now.GetSinceTime() == nil {
		now.SinceTime = stamp(o.now)
	}
	now.UntilTime = nil
	d := r.d
	if len(d.GetPlugged()) == 0 {
		d.Plugged = append(d.Plugged, now)
		for _, p := range in[1:min(len(in), maxPlaces)] {
			d.Plugged = append(d.Plugged, proto.CloneOf(p))
		}
		t.note("plugged", "is plugged in at %s port %s", switchName(now), now.GetPort())
		return
	}
	before := d.GetPlugged()[0]
	if samePlace(before, now) {
		now.SinceTime = before.GetSinceTime()
		d.Plugged[0] = now
		return
	}
	if before.GetUntilTime() == nil {
		before.UntilTime = now.GetSinceTime()
	}
	d.Plugged = append([]*pb.SwitchPort{now}, d.GetPlugged()...)
	d.Plugged = d.GetPlugged()[:min(len(d.GetPlugged()), maxPlaces)]
	t.note("plugged", "is plugged in at %s port %s, was at %s port %s", switchName(now), now.GetPort(), switchName(before), before.GetPort())
}

// maxPlaces bounds the places of a device.
const maxPlaces = 16

func switchName(p *pb.SwitchPort) string {
	return cmp.Or(p.GetDeviceName(), p.GetDeviceIp(), p.GetDeviceUid(), "a switch")
}

func samePlace(x, y *pb.SwitchPort) bool {
	same := x.GetDeviceUid() == y.GetDeviceUid() || x.GetDeviceIp() != "" && x.GetDeviceIp() == y.GetDeviceIp()
	if x.GetIfIndex() != 0 && y.GetIfIndex() != 0 {
		return same && x.GetIfIndex() == y.GetIfIndex()
	}
	return same && x.GetPort() == y.GetPort()
}
