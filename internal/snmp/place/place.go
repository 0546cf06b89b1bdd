// Package place tells where each MAC address is plugged in, from what switches say
// of themselves: their forwarding tables, the neighbours that they hear by LLDP and
// CDP, and the address tables of routers. It knows no SNMP and sends nothing: whoever
// polls gives it tables (Learn, Resolve) and asks now and then what has changed (Settle).
//
// A MAC is in the forwarding table of every switch on the way to it. The port that it is
// plugged in is found by leaving out those that lead on to other switches:
//
//	port                                             | is
//	-------------------------------------------------+-------
//	a neighbour heard there bridges or routes        | uplink
//	a neighbour heard there is a switch that we poll | uplink
//	an own MAC of another polled switch is seen there| uplink
//	more MACs are seen there than Options.Crowd      | uplink
//	any other                                        | edge
//
// An uplink is never a place. Of several edge ports the one with the fewest MACs is
// nearest to the device; among equals the one where it appeared last, since the others
// have only not forgotten it yet.
package place

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// MAC is an Ethernet address.
type MAC [6]byte

// String is the form that events use, such as "00:00:5e:00:53:01".
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// isStation says that m can belong to one device: neither nobody's nor a group's.
func (m MAC) isStation() bool { return m != MAC{} && m[0]&1 == 0 }

func compareMACs(a, b MAC) int { return slices.Compare(a[:], b[:]) }

// How a place is known.
const (
	SourceFDB  = "fdb"  // by a forwarding table (RFC 4188, RFC 4363)
	SourceLLDP = "lldp" // by what the device itself said (IEEE 802.1AB)
	SourceCDP  = "cdp"
)

// Entry is one line of a forwarding table: behind this port is this MAC.
type Entry struct {
	MAC  MAC
	VLAN uint16 // 0 where the table does not say
	Port uint32 // ifIndex
}

// Neighbor is what a switch hears at a port by LLDP or CDP.
type Neighbor struct {
	Source string // SourceLLDP or SourceCDP
	Port   uint32 // ifIndex
	MAC    MAC    // zero where it does not say
	Name   string
	// Bridges says that it bridges or routes, so that others may be behind it. Phones,
	// though they do bridge for one computer, and servers do not count.
	Bridges bool
}

// Switch is everything that is known of one switch now. Whoever gives it to Learn does
// not change it any more.
type Switch struct {
	UID, Name, IP string
	// MACs are its own: of its bridge and its interfaces.
	MACs []MAC
	// Ports are the names of its interfaces by ifIndex.
	Ports map[uint32]string
	// Members are the ifIndex of aggregates by those of the ports that make them up
	// (IEEE 802.1AX): neighbours are heard at the latter, MACs seen at the former.
	Members   map[uint32]uint32
	Entries   []Entry
	Neighbors []Neighbor
}

// Place is a port of a switch, and when a MAC was there.
type Place struct {
	SwitchUID, SwitchName, SwitchIP string
	IfIndex                         uint32
	Port                            string // ifName
	VLAN                            uint16
	Source                          string
	// Since is when it was seen there first, Until when it was seen elsewhere; zero while
	// it is there.
	Since, Until time.Time
}

// Kind is what has changed.
type Kind uint8

// The kinds of Move.
const (
	// Appeared is a MAC that had no place before.
	Appeared Kind = iota + 1
	// Moved is a MAC that was at another port before.
	Moved
	// Flapping is a MAC that goes to and fro between ports. It is told once; nothing more
	// is told of it until it has stayed for Options.FlapWindow.
	Flapping
)

// Move is one change of a place.
type Move struct {
	Kind Kind
	MAC  MAC
	// IPs are its addresses, those seen last first.
	IPs      []netip.Addr
	New, Old Place
}

// Options are bounds; zero values mean the defaults.
type Options struct {
	// Crowd is above how many MACs a port counts as an uplink; 24.
	Crowd int
	// MaxMACs is how many are known; further ones are left out and counted; 200,000.
	MaxMACs int
	// Forget is after how long without being seen a MAC is forgotten; 30 days.
	Forget time.Duration
	// Age is how much time has passed since the clock showed a time, where that is known
	// better than by subtraction, as by a clock.Clock: the clock may have been set.
	Age func(time.Time) time.Duration
	// FlapMoves is how many moves within FlapWindow are flapping, 2 to 4; 3 in 30 minutes.
	FlapMoves  int
	FlapWindow time.Duration
}

// maxFlapMoves bounds Options.FlapMoves.
const maxFlapMoves = 4

func (o Options) withDefaults() Options {
	o.Crowd = cmp.Or(max(o.Crowd, 0), 24)
	o.MaxMACs = cmp.Or(max(o.MaxMACs, 0), 200_000)
	o.Forget = cmp.Or(max(o.Forget, 0), 30*24*time.Hour)
	o.FlapMoves = min(max(cmp.Or(o.FlapMoves, 3), 2), maxFlapMoves)
	o.FlapWindow = cmp.Or(max(o.FlapWindow, 0), 30*time.Minute)
	return o
}

// since is how many seconds ago something was seen, as far as that is known.
func (o *Options) since(seen, now int64) int64 {
	ago := now - seen
	if o.Age != nil {
		ago = min(ago, int64(o.Age(time.Unix(seen, 0))/time.Second))
	}
	return ago
}

// Map holds what is known of all switches and places. It is not safe for concurrent use.
type Map struct {
	o        Options
	switches []*table
	byUID    map[string]uint32 // index in switches
	known    map[MAC]*station
	ips      map[MAC][]resolved
	round    uint32
	leftOut  uint64
}

// New returns an empty Map.
func New(o Options) *Map {
	return &Map{o: o.withDefaults(), byUID: map[string]uint32{}, known: map[MAC]*station{}, ips: map[MAC][]resolved{}}
}

// Stats are counts for metrics.
type Stats struct {
	Switches, MACs, Addresses int
	// LeftOut counts what found no room for Options.MaxMACs.
	LeftOut uint64
}

// Stats returns the counts.
func (m *Map) Stats() Stats {
	s := Stats{MACs: len(m.known), Addresses: len(m.ips), LeftOut: m.leftOut}
	for _, t := range m.switches {
		if len(t.entries) > 0 || len(t.neighbors) > 0 {
			s.Switches++
		}
	}
	return s
}

// Where returns the place of a MAC and the one before, whose SwitchUID is empty without
// one; false where there is none.
func (m *Map) Where(mac MAC) (at, before Place, ok bool) {
	s := m.known[mac]
	if s == nil || s.at == (spot{}) {
		return Place{}, Place{}, false
	}
	at, before = m.place(s.at, s.since, 0), m.place(s.before, s.beforeSince, s.since)
	return at, before, true
}

// Each calls yield with every MAC that has a place, in their order, until it returns false.
func (m *Map) Each(yield func(MAC) bool) {
	macs := make([]MAC, 0, len(m.known))
	for mac, s := range m.known {
		if s.at != (spot{}) {
			macs = append(macs, mac)
		}
	}
	slices.SortFunc(macs, compareMACs)
	for _, mac := range macs {
		if !yield(mac) {
			return
		}
	}
}

// place writes a spot; times are Unix seconds, 0 for none.
func (m *Map) place(at spot, since, until int64) Place {
	if at == (spot{}) {
		return Place{}
	}
	t := m.switches[at.on-1]
	p := Place{
		SwitchUID: t.uid, SwitchName: t.name, SwitchIP: t.ip,
		IfIndex: at.port, Port: t.ports[at.port], VLAN: at.vlan, Source: at.source.String(), Since: time.Unix(since, 0),
	}
	if p.Port == "" {
		p.Port = fmt.Sprintf("port %d", at.port)
	}
	if until != 0 {
		p.Until = time.Unix(until, 0)
	}
	return p
}
