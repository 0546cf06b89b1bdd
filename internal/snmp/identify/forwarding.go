package identify

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/amoskys/amoskys/internal/snmp/module"
)

// Forwarding is a MAC address that a switch has learnt, and where.
type Forwarding struct {
	MAC string
	// IfIndex is the interface that it is behind.
	IfIndex uint32
	// VLAN is 0 where the switch does not tell.
	VLAN uint32
}

// Forwardings are what a switch has learnt: Q-BRIDGE-MIB with VLANs (RFC 4363), else
// BRIDGE-MIB (RFC 4188). What it did not learn, such as its own addresses, is left out,
// and so are groups. A bridge's port is translated into its interface; where the switch
// does not tell that, the port's number is taken for it, as agents that leave it out
// number them alike.
func Forwardings(tables *module.Tables) []Forwarding {
	out := learnt(tables, tables.Rows("dot1qTpFdbTable"), "dot1qTpFdb")
	if len(out) == 0 {
		out = learnt(tables, tables.Rows("dot1dTpFdbTable"), "dot1dTpFdb")
	}
	return out
}

func learnt(tables *module.Tables, rows *module.Rows, name string) []Forwarding {
	vlans := vlanOf(tables)
	var out []Forwarding
	for i := range rows.List {
		row := &rows.List[i]
		// RFC 4188 has 3 for learned; agents without status are believed.
		if status := rows.Text(row, name+"Status"); status != "learned" && status != "" {
			continue
		}
		mac := rows.Part(row, name+"Address")
		octets, err := net.ParseMAC(mac)
		port := rows.Value(row, name+"Port")
		if err != nil || octets[0]&1 != 0 || !port.Known || port.Uint == 0 {
			continue
		}
		entry := Forwarding{MAC: mac}
		if index, ok := bridgePort(tables, port.Text); ok {
			entry.IfIndex = index
		} else if port.Uint < 1<<32 {
			entry.IfIndex = uint32(port.Uint)
		}
		if id := rows.Part(row, "dot1qFdbId"); id != "" {
			entry.VLAN = vlan(vlans, id)
		}
		out = append(out, entry)
	}
	return out
}

// bridgePort is the interface of a bridge's port.
func bridgePort(tables *module.Tables, port string) (uint32, bool) {
	rows := tables.Rows("dot1dBasePortTable")
	row, ok := rows.Find(port)
	if !ok {
		return 0, false
	}
	index := rows.Value(row, "dot1dBasePortIfIndex")
	return uint32(index.Uint), index.Known && index.Uint > 0 && index.Uint < 1<<32
}

// vlanOf maps filtering databases to VLANs. Most switches number them alike.
func vlanOf(tables *module.Tables) map[string]string {
	rows := tables.Rows("dot1qVlanCurrentTable")
	out := map[string]string{}
	for i := range rows.List {
		row := &rows.List[i]
		if id := rows.Value(row, "dot1qVlanFdbId"); id.Known {
			out[id.Text] = rows.Part(row, "dot1qVlanIndex")
		}
	}
	return out
}

func vlan(vlans map[string]string, database string) uint32 {
	if known, ok := vlans[database]; ok {
		database = known
	}
	// VLAN ids are 1 to 4094 (IEEE 802.1Q).
	id, err := strconv.ParseUint(database, 10, 32)
	if err != nil || id > 4094 {
		return 0
	}
	return uint32(id)
}

// Address is an IP address and the MAC address that a device has for it.
type Address struct {
	IP      netip.Addr
	MAC     string
	IfIndex uint32
}

// Addresses are what a device knows by ARP and neighbour discovery: ipNetToPhysicalTable
// (RFC 4293), and ipNetToMediaTable of before it.
func Addresses(tables *module.Tables) []Address {
	type key struct {
		ip      netip.Addr
		ifIndex uint32
	}
	seen := map[key]bool{}
	var out []Address
	for _, name := range []string{"ipNetToPhysical", "ipNetToMedia"} {
		rows := tables.Rows(name + "Table")
		for i := range rows.List {
			row := &rows.List[i]
			address, ok := neighbor(rows, row, name)
			if at := (key{address.IP, address.IfIndex}); ok && !seen[at] {
				seen[at] = true
				out = append(out, address)
			}
		}
	}
	return out
}

func neighbor(rows *module.Rows, row *module.Row, name string) (Address, bool) {
	kind := rows.Text(row, name+"Type")
	mac, err := net.ParseMAC(rows.Text(row, name+"PhysAddress"))
	if kind == "invalid" || err != nil || mac[0]&1 != 0 || mac.String() == "00:00:00:00:00:00" {
		return Address{}, false
	}
	ip, err := netip.ParseAddr(rows.Part(row, name+"NetAddress"))
	if err != nil || ip.IsMulticast() || ip.IsUnspecified() {
		return Address{}, false
	}
	index, _ := strconv.ParseUint(rows.Part(row, name+"IfIndex"), 10, 32)
	return Address{IP: ip, MAC: mac.String(), IfIndex: uint32(index)}, true
}

// OwnAddresses are the addresses of the device itself, with the interface of each:
// ipAddrTable (RFC 4293, deprecated and the one that most have), and ipAddressTable.
func OwnAddresses(tables *module.Tables) map[netip.Addr]uint32 {
	out := map[netip.Addr]uint32{}
	for _, in := range []struct{ table, part, column string }{
		{"ipAddrTable", "ipAdEntAddr", "ipAdEntIfIndex"},
		{"ipAddressTable", "ipAddressAddr", "ipAddressIfIndex"},
	} {
		rows := tables.Rows(in.table)
		for i := range rows.List {
			row := &rows.List[i]
			ip, err := netip.ParseAddr(rows.Part(row, in.part))
			if err == nil && !ip.IsUnspecified() && !ip.IsLoopback() && !ip.IsMulticast() {
				out[ip] = uint32(rows.Value(row, in.column).Uint)
			}
		}
	}
	return out
}
