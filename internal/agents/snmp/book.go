package snmp

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// book is the list of devices. A device is in it from when it has answered, or is named
// in the configuration, for good; its order is that of addresses.
type book struct {
	most int

	mu      sync.Mutex // guards what follows; taken before a device's own
	byAddr  map[netip.AddrPort]*device
	list    []*device
	leftOut uint64
	past    map[netip.AddrPort]kept // of before the start, until its device is added
	later   func(*device) time.Time // when such a device is polled first
	wake    chan struct{}           // that the list, or a time in it, has changed
}

func newBook(most int) *book {
	return &book{most: most, byAddr: map[netip.AddrPort]*device{}, wake: make(chan struct{}, 1)}
}

// add returns the device at an address, which is new where it was not known. It is nil
// where there is no room.
func (b *book) add(at netip.AddrPort, target string) (d *device, fresh bool) {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.byAddr[at]; d != nil {
		if target != "" {
			d.mu.Lock()
			d.target = target
			d.mu.Unlock()
		}
		return d, false
	}
	if len(b.list) >= b.most {
		b.leftOut++
		return nil, false
	}
	d = newDevice(at, target)
	if k, known := b.past[at]; known {
		d.kept, d.next = k, b.later(d)
		delete(b.past, at)
	}
	b.byAddr[at] = d
	i, _ := slices.BinarySearchFunc(b.list, at, func(d *device, at netip.AddrPort) int { return d.at.Compare(at) })
	b.list = slices.Insert(b.list, i, d)
	b.signal()
	return d, true
}

// signal wakes who waits for the next device. It never blocks.
func (b *book) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// all are the devices, in order.
func (b *book) all() []*device {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.list)
}

// at returns a device by its address.
func (b *book) at(addr netip.AddrPort) *device {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byAddr[netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())]
}

// find returns devices by address, address and port, uid, or name.
func (b *book) find(text string) []*device {
	text = strings.ToLower(strings.TrimSpace(text))
	var out []*device
	for _, d := range b.all() {
		d.mu.Lock()
		names := []string{d.at.String(), d.at.Addr().String(), d.UID, d.Name, d.target}
		d.mu.Unlock()
		if text != "" && slices.ContainsFunc(names, func(n string) bool { return strings.ToLower(n) == text }) {
			out = append(out, d)
		}
	}
	return out
}

// heard returns the device that a trap came from.
func (b *book) heard(from netip.Addr) *device {
	var found *device
	for _, d := range b.all() {
		if d.at.Addr() != from {
			continue
		}
		if found != nil {
			return nil // several agents on one host
		}
		found = d
	}
	return found
}

// counts say how many devices there are.
type counts struct {
	devices, silent, aliases int
	leftOut                  uint64
}

func (b *book) count() counts {
	var c counts
	for _, d := range b.all() {
		d.mu.Lock()
		switch {
		case d.AliasOf != "":
			c.aliases++
		case d.failures > 0:
			c.devices++
			c.silent++
		default:
			c.devices++
		}
		d.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c.leftOut = b.leftOut
	return c
}

// twin is another device with the same uid that answers, or nil. An engine id or a serial
// number may be copied, as with a machine's disk, and a MAC address shared: of the same
// device both addresses have the same name too.
func (b *book) twin(of *device, uid, name string) *device {
	for _, d := range b.all() {
		if d == of {
			continue
		}
		d.mu.Lock()
		same := d.UID == uid && d.Name == name && d.AliasOf == "" && d.failures == 0 && !d.inventory.IsZero()
		d.mu.Unlock()
		if same {
			return d
		}
	}
	return nil
}

// aliases are the other addresses of a device.
func (b *book) aliases(uid string) []*device {
	return slices.DeleteFunc(b.all(), func(d *device) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.AliasOf == "" || d.AliasOf != uid
	})
}

// kept is what outlasts a restart.
func (b *book) kept() []kept {
	var out []kept
	for _, d := range b.all() {
		d.mu.Lock()
		if !d.LastSeen.IsZero() {
			out = append(out, d.kept)
		}
		d.mu.Unlock()
	}
	return out
}

// restore puts back what was kept of devices, as they are added; those in the subnets at
// once. They are polled at their phase, so that a restart is no burst.
func (b *book) restore(m memory, covers func(netip.AddrPort) bool, now time.Time, interval time.Duration) {
	b.mu.Lock()
	b.past = map[netip.AddrPort]kept{}
	b.later = func(d *device) time.Time { return d.due(now, interval) }
	var list []netip.AddrPort
	for _, k := range m.Devices[:min(len(m.Devices), b.most)] {
		if at, err := netip.ParseAddrPort(k.Addr); err == nil {
			b.past[at] = k
			list = append(list, at)
		}
	}
	b.mu.Unlock()
	for _, at := range list {
		if covers(at) {
			b.add(at, "")
		}
	}
}
