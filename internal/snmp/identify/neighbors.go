package identify

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp/module"
)

// maxNeighbors bounds how many neighbours one reading names.
const maxNeighbors = 4096

// Neighbors are the devices that a device itself names as linked with it, by LLDP
// (IEEE 802.1AB) and CDP.
func Neighbors(tables *module.Tables) []*pb.DeviceLink {
	out := lldp(tables)
	return append(out, cdp(tables)...)
}

func lldp(tables *module.Tables) []*pb.DeviceLink {
	rows := tables.Rows("lldpRemTable")
	addresses := lldpAddresses(tables)
	out := make([]*pb.DeviceLink, 0, min(len(rows.List), maxNeighbors))
	for i := range rows.List[:min(len(rows.List), maxNeighbors)] {
		row := &rows.List[i]
		local := rows.Part(row, "lldpRemLocalPortNum")
		link := &pb.DeviceLink{
			Source: "lldp", Name: rows.Text(row, "lldpRemSysName"), Description: rows.Text(row, "lldpRemSysDesc"),
			Ip: addresses[row.Index], Capabilities: strings.Fields(rows.Text(row, "lldpRemSysCapEnabled")),
		}
		link.IfIndex, link.Port = lldpPort(tables, local)
		chassis, kind := Identifier(rows.Text(row, "lldpRemChassisId"), rows.Text(row, "lldpRemChassisIdSubtype"), true)
		switch kind {
		case "mac":
			link.Mac = chassis
		case "ip":
			if link.GetIp() == "" {
				link.Ip = chassis
			}
		default:
			if link.GetName() == "" {
				link.Name = chassis
			}
		}
		port, _ := Identifier(rows.Text(row, "lldpRemPortId"), rows.Text(row, "lldpRemPortIdSubtype"), false)
		link.RemotePort = port
		// Many name a port by its MAC address or a bare number, and say what people
		// call it in its description.
		if described := rows.Text(row, "lldpRemPortDesc"); described != "" && !readable(port) {
			link.RemotePort = described
		}
		out = append(out, link)
	}
	return out
}

// readable reports whether a port's id is what people call it.
func readable(port string) bool {
	if _, err := net.ParseMAC(port); err == nil {
		return false
	}
	_, err := strconv.ParseUint(port, 10, 64)
	return err != nil && port != ""
}

// lldpPort is the interface of a local LLDP port. The port's number is that of the
// interface with most makers, and else its id or description is the interface's name.
func lldpPort(tables *module.Tables, number string) (uint32, string) {
	locals := tables.Rows("lldpLocPortTable")
	name := ""
	if row, ok := locals.Find(number); ok {
		id, kind := Identifier(locals.Text(row, "lldpLocPortId"), locals.Text(row, "lldpLocPortIdSubtype"), false)
		for _, candidate := range []string{id, locals.Text(row, "lldpLocPortDesc")} {
			if index := named(tables, candidate, kind == "mac"); index != 0 {
				return index, interfaceName(tables, index)
			}
		}
		if name = id; !readable(id) {
			name = locals.Text(row, "lldpLocPortDesc")
		}
	}
	if index, err := strconv.ParseUint(number, 10, 32); err == nil {
		if known := interfaceName(tables, uint32(index)); known != "" {
			return uint32(index), known
		}
		if port, ok := bridgePort(tables, number); ok {
			return port, interfaceName(tables, port)
		}
	}
	return 0, name
}

// named is the interface of this name or description.
func named(tables *module.Tables, name string, byMAC bool) uint32 {
	if name == "" || byMAC {
		return 0
	}
	for _, in := range []struct{ table, column string }{
		{"ifXTable", "ifName"}, {"ifTable", "ifDescr"},
	} {
		rows := tables.Rows(in.table)
		for i := range rows.List {
			if rows.Text(&rows.List[i], in.column) == name {
				index, _ := strconv.ParseUint(rows.List[i].Index, 10, 32)
				return uint32(index)
			}
		}
	}
	return 0
}

func interfaceName(tables *module.Tables, index uint32) string {
	at := strconv.FormatUint(uint64(index), 10)
	for _, in := range []struct{ table, column string }{
		{"ifXTable", "ifName"}, {"ifTable", "ifDescr"},
	} {
		rows := tables.Rows(in.table)
		if row, ok := rows.Find(at); ok {
			if name := rows.Text(row, in.column); name != "" {
				return name
			}
		}
	}
	return ""
}

// lldpAddresses are the management addresses by the index of their neighbour, the first
// IPv4 address of each, else the first of any kind.
func lldpAddresses(tables *module.Tables) map[string]string {
	rows := tables.Rows("lldpRemManAddrTable")
	out := map[string]string{}
	for i := range rows.List[:min(len(rows.List), 4*maxNeighbors)] {
		row := &rows.List[i]
		if len(row.Parts) < 4 {
			continue
		}
		of, address := strings.Join(row.Parts[:3], "."), row.Parts[3]
		parsed, err := netip.ParseAddr(address)
		if err != nil {
			continue
		}
		before, have := out[of]
		if !have || parsed.Is4() && strings.Contains(before, ":") {
			out[of] = address
		}
	}
	return out
}

// Identifier reads a chassis or port id of LLDP by its kind (IEEE 802.1AB, tables 8-2
// and 8-3), and says whether it is a "mac", an "ip" or a "name". Its octets come in
// hexadecimal. Agents that give a MAC address as text, or a text as a MAC, are known.
func Identifier(hexadecimal, subtype string, chassis bool) (id, kind string) {
	octets, err := hex.DecodeString(hexadecimal)
	if err != nil || len(octets) == 0 || len(octets) > 255 {
		return "", "name"
	}
	mac, network := "3", "4"
	if chassis {
		mac, network = "4", "5"
	}
	switch subtype {
	case mac:
		if len(octets) == 6 {
			return net.HardwareAddr(octets).String(), "mac"
		}
		if parsed, err := net.ParseMAC(string(octets)); err == nil {
			return parsed.String(), "mac"
		}
	case network:
		// IANA's number of the address family stands in front.
		if addr, ok := netip.AddrFromSlice(octets[1:]); ok && (octets[0] == 1 || octets[0] == 2) {
			return addr.String(), "ip"
		}
	}
	if text := strings.Trim(string(octets), "\x00 "); utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl) {
		return text, "name"
	}
	if len(octets) == 6 {
		return net.HardwareAddr(octets).String(), "mac"
	}
	return hexadecimal, "name"
}

// Capabilities of CDP, by bit (CISCO-CDP-MIB, cdpCacheCapabilities), in LLDP's words.
func cdpCapabilities(hexadecimal string) []string {
	bits, err := strconv.ParseUint(hexadecimal, 16, 32)
	if err != nil {
		return nil
	}
	var out []string
	for _, capability := range []struct {
		bit  uint64
		name string
	}{
		{0x01, "router"},
		{0x02, "bridge"},
		{0x08, "bridge"},
		{0x10, "station"},
		{0x40, "repeater"},
		{0x80, "telephone"},
	} {
		if bits&capability.bit != 0 && (len(out) == 0 || out[len(out)-1] != capability.name) {
			out = append(out, capability.name)
		}
	}
	return out
}

func cdp(tables *module.Tables) []*pb.DeviceLink {
	rows := tables.Rows("cdpCacheTable")
	var out []*pb.DeviceLink
	for i := range rows.List[:min(len(rows.List), maxNeighbors)] {
		row := &rows.List[i]
		index, err := strconv.ParseUint(rows.Part(row, "cdpCacheIfIndex"), 10, 32)
		if err != nil {
			continue
		}
		link := &pb.DeviceLink{
			Source: "cdp", IfIndex: uint32(index), Port: interfaceName(tables, uint32(index)),
			Name: rows.Text(row, "cdpCacheDeviceId"), RemotePort: rows.Text(row, "cdpCacheDevicePort"),
			Description: rows.Text(row, "cdpCachePlatform"), Capabilities: cdpCapabilities(rows.Text(row, "cdpCacheCapabilities")),
		}
		if addr, err := netip.ParseAddr(rows.Text(row, "cdpCacheAddress")); err == nil {
			link.Ip = addr.String()
		}
		out = append(out, link)
	}
	return out
}
