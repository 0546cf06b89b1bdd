package inventory

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/entity"
)

const (
	// recently is within how many seconds two sightings count as at once.
	recently = 15 * 60
	// common is how many devices may have a key or an id before it proves nothing.
	common = 8
)

// match finds the device that an observation is of, nil if it is a new one, and the
// devices that the observation proves to be the same.
func (b *Book) match(o *sighting) (r *record, same []*record) {
	take := func(found *record, proof bool) {
		switch {
		case found == nil || found == r || slices.Contains(same, found):
		case r == nil:
			r = found
		case proof && !contradict(r, found):
			same = append(same, found)
		}
	}
	for _, uid := range append([]string{o.uid}, o.former...) {
		for _, c := range b.keys[keyUID+uid] {
			if uid != "" {
				take(c, true)
			}
		}
	}
	for _, key := range proofsOf(o) {
		for _, c := range b.provedBy(key, o) {
			take(c, true)
		}
	}
	for _, mac := range o.telling {
		// An observation of several MAC addresses says that they are of one device.
		take(b.behind(mac, o), len(o.telling) > 1)
	}
	if r == nil {
		take(b.renewed(o), false)
	}
	for _, ip := range o.ips {
		for _, c := range b.keys[addressKey(o.site, ip)] {
			bare := len(c.d.GetMac()) == 0
			if b.mayBeAt(c, o, bare) {
				take(c, bare && (len(o.macs) > 0 || o.serial != "" || o.engine != ""))
			}
		}
	}
	return r, same
}

// proof is a key that names one device only, and how much may speak against it.
type proof struct {
	key   string
	named bool // only together with a name
}

func proofsOf(o *sighting) []proof {
	var ps []proof
	if o.serial != "" {
		ps = append(ps, proof{key: serialKey(o.serial)})
	}
	if o.engine != "" {
		ps = append(ps, proof{key: keyEngine + o.engine})
	}
	for _, a := range o.aliases {
		ps = append(ps, proof{key: keyAlias + a})
	}
	for _, k := range o.hostKeys {
		ps = append(ps, proof{key: keyHostKey + k, named: true})
	}
	for _, k := range o.certificates {
		ps = append(ps, proof{key: keyCertificate + k, named: true})
	}
	return ps
}

// provedBy gives the devices that a key proves to be the observed one.
func (b *Book) provedBy(p proof, o *sighting) []*record {
	cands := b.keys[p.key]
	strong := !p.named && (p.key[:2] == keySerial || p.key[:2] == keyEngine)
	if !strong && len(cands) > common {
		return nil
	}
	var out []*record
	for _, c := range cands {
		switch {
		case otherChassis(c, o), p.key[:2] == keySerial && otherMaker(c, o):
		case strong:
			out = append(out, c)
		case p.named && (!c.sharesName(o.names) || otherHostKey(c, o)):
		case !p.named && (otherNames(c, o) || otherHostKey(c, o)):
		default:
			out = append(out, c)
		}
	}
	return out
}

// otherChassis reports whether a serial number, or where there is none an engine id, of
// the same source says that it is another device.
func otherChassis(c *record, o *sighting) bool {
	if o.serial != "" && c.d.GetSerialNumber() != "" && c.Facts[factSerial].Rank == o.rank {
		return c.d.GetSerialNumber() != o.serial
	}
	return o.serial == "" && o.engine != "" && c.d.GetEngineId() != "" && c.d.GetEngineId() != o.engine && len(o.macs) == 0
}

// otherMaker reports whether a short serial number, such as many makers may give, is of
// another vendor.
func otherMaker(c *record, o *sighting) bool {
	first := func(vendor string) string {
		word, _, _ := strings.Cut(strings.ToLower(vendor), " ")
		return word
	}
	x, y := first(c.d.GetVendor()), first(entity.Maker(o.in.GetVendor()))
	return len(o.serial) < 8 && x != "" && y != "" && x != y
}

// otherNames reports whether both call themselves something, and nothing the same.
func otherNames(c *record, o *sighting) bool {
	own := c.announced()
	if !o.announced || len(o.names) == 0 || len(own) == 0 {
		return false
	}
	return !slices.ContainsFunc(o.names, func(n string) bool { return slices.Contains(own, shortName(n)) })
}

// sharesName reports whether one of names is one of its own, and of few others.
func (r *record) sharesName(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		short := shortName(n)
		return !generic(short) && r.called(short)
	})
}

// otherHostKey reports whether both have host keys on one port, and not the same.
func otherHostKey(c *record, o *sighting) bool {
	for _, p := range o.in.GetPorts() {
		for _, q := range c.d.GetPorts() {
			if p.GetPort() == q.GetPort() && p.GetProtocol() == q.GetProtocol() && p.GetHostKey() != "" && q.GetHostKey() != "" &&
				p.GetHostKey() != q.GetHostKey() {
				return true
			}
		}
	}
	return false
}

// contradict reports whether two devices cannot be one.
func contradict(a, b *record) bool {
	x, y := a.d, b.d
	if x.GetSerialNumber() != "" && y.GetSerialNumber() != "" && a.Facts[factSerial].Rank == b.Facts[factSerial].Rank {
		return x.GetSerialNumber() != y.GetSerialNumber()
	}
	return false
}

// behind finds the device behind a MAC address: nil if there is none, or if the
// observation is of another host behind it.
func (b *Book) behind(mac string, o *sighting) *record {
	cands := b.keys[keyMAC+mac]
	if len(cands) == 0 {
		return nil
	}
	for _, c := range append(holdersAmong(cands, o.ips), cands...) {
		if slices.ContainsFunc(o.ips, func(ip netip.Addr) bool { return c.had(ip.String(), mac) }) && !otherChassis(c, o) && b.mayTell(c, o) {
			return c
		}
	}
	own := nameSake(cands, o)
	_, shared := b.shared[mac]
	switch {
	case own != nil && b.mayTell(own, o) && !otherChassis(own, o):
		return own
	case shared && slices.ContainsFunc(o.ips, netip.Addr.Is4):
		return nil
	}
	c := cands[0]
	if !b.mayTell(c, o) || otherChassis(c, o) {
		return nil
	}
	if b.atOnce(c, mac, o) && (otherNames(c, o) || otherHostKey(c, o)) {
		b.share(mac)
		return nil
	}
	return c
}

// holdersAmong gives those of cands that have one of the addresses now.
func holdersAmong(cands []*record, ips []netip.Addr) []*record {
	var out []*record
	for _, c := range cands {
		if slices.ContainsFunc(ips, func(ip netip.Addr) bool { return c.holds(ip.String()) != nil }) {
			out = append(out, c)
		}
	}
	return out
}

// nameSake is the device among cands that has the observed name.
func nameSake(cands []*record, o *sighting) *record {
	for _, c := range cands {
		if c.sharesName(o.names) {
			return c
		}
	}
	return nil
}

// atOnce reports whether the device was seen lately behind mac at another IPv4 address
// than the observed ones.
func (b *Book) atOnce(c *record, mac string, o *sighting) bool {
	if !slices.ContainsFunc(o.ips, netip.Addr.Is4) {
		return false
	}
	return c.live(mac, o.now-recently) > 0
}

// mayTell reports whether the observer may mean this device: it knows it by no other uid,
// or it names none.
func (b *Book) mayTell(c *record, o *sighting) bool {
	uid, at := c.toldBy(o.observer)
	return o.uid == "" || uid == "" || uid == o.uid || slices.Contains(o.former, uid) || o.now-at > int64(b.o.ForgetAfter.Seconds())
}

// mayBeAt reports whether an observation at the IP address of a device is of it. Two MAC
// addresses are two devices.
func (b *Book) mayBeAt(c *record, o *sighting, bare bool) bool {
	if !b.mayTell(c, o) || otherChassis(c, o) {
		return false
	}
	switch {
	case bare || slices.ContainsFunc(o.telling, func(m string) bool { return slices.Contains(c.d.GetMac(), m) }):
		return true
	case len(o.telling) > 0:
		return false
	}
	return !c.Gone
}

// renewed finds the device that an observation with a new randomised MAC address is of:
// one of that name with such addresses alone, which is not there any more.
func (b *Book) renewed(o *sighting) *record {
	if len(o.telling) == 0 || !o.announced || !isLocal(o.telling[0]) {
		return nil
	}
	var found *record
	for _, n := range o.names {
		short := shortName(n)
		if generic(short) {
			continue
		}
		cands := b.keys[keyName+short]
		if len(cands) > common {
			continue
		}
		for _, c := range cands {
			moved := o.now-c.Last > recently ||
				slices.ContainsFunc(o.ips, func(ip netip.Addr) bool { return c.holds(ip.String()) != nil })
			if !moved || !c.d.GetMacRandomized() || otherHostKey(c, o) || otherChassis(c, o) || !b.mayTell(c, o) {
				continue
			}
			if found != nil && found != c {
				return nil // which of them?
			}
			found = c
		}
	}
	return found
}
