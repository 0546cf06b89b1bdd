package inventory

import (
	"container/list"
	"net/netip"
	"slices"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// record is one device.
type record struct {
	d *pb.DeviceInventory // the state that others see
	memory
	keys  []string      // in the index
	place *list.Element // among the fresh ones; nil if it is not
}

// memory is what a Book knows of a device beyond its state. Times are Unix seconds.
type memory struct {
	Facts   [facts]standing `json:"facts"`
	Names   []name          `json:"names,omitempty"`
	Held    []held          `json:"held,omitempty"`   // IP addresses that it has
	Ports   []open          `json:"ports,omitempty"`  // beside those of the state, by their order
	Linked  []linked        `json:"linked,omitempty"` // beside the links of the state, by their order
	History []Binding       `json:"history,omitempty"`
	Told    []told          `json:"told,omitempty"`
	First   int64           `json:"first"`
	Last    int64           `json:"last"`
	Gone    bool            `json:"gone,omitempty"`
}

// standing is where a fact comes from.
type standing struct {
	Rank     int    `json:"rank,omitempty"`
	Observer string `json:"observer,omitempty"`
	At       int64  `json:"at,omitempty"`
}

// name is what a device is called. Announced says that it calls itself so.
type name struct {
	Text      string `json:"text"`
	Rank      int    `json:"rank"`
	Announced bool   `json:"announced,omitempty"`
	At        int64  `json:"at"`
}

// held is an address that a device has. Listed says that the device itself listed it
// among others, so that it is no sign of where packets for it go.
type held struct {
	IP       string `json:"ip"`
	MAC      string `json:"mac,omitempty"`
	Site     string `json:"site,omitempty"`
	Observer string `json:"observer"`
	Listed   bool   `json:"listed,omitempty"`
	First    int64  `json:"first"`
	Last     int64  `json:"last"`
}

// open is who saw a port open, and how well they knew what it is.
type open struct {
	Observer string `json:"observer"`
	Rank     int    `json:"rank"`
	At       int64  `json:"at"`
}

// told is by which uid an observer knows the device.
type told struct {
	Observer string `json:"observer"`
	UID      string `json:"uid,omitempty"`
	At       int64  `json:"at"`
}

// maxObservers is how many observers are remembered for each device.
const maxObservers = 16

// facts that have one value.
const (
	factVendor = iota
	factOS
	factVersion
	factClass
	factModel
	factSerial
	factEngine
	factSubnet
	factCPE
	facts
)

func (r *record) holds(ip string) *held {
	for i := range r.Held {
		if r.Held[i].IP == ip {
			return &r.Held[i]
		}
	}
	return nil
}

// had reports whether it has the address, or had it behind this MAC address.
func (r *record) had(ip, mac string) bool {
	return r.holds(ip) != nil || slices.ContainsFunc(r.History, func(h Binding) bool { return h.IP == ip && h.MAC == mac })
}

// live counts the IPv4 addresses seen behind mac since a time, and not listed.
func (r *record) live(mac string, since int64) int {
	n := 0
	for _, h := range r.Held {
		if h.MAC == mac && !h.Listed && h.Last >= since && is4(h.IP) {
			n++
		}
	}
	return n
}

func is4(ip string) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && a.Is4()
}

// toldBy is the uid by which an observer knows it, and when it said so.
func (r *record) toldBy(observer string) (uid string, at int64) {
	for _, t := range r.Told {
		if t.Observer == observer {
			return t.UID, t.At
		}
	}
	return "", 0
}

// noteTold remembers an observer, and reports whether it names the device by another uid
// than before. The one silent for longest makes room.
func (r *record) noteTold(o *sighting) bool {
	for i := range r.Told {
		if t := &r.Told[i]; t.Observer == o.observer {
			fresh := o.uid != "" && o.uid != t.UID
			if fresh {
				t.UID = o.uid
			}
			t.At = max(t.At, o.now)
			return fresh
		}
	}
	if len(r.Told) >= maxObservers {
		oldest := 0
		for i, t := range r.Told {
			if t.At < r.Told[oldest].At {
				oldest = i
			}
		}
		r.Told = slices.Delete(r.Told, oldest, oldest+1)
	}
	r.Told = append(r.Told, told{Observer: o.observer, UID: o.uid, At: o.now})
	return o.uid != ""
}

// announced gives the short names that it calls itself by.
func (r *record) announced() []string {
	var own []string
	for _, n := range r.Names {
		if n.Announced {
			own = append(own, shortName(n.Text))
		}
	}
	return own
}

// called reports whether one of its names has this short form.
func (r *record) called(short string) bool {
	return slices.ContainsFunc(r.Names, func(n name) bool { return shortName(n.Text) == short })
}
