// Package inventory decides which observations are of one device, and keeps what is
// known of each.
//
// An observation is a pb.DeviceInventory of which only some attributes are set: what
// is empty is unknown, and takes nothing away. A Book folds observations of many
// observers into one state for each device, and tells what changed. Where it is the
// same device:
//
//	what an observation shares with a device      it is the same device
//	uid, or a former uid                          yes: its observer has decided that
//	serial number, SNMP engine id                 yes, however many addresses it has
//	DHCP, mDNS or SSDP id                         yes, unless names or host keys differ
//	SSH host key or certificate, and a name       yes, unless a serial number differs
//	MAC address                                   yes, unless several hosts are behind it:
//	                                              too many IPv4 addresses at once, or two at
//	                                              once that call themselves differently
//	name, of randomised MAC addresses             yes, unless both are there at once
//	IP address                                    only if one of the two has no MAC address
//
// A MAC address that routers share (VRRP, HSRP, GLBP) proves nothing, nor does a name
// such as "localhost", nor a key that many devices have. Where two facts disagree, the
// one of the better source stands (see rank); at equal rank the one that stood, until
// its own observer says otherwise or has long been silent.
//
// A uid is that of entity.DeviceUID and changes only when a stronger kind of fact
// becomes known, or two devices prove to be one; former_uids keeps the ones before.
//
// Everything is bounded: devices, addresses, names, ports and history of each. What
// has no room is counted in Stats.
package inventory

import (
	"container/list"
	"iter"
	"slices"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Options bound a Book. The zero value of a field is its default.
type Options struct {
	// MaxDevices is how many devices there may be; 50,000. One that comes when there are
	// as many takes the place of one that was seen for a short time only or is gone; if
	// there is none such, it is refused.
	MaxDevices int
	// MaxAddresses and MaxNames are how many a device may have; 64 and 16. MaxPorts is
	// 1,024, and MaxHistory of addresses that it had 64.
	MaxAddresses, MaxNames, MaxPorts, MaxHistory int
	// AddressesPerMAC is how many IPv4 addresses may be seen behind one MAC address
	// within a quarter of an hour before they count as hosts of their own; 5.
	AddressesPerMAC int
	// GoneAfter is after what silence a device is gone; a day. ForgetAfter is after what
	// silence it is forgotten; 90 days. AddressAfter is after what silence about an
	// address a device that is seen at another one has it no longer; three days.
	GoneAfter, ForgetAfter, AddressAfter time.Duration
	// Age is how much time has passed since the clock showed a time, where that is known
	// better than by subtraction, as by a clock.Clock; the clock may have been set.
	Age func(time.Time) time.Duration
}

func (o Options) filled() Options {
	number := func(n *int, is int) {
		if *n <= 0 {
			*n = is
		}
	}
	span := func(d *time.Duration, is time.Duration) {
		if *d <= 0 {
			*d = is
		}
	}
	number(&o.MaxDevices, 50_000)
	number(&o.MaxAddresses, 64)
	number(&o.MaxNames, 16)
	number(&o.MaxPorts, 1024)
	number(&o.MaxHistory, 64)
	number(&o.AddressesPerMAC, 5)
	span(&o.GoneAfter, 24*time.Hour)
	span(&o.ForgetAfter, 90*24*time.Hour)
	span(&o.AddressAfter, 3*24*time.Hour)
	return o
}

// Stats are counts since a Book was made.
type Stats struct {
	// Devices are there now, Gone those of them that are gone.
	Devices, Gone int
	// Unidentified are observations without anything that tells a device from others;
	// Refused are devices for which there was no room, Evicted those that made room, and
	// Cut the addresses, names, ports and ids that a device had too many of.
	Unidentified, Refused, Evicted, Cut uint64
	// Merged are devices that became one with another, Split those that proved to be
	// several.
	Merged, Split uint64
	// ClockBack is how often a time came before one that had been.
	ClockBack uint64
}

// Book holds what is known of devices. It is not safe for concurrent use. Times that it
// is given are those that the caller's clock believes in; it goes by seconds.
type Book struct {
	o      Options
	keys   map[string][]*record // what names a device, see keysOf
	all    map[*record]struct{}
	fresh  *list.List          // records seen for a short time, the one seen longest ago first
	shared map[string]struct{} // MAC addresses with several hosts behind
	now    int64               // the latest time, Unix seconds
	stats  Stats
}

// New returns an empty Book.
func New(o Options) *Book {
	return &Book{
		o: o.filled(), keys: map[string][]*record{}, all: map[*record]struct{}{}, fresh: list.New(),
		shared: map[string]struct{}{},
	}
}

// Observe folds in what observer saw at now of a device; what d does not say stays as it
// is. observer names the host, and behind a slash the agent: "gate/device_scanner".
// Private IP addresses are those of the host's surroundings, so that two hosts may know
// different devices at one address. Nothing of d is kept or changed.
func (b *Book) Observe(now time.Time, observer string, d *pb.DeviceInventory) []Change {
	return b.fold(now, observer, d, nothing, partial)
}

// Scanned says whether a port was looked for: "tcp" or "udp", and its number.
type Scanned func(protocol string, port uint32) bool

// extent is how much of a device an observation tells.
type extent uint8

const (
	partial extent = iota
	scanned
	whole
)

func nothing(string, uint32) bool    { return false }
func everything(string, uint32) bool { return true }

// ObserveScan is Observe of a scan: ports that were looked for and are not in d are
// closed, whoever saw them open.
func (b *Book) ObserveScan(now time.Time, observer string, d *pb.DeviceInventory, looked Scanned) []Change {
	return b.fold(now, observer, d, looked, scanned)
}

// ObserveState is Observe of all that observer knows of a device, as device.discovered
// and device.changed of a scanner tell it: ports and IP addresses that it told before
// and does not any more are no longer.
func (b *Book) ObserveState(now time.Time, observer string, d *pb.DeviceInventory) []Change {
	return b.fold(now, observer, d, everything, whole)
}

func (b *Book) fold(now time.Time, observer string, d *pb.DeviceInventory, looked Scanned, e extent) []Change {
	o := b.sight(now, observer, d)
	if o == nil {
		b.stats.Unidentified++
		return nil
	}
	o.looked, o.whole, o.scanned = looked, e == whole, e == scanned
	r, same := b.match(o)
	fresh := r == nil
	if fresh {
		if r = b.enter(o); r == nil {
			return nil
		}
	}
	t := tally{}
	for _, other := range same {
		t.merged = append(t.merged, b.absorb(r, other)...)
	}
	b.apply(r, o, &t)
	changes := make([]Change, 0, 1)
	others := b.takeAddresses(r, o)
	if fresh || t.told || len(t.attributes) > 0 || len(t.merged) > 0 {
		b.settle(r)
		b.index(r)
	}
	if c, is := r.change(fresh, &t); is {
		changes = append(changes, c)
	}
	return append(changes, slices.Concat(others, b.splitCrowd(r, o))...)
}

// Devices gives all devices in no order. What it gives belongs to the Book: it must not
// be changed, and is valid until the next call of another method.
func (b *Book) Devices() iter.Seq[*pb.DeviceInventory] {
	return func(yield func(*pb.DeviceInventory) bool) {
		for r := range b.all {
			if !yield(r.d) {
				return
			}
		}
	}
}

// Latest is the latest time at which a device was seen; the zero time where there is none.
func (b *Book) Latest() time.Time {
	latest := int64(0)
	for r := range b.all {
		latest = max(latest, r.Last)
	}
	if latest == 0 {
		return time.Time{}
	}
	return unix(latest)
}

// Len is how many devices there are.
func (b *Book) Len() int { return len(b.all) }

// Stats returns the counts.
func (b *Book) Stats() Stats {
	s := b.stats
	s.Devices = len(b.all)
	for r := range b.all {
		if r.Gone {
			s.Gone++
		}
	}
	return s
}

// Gone reports whether the device with this uid is gone, and false for one that is not
// known.
func (b *Book) Gone(uid string) bool {
	for _, r := range b.keys[keyUID+uid] {
		return r.Gone
	}
	return false
}

// Binding is an IP address that a device had.
type Binding struct {
	IP  string `json:"ip"`
	MAC string `json:"mac,omitempty"` // empty where it is not known
	// First and Last are when it was seen so.
	First int64 `json:"first"` // Unix seconds
	Last  int64 `json:"last"`
}

// History gives the addresses that a device had and has, the oldest first; nil for one
// that is not known.
func (b *Book) History(uid string) []Binding {
	for _, r := range b.keys[keyUID+uid] {
		return slices.Clone(r.History)
	}
	return nil
}

// Observers are those who told of the device with this uid.
func (b *Book) Observers(uid string) []string {
	var names []string
	for _, r := range b.keys[keyUID+uid] {
		for _, t := range r.Told {
			names = append(names, t.Observer)
		}
	}
	return names
}

// Find gives the devices that text names: by uid or former uid, IP address, MAC address
// however it is written, serial number, or name, whole or its first label, in any case. As
// with Devices, they belong to the Book.
func (b *Book) Find(text string) []*pb.DeviceInventory {
	records := b.find(text)
	found := make([]*pb.DeviceInventory, len(records))
	for i, r := range records {
		found[i] = r.d
	}
	return found
}

// Forget removes the devices that text names as a uid, and reports whether there was
// one.
func (b *Book) Forget(uid string) bool {
	found := slices.Clone(b.keys[keyUID+uid])
	for _, r := range found {
		b.remove(r)
	}
	return len(found) > 0
}
