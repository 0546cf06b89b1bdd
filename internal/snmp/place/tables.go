package place

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/amoskys/amoskys/internal/snmp"
)

// Objects that say where addresses are.
const (
	oidBridgeAddress = "1.3.6.1.2.1.17.1.1.0"            // dot1dBaseBridgeAddress, RFC 4188
	oidBridgePort    = "1.3.6.1.2.1.17.1.4.1.2"          // dot1dBasePortIfIndex
	oidFDBPort       = "1.3.6.1.2.1.17.4.3.1.2"          // dot1dTpFdbPort
	oidFDBStatus     = "1.3.6.1.2.1.17.4.3.1.3"          // dot1dTpFdbStatus
	oidVLANFDBPort   = "1.3.6.1.2.1.17.7.1.2.2.1.2"      // dot1qTpFdbPort, RFC 4363
	oidVLANFDBStatus = "1.3.6.1.2.1.17.7.1.2.2.1.3"      // dot1qTpFdbStatus
	oidVLANFDB       = "1.3.6.1.2.1.17.7.1.4.2.1.3"      // dot1qVlanFdbId
	oidARP           = "1.3.6.1.2.1.4.22.1.2"            // ipNetToMediaPhysAddress, RFC 4293
	oidNeighbors     = "1.3.6.1.2.1.4.35.1.4"            // ipNetToPhysicalPhysAddress
	oidAggregate     = "1.2.840.10006.300.43.1.2.1.1.13" // dot3adAggPortAttachedAggID, IEEE 802.3ad
	oidCiscoVLAN     = "1.3.6.1.4.1.9.9.46.1.3.1.1.2"    // vtpVlanState
)

// Bounds of what one device may say.
const (
	maxForwards = 65_536
	maxARP      = 65_536
	// maxVLAN is the largest number of a VLAN (IEEE 802.1Q).
	maxVLAN = 4094
	// maxVLANs is of how many VLANs a switch of Cisco is asked on its own.
	maxVLANs = 256
)

// States of an entry (RFC 4188, dot1dTpFdbStatus).
const (
	fdbInvalid = 2
	fdbSelf    = 4
)

// Tables are what one device says of where others are.
type Tables struct {
	// Bridge is its own address; zero where it does not bridge.
	Bridge    MAC
	Forwards  []Entry
	Addresses []Address
	// Members are as those of a Switch.
	Members map[uint32]uint32
	// Faults say which tables were not read, or not whole, and why.
	Faults []string
	// LeftOut counts rows beyond the bounds.
	LeftOut int

	databases []uint32 // of each of Forwards, while Q-BRIDGE-MIB is read
}

// InVLAN opens a device within a VLAN, as switches of Cisco want it that keep a table for
// each: in versions 1 and 2c by the community "community@VLAN", in version 3 by the context
// "vlan-VLAN". Call what it returns when that is read.
type InVLAN func(vlan uint16) (g snmp.Getter, done func(), err error)

// Read reads the forwarding and address tables of a device, by BRIDGE-MIB, Q-BRIDGE-MIB,
// IEEE8023-LAG-MIB and IP-MIB. inVLAN may be nil, for a device that is not to be asked by
// VLAN. A table that fails costs itself.
func Read(ctx context.Context, g snmp.Getter, inVLAN InVLAN) *Tables {
	w := &Tables{Members: map[uint32]uint32{}}
	if got, err := g.Get(ctx, oidBridgeAddress); err == nil && len(got) == 1 {
		w.Bridge, _ = ParseMAC(got[0].Bytes())
	}
	ports := w.bridgePorts(ctx, g)
	if len(ports) > 0 {
		w.perVLAN(ctx, g, ports)
		if len(w.Forwards) == 0 {
			w.plain(ctx, g, ports, 0)
		}
	}
	if inVLAN != nil && !w.hasVLANs() {
		w.byVLAN(ctx, g, inVLAN)
	}
	w.walk(ctx, g, "aggregates", oidAggregate, 1, func(arcs []uint32, v snmp.Variable) {
		if n, ok := v.Uint(); ok && n != 0 && n < 1<<32 && uint32(n) != arcs[0] {
			w.Members[arcs[0]] = uint32(n)
		}
	})
	w.arp(ctx, g)
	return w
}

func (w *Tables) hasVLANs() bool {
	return slices.ContainsFunc(w.Forwards, func(e Entry) bool { return e.VLAN != 0 })
}

// walk calls each for every row whose index has at least so many arcs.
func (w *Tables) walk(ctx context.Context, g snmp.Getter, what, oid string, arcs int, each func(arcs []uint32, v snmp.Variable)) {
	err := g.Walk(ctx, oid, func(v snmp.Variable) error {
		index, below := snmp.Index(oid, v.OID)
		if !below {
			return nil
		}
		if list, ok := snmp.Arcs(index); ok && len(list) >= arcs {
			each(list, v)
		}
		return nil
	})
	if err != nil {
		w.Faults = append(w.Faults, what+": "+cause(err))
	}
}

// bridgePorts are the ifIndex of the ports of a bridge.
func (w *Tables) bridgePorts(ctx context.Context, g snmp.Getter) map[uint32]uint32 {
	ports := map[uint32]uint32{}
	w.walk(ctx, g, "ports of the bridge", oidBridgePort, 1, func(arcs []uint32, v snmp.Variable) {
		if n, ok := v.Uint(); ok && n < 1<<32 && len(ports) < maxForwards {
			ports[arcs[0]] = uint32(n)
		}
	})
	return ports
}

// perVLAN reads the table that names VLANs (Q-BRIDGE-MIB), by filtering databases.
func (w *Tables) perVLAN(ctx context.Context, g snmp.Getter, ports map[uint32]uint32) {
	skip := map[string]bool{}
	w.walk(ctx, g, "states of the forwarding table", oidVLANFDBStatus, 7, func(arcs []uint32, v snmp.Variable) {
		if n, _ := v.Int(); (n == fdbInvalid || n == fdbSelf) && len(skip) < maxForwards {
			skip[key(arcs)] = true
		}
	})
	databases := map[uint32]uint16{}
	found := false
	w.walk(ctx, g, "forwarding table", oidVLANFDBPort, 7, func(arcs []uint32, v snmp.Variable) {
		if !found { // only now is it worth to ask
			found = true
		}
		if before := len(w.Forwards); !skip[key(arcs)] {
			w.forward(arcs[1:7], arcs[0], v, ports)
			if len(w.Forwards) > before {
				w.databases = append(w.databases, arcs[0])
			}
		}
	})
	if !found {
		return
	}
	w.walk(ctx, g, "VLANs of the forwarding table", oidVLANFDB, 2, func(arcs []uint32, v snmp.Variable) {
		n, ok := v.Uint()
		if _, have := databases[uint32(n)]; ok && n < 1<<32 && arcs[1] < 4096 && !have && len(databases) < 4096 {
			databases[uint32(n)] = uint16(arcs[1])
		}
	})
	for i := range w.Forwards {
		database := w.databases[i]
		if vlan, ok := databases[database]; ok {
			w.Forwards[i].VLAN = vlan
		} else if database > maxVLAN { // some switches number databases as they like
			w.Forwards[i].VLAN = 0
		}
	}
	w.databases = nil
}

// plain reads the table that knows no VLANs (BRIDGE-MIB).
func (w *Tables) plain(ctx context.Context, g snmp.Getter, ports map[uint32]uint32, vlan uint32) {
	skip := map[string]bool{}
	w.walk(ctx, g, "states of the forwarding table", oidFDBStatus, 6, func(arcs []uint32, v snmp.Variable) {
		if n, _ := v.Int(); (n == fdbInvalid || n == fdbSelf) && len(skip) < maxForwards {
			skip[key(arcs)] = true
		}
	})
	w.walk(ctx, g, "forwarding table", oidFDBPort, 6, func(arcs []uint32, v snmp.Variable) {
		if !skip[key(arcs)] {
			w.forward(arcs[:6], vlan, v, ports)
		}
	})
}

func key(arcs []uint32) string {
	b := make([]byte, 0, 4*len(arcs))
	for _, a := range arcs {
		b = append(b, byte(a>>24), byte(a>>16), byte(a>>8), byte(a))
	}
	return string(b)
}

// forward takes an entry. A port that is no interface (0 is the switch itself) is none.
func (w *Tables) forward(mac []uint32, vlan uint32, v snmp.Variable, ports map[uint32]uint32) {
	n, ok := v.Uint()
	address, isMAC := macOfArcs(mac)
	if !ok || !isMAC || n == 0 || n >= 1<<32 {
		return
	}
	if len(w.Forwards) >= maxForwards {
		w.LeftOut++
		return
	}
	index, known := ports[uint32(n)]
	if !known {
		index = uint32(n)
	}
	w.Forwards = append(w.Forwards, Entry{MAC: address, VLAN: uint16(min(vlan, 1<<16-1)), Port: index})
}

// vlansSilent is after how many VLANs in a row that did not answer the others are not asked:
// a switch that knows of no VLANs takes them for wrong communities and keeps silent.
const vlansSilent = 2

// byVLAN reads the table of each VLAN on its own, as switches of Cisco have it, of which
// BRIDGE-MIB shows VLAN 1 alone.
func (w *Tables) byVLAN(ctx context.Context, g snmp.Getter, inVLAN InVLAN) {
	vlans := w.vlans(ctx, g)
	if len(vlans) == 0 {
		return
	}
	plain, silent := w.Forwards, 0
	w.Forwards = nil
	for _, vlan := range vlans {
		before := len(w.Faults)
		inside, done, err := inVLAN(vlan)
		if err != nil {
			w.Faults = append(w.Faults, err.Error())
			break
		}
		if ports := w.bridgePorts(ctx, inside); len(ports) > 0 {
			w.plain(ctx, inside, ports, uint32(vlan))
		}
		done()
		for i := range w.Faults[before:] {
			w.Faults[before+i] = fmt.Sprintf("VLAN %d: %s", vlan, w.Faults[before+i])
		}
		if silent++; len(w.Faults) == before {
			silent = 0
		}
		if ctx.Err() != nil || silent == vlansSilent {
			break
		}
	}
	if len(w.Forwards) == 0 {
		w.Forwards = plain
	}
}

// vlans are those of which a switch keeps a table each, in order (CISCO-VTP-MIB); none where
// it has no such list.
func (w *Tables) vlans(ctx context.Context, g snmp.Getter) []uint16 {
	var vlans []uint16
	w.walk(ctx, g, "VLANs", oidCiscoVLAN, 2, func(arcs []uint32, v snmp.Variable) {
		vlan := arcs[len(arcs)-1]
		const operational = 1
		if n, _ := v.Int(); n == operational && vlan > 0 && vlan <= maxVLAN && (vlan < 1002 || vlan > 1005) { // which Token Ring and FDDI have
			vlans = append(vlans, uint16(vlan))
		}
	})
	if len(vlans) > maxVLANs {
		w.Faults = append(w.Faults, fmt.Sprintf("forwarding tables: %d of %d VLANs are read", maxVLANs, len(vlans)))
		vlans = vlans[:maxVLANs]
	}
	return vlans
}

// arp reads both address tables: the one for IPv4 alone, and the one for both.
func (w *Tables) arp(ctx context.Context, g snmp.Getter) {
	note := func(octets []uint32, v snmp.Variable) {
		mac, ok := ParseMAC(v.Bytes())
		ip, valid := addressOfArcs(octets)
		switch {
		case !ok || !valid:
		case len(w.Addresses) >= maxARP:
			w.LeftOut++
		default:
			w.Addresses = append(w.Addresses, Address{MAC: mac, IP: ip})
		}
	}
	w.walk(ctx, g, "ARP table", oidARP, 5, func(arcs []uint32, v snmp.Variable) { note(arcs[1:5], v) })
	w.walk(ctx, g, "neighbour table", oidNeighbors, 7, func(arcs []uint32, v snmp.Variable) {
		// ifIndex, type of address, length, octets (RFC 4001)
		if n := int(arcs[2]); n == len(arcs)-3 && (n == 4 || n == 16 || n == 20) {
			note(arcs[3:3+n], v)
		}
	})
}

// ParseMAC reads the six octets of an address; false for any other number of them.
func ParseMAC(b []byte) (MAC, bool) {
	if len(b) != 6 {
		return MAC{}, false
	}
	return MAC(b), true
}

func macOfArcs(arcs []uint32) (MAC, bool) {
	var m MAC
	if len(arcs) != len(m) {
		return m, false
	}
	for i, a := range arcs {
		if a > 255 {
			return m, false
		}
		m[i] = byte(a)
	}
	return m, true
}

func addressOfArcs(arcs []uint32) (netip.Addr, bool) {
	if len(arcs) == 20 { // with a zone behind
		arcs = arcs[:16]
	}
	b := make([]byte, len(arcs))
	for i, a := range arcs {
		if a > 255 {
			return netip.Addr{}, false
		}
		b[i] = byte(a)
	}
	return netip.AddrFromSlice(b)
}

// cause is what went wrong, without how far it came.
func cause(err error) string {
	if walk, ok := errors.AsType[*snmp.WalkError](err); ok {
		err = walk.Err
	}
	return err.Error()
}
