package identify

import (
	"cmp"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp/module"
)

// complete adds what tables say of the device itself: facts of modules, the chassis of
// ENTITY-MIB, and the class by what it has.
func (id *Identity) complete(tables *module.Tables, known module.Known) {
	if id.OSVersion == "" {
		id.OSVersion = known["version"]
	}
	id.Hardware = cmp.Or(id.Hardware, known["hardware"])
	id.Serial = cmp.Or(id.Serial, known["serial"])
	id.Name = cmp.Or(id.Name, known["name"])
	if os := known["os"]; os != "" {
		id.OS = os
	}
	id.chassis(tables.Rows("entPhysicalTable"))
	if id.Class == "" {
		id.Class = class(tables)
	}
}

// chassis takes model, serial number and version from the part that holds all others,
// and where that one lacks them, from the first part that has them.
func (id *Identity) chassis(parts *module.Rows) {
	if len(parts.List) == 0 {
		return
	}
	order := holders(parts)
	first := func(columns ...string) string {
		for _, row := range order {
			for _, column := range columns {
				if text := meaningful(parts.Text(row, column)); text != "" {
					return text
				}
			}
		}
		return ""
	}
	id.Hardware = cmp.Or(id.Hardware, first("entPhysicalModelName"), onlyModel(parts), first("entPhysicalDescr", "entPhysicalName"))
	id.Serial = cmp.Or(id.Serial, first("entPhysicalSerialNum"))
	id.OSVersion = cmp.Or(id.OSVersion, first("entPhysicalSoftwareRev"), first("entPhysicalFirmwareRev"))
	id.chassisMaker = first("entPhysicalMfgName")
	id.Vendor = cmp.Or(id.Vendor, id.chassisMaker)
}

// holders are the parts that may be the device itself, the likeliest first. One that is in no
// other (RFC 6933, entPhysicalContainedIn) is the device where its class does not say that it
// is something else: in a table without a hierarchy fans and ports are in nothing, too.
func holders(parts *module.Rows) []*module.Row {
	const most = 64 // behind these come ports and power supplies
	var order []*module.Row
	take := func(is func(*module.Row) bool) {
		for i := range parts.List {
			if row := &parts.List[i]; len(order) < most && is(row) {
				order = append(order, row)
			}
		}
	}
	of := func(class string) func(*module.Row) bool {
		return func(row *module.Row) bool { return parts.Text(row, "entPhysicalClass") == class }
	}
	take(of("stack"))
	take(of("chassis"))
	take(func(row *module.Row) bool {
		in := parts.Value(row, "entPhysicalContainedIn")
		return unclassed(parts, row) && in.Known && in.Uint == 0
	})
	take(of("module"))
	return order
}

// unclassed says that a part does not tell what it is.
func unclassed(parts *module.Rows, row *module.Row) bool {
	switch parts.Text(row, "entPhysicalClass") {
	case "", "other", "unknown":
		return true
	}
	return false
}

// onlyModel is the model of all parts that name one and do not tell what they are; empty
// where they differ.
func onlyModel(parts *module.Rows) string {
	only := ""
	for i := range parts.List {
		row := &parts.List[i]
		switch text := meaningful(parts.Text(row, "entPhysicalModelName")); {
		case text == "", !unclassed(parts, row):
		case only == "":
			only = text
		case only != text:
			return ""
		}
	}
	return only
}

// meaningful leaves out what agents write where they know nothing.
func meaningful(text string) string {
	switch strings.ToLower(strings.Trim(text, " .-_\"")) {
	case "", "n/a", "na", "none", "null", "unknown", "not specified", "to be filled by o.e.m", "default string", "0", "empty":
		return ""
	}
	return text
}

// class tells what a device is by what it has, where no fact says so.
func class(tables *module.Tables) string {
	has := func(names ...string) bool {
		for _, name := range names {
			rows := tables.Rows(name)
			for i := range rows.List {
				for _, value := range rows.List[i].Values {
					if value.Known {
						return true
					}
				}
			}
		}
		return false
	}
	switch {
	case has("prtMarkerSuppliesTable", "prtMarkerTable"):
		return "printer"
	case has("upsBattery"):
		return "power"
	case has("dot1dBasePortTable", "dot1qTpFdbTable", "dot1dTpFdbTable"):
		return "switch"
	case has("bgpPeerTable"):
		return "router"
	case has("hrProcessorTable", "hrStorageTable", "memGroup"):
		return "server"
	default:
		return ""
	}
}

// system writes sysUpTime, contact and location.
func system(tables *module.Tables, r *pb.SnmpReading) {
	rows := tables.Rows("system")
	if len(rows.List) == 0 {
		return
	}
	row := &rows.List[0]
	r.Contact, r.Location = rows.Text(row, "sysContact"), rows.Text(row, "sysLocation")
	if name := rows.Text(row, "sysName"); name != "" {
		r.SysName = name
	}
	if up := rows.Value(row, "sysUpTime"); up.Known {
		r.Uptime = durationpb.New(time.Duration(up.Uint) * 10 * time.Millisecond)
	}
}

// peers are the neighbours by BGP.
func peers(tables *module.Tables) []*pb.SnmpPeer {
	const most = 4096
	rows := tables.Rows("bgpPeerTable")
	out := make([]*pb.SnmpPeer, 0, min(len(rows.List), most))
	for i := range rows.List[:min(len(rows.List), most)] {
		row := &rows.List[i]
		peer := &pb.SnmpPeer{
			Ip: rows.Part(row, "bgpPeerRemoteAddr"), State: rows.Text(row, "bgpPeerState"),
			Asn: uint32(rows.Value(row, "bgpPeerRemoteAs").Uint),
		}
		if since := rows.Value(row, "bgpPeerFsmEstablishedTime"); since.Known && peer.State == "established" {
			peer.Established = durationpb.New(time.Duration(since.Uint&0xffff_ffff) * time.Second)
		}
		out = append(out, peer)
	}
	return out
}
