package identify

import (
	"strconv"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp/module"
)

// power tells each interface how much power it gives (POWER-ETHERNET-MIB, RFC 3621, tells
// that of all ports together alone; makers have tables of their own). Which interface a port
// is, devices say in three ways, tried in this order:
//
//	a part of ENTITY-MIB            the interface that has its name
//	a number that is an ifIndex     that interface
//	another number                  the interface of that port of the bridge (RFC 4188)
//
// A number that several groups of a stack have is of nobody knows which.
func power(tables *module.Tables, list []*pb.SnmpInterface) {
	all := tables.Powers()
	if len(all) == 0 {
		return
	}
	index := make(map[uint32]*pb.SnmpInterface, len(list))
	for _, it := range list {
		index[it.GetIndex()] = it
	}
	named := namedInterfaces(tables)
	parts := tables.Rows("entPhysicalTable")
	times := map[string]int{}
	for i := range all {
		times[all[i].Interface]++
	}
	for _, p := range all {
		var it *pb.SnmpInterface
		if row, ok := parts.Find(p.Entity); ok && p.Entity != "" {
			it = index[named[parts.Text(row, "entPhysicalName")]]
		}
		if n, err := strconv.ParseUint(p.Interface, 10, 32); it == nil && err == nil && times[p.Interface] == 1 {
			if it = index[uint32(n)]; it == nil {
				if n, ok := bridgePort(tables, p.Interface); ok {
					it = index[n]
				}
			}
		}
		if it != nil {
			it.PoeWatts = p.Watts
		}
	}
}

// namedInterfaces are the ifIndex of interfaces by ifDescr and by ifName.
func namedInterfaces(tables *module.Tables) map[string]uint32 {
	out := map[string]uint32{}
	for _, in := range [][2]string{{"ifTable", "ifDescr"}, {"ifXTable", "ifName"}} {
		rows := tables.Rows(in[0])
		for i := range rows.List {
			row := &rows.List[i]
			if n, err := strconv.ParseUint(row.Index, 10, 32); err == nil && rows.Text(row, in[1]) != "" {
				out[rows.Text(row, in[1])] = uint32(n)
			}
		}
	}
	return out
}
