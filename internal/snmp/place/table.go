package place

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// table is what is kept of one switch.
type table struct {
	uid, name, ip string
	ports         map[uint32]string
	members       map[uint32]uint32
	macs          []MAC
	entries       []kept // by MAC, VLAN, port; no two alike
	neighbors     []Neighbor
}

// kept is an Entry, and since when it is in the table, in Unix seconds.
type kept struct {
	Entry
	since int64
}

func compareEntries(a, b Entry) int {
	return cmp.Or(compareMACs(a.MAC, b.MAC), cmp.Compare(a.VLAN, b.VLAN), cmp.Compare(a.Port, b.Port))
}

// Learn takes the tables of a switch in place of those before.
func (m *Map) Learn(now time.Time, s Switch) {
	if s.UID == "" {
		return
	}
	t := m.table(s.UID)
	t.name, t.ip, t.macs, t.neighbors = s.Name, s.IP, s.MACs, s.Neighbors
	t.members = s.Members
	if len(s.Ports) > 0 { // names of ports that were, too: places refer to them
		t.ports = s.Ports
	}
	fresh := slices.DeleteFunc(slices.Clone(s.Entries), func(e Entry) bool { return !e.MAC.isStation() || e.Port == 0 })
	slices.SortFunc(fresh, compareEntries)
	fresh = slices.Compact(fresh)
	if over := len(fresh) - m.o.MaxMACs; over > 0 {
		m.leftOut += uint64(over)
		fresh = fresh[:m.o.MaxMACs]
	}
	entries := make([]kept, len(fresh))
	old := t.entries
	for i, e := range fresh {
		for len(old) > 0 && compareEntries(old[0].Entry, e) < 0 {
			old = old[1:]
		}
		entries[i] = kept{e, now.Unix()}
		if len(old) > 0 && old[0].Entry == e {
			entries[i].since = old[0].since
		}
	}
	t.entries = entries
}

// Drop forgets the tables of a switch that is polled no more; what it placed stays.
func (m *Map) Drop(uid string) {
	if i, ok := m.byUID[uid]; ok {
		t := m.switches[i]
		t.entries, t.neighbors, t.macs, t.members = nil, nil, nil, nil
	}
}

// Rename makes places on one switch places on another uid, as when more is known of it.
func (m *Map) Rename(from, to string) {
	i, ok := m.byUID[from]
	if _, taken := m.byUID[to]; !ok || taken || to == "" {
		return
	}
	delete(m.byUID, from)
	m.byUID[to] = i
	m.switches[i].uid = to
}

func (m *Map) table(uid string) *table {
	i, ok := m.byUID[uid]
	if !ok {
		i = uint32(len(m.switches))
		m.byUID[uid] = i
		m.switches = append(m.switches, &table{uid: uid})
	}
	return m.switches[i]
}

// Address is one line of an ARP or neighbour table (RFC 4293, ipNetToPhysicalTable).
type Address struct {
	MAC MAC
	IP  netip.Addr
}

// resolved is an address of a MAC and when it was seen last, in Unix seconds.
type resolved struct {
	ip   netip.Addr
	seen int64
}

// Bounds of addresses.
const (
	// maxIPs is how many addresses of a MAC are kept: a router that answers for others
	// (proxy ARP) has thousands.
	maxIPs = 8
	// staleIP is after how long an address is no longer a MAC's, in seconds.
	staleIP = 24 * 3600
)

// Resolve takes the address table of a router or switch beside what is known.
func (m *Map) Resolve(now time.Time, addresses []Address) {
	for _, a := range addresses {
		ip := a.IP.Unmap().WithZone("")
		if !a.MAC.isStation() || !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() {
			continue
		}
		list, have := m.ips[a.MAC]
		if !have && len(m.ips) >= m.o.MaxMACs {
			m.leftOut++
			continue
		}
		i := slices.IndexFunc(list, func(r resolved) bool { return r.ip == ip })
		if i < 0 && len(list) < maxIPs {
			i = len(list)
			list = append(list, resolved{})
		} else if i < 0 {
			i = oldest(list)
		}
		list[i] = resolved{ip, now.Unix()}
		m.ips[a.MAC] = list
	}
}

func oldest(list []resolved) int {
	at := 0
	for i, r := range list {
		if r.seen < list[at].seen {
			at = i
		}
	}
	return at
}

// IPs returns the addresses of a MAC, those seen last first.
func (m *Map) IPs(mac MAC) []netip.Addr {
	list := slices.Clone(m.ips[mac])
	slices.SortFunc(list, func(a, b resolved) int { return cmp.Or(cmp.Compare(b.seen, a.seen), a.ip.Compare(b.ip)) })
	out := make([]netip.Addr, 0, len(list))
	for _, r := range list {
		out = append(out, r.ip)
	}
	return out
}

// forgetIPs drops addresses that were not seen for long.
func (m *Map) forgetIPs(now int64) {
	for mac, list := range m.ips {
		list = slices.DeleteFunc(list, func(r resolved) bool { return m.o.since(r.seen, now) > staleIP })
		if len(list) == 0 {
			delete(m.ips, mac)
			continue
		}
		m.ips[mac] = list
	}
}
