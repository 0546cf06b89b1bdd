package identify

import (
	"encoding/hex"
	"net"
	"slices"
	"strconv"
	"strings"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp/module"
)

// maxInterfaces bounds one reading; larger devices exist, but not in one message.
const maxInterfaces = 4096

// interfaces joins ifTable and ifXTable (RFC 2863). An interface is a row of ifTable;
// where a device has ifXTable alone, a row of that.
func interfaces(tables *module.Tables) []*pb.SnmpInterface {
	base, more := tables.Rows("ifTable"), tables.Rows("ifXTable")
	list := base
	if len(base.List) == 0 {
		list = more
	}
	var out []*pb.SnmpInterface
	for i := range list.List {
		index, err := strconv.ParseUint(list.List[i].Index, 10, 32)
		if err != nil {
			continue
		}
		it := &pb.SnmpInterface{Index: uint32(index)}
		if row, ok := base.Find(list.List[i].Index); ok {
			basic(it, base, row)
		}
		if row, ok := more.Find(list.List[i].Index); ok {
			extend(it, more, row)
		}
		if !Exists(it.GetName(), it.GetType(), it.GetOperStatus()) {
			continue
		}
		out = append(out, it)
		if len(out) == maxInterfaces {
			break
		}
	}
	slices.SortFunc(out, func(a, b *pb.SnmpInterface) int { return int(int64(a.GetIndex()) - int64(b.GetIndex())) })
	return out
}

// Exists leaves out rows of ifTable that are no interface of the device, though they stand
// among them. What is asked is the name, ifType and ifOperStatus, as IANAifType-MIB and RFC
// 2863 name them:
//
//	without any name               agents pad their tables with such rows
//	notPresent                     a part that is not plugged in (RFC 2863, section 3.1.14)
//	voice channels                 ports for telephones, which carry no packets
//	MPLS layers                    another view of an interface that is there already
//	virtual access of Cisco's      sessions of users who dial in, thousands at times
func Exists(name, kind, oper string) bool {
	if name == "" || oper == "notPresent" {
		return false
	}
	switch kind {
	case "voiceEM", "voiceFXO", "voiceFXS", "voiceEncap", "mpls":
		return false
	}
	for _, session := range []string{"Virtual-Access", "Virtual-PPP", "Virtual-Template", "Vi"} {
		if number, ok := strings.CutPrefix(name, session); ok && number != "" && strings.Trim(number, "0123456789./") == "" {
			return false
		}
	}
	return true
}

// basic writes what ifTable says.
func basic(it *pb.SnmpInterface, rows *module.Rows, row *module.Row) {
	it.Name = rows.Text(row, "ifDescr")
	it.Type = rows.Text(row, "ifType")
	it.AdminStatus = rows.Text(row, "ifAdminStatus")
	it.OperStatus = rows.Text(row, "ifOperStatus")
	it.SpeedBps = rows.Value(row, "ifSpeed").Uint
	it.Mac = macOf(rows.Text(row, "ifPhysAddress"))
	it.BytesIn, it.BytesOut = rows.Value(row, "ifInOctets").Uint, rows.Value(row, "ifOutOctets").Uint
	it.PacketsIn, it.PacketsOut = rows.Value(row, "ifInUcastPkts").Uint, rows.Value(row, "ifOutUcastPkts").Uint
	it.ErrorsIn, it.ErrorsOut = rows.Value(row, "ifInErrors").Uint, rows.Value(row, "ifOutErrors").Uint
	it.DiscardsIn, it.DiscardsOut = rows.Value(row, "ifInDiscards").Uint, rows.Value(row, "ifOutDiscards").Uint
}

// extend writes what ifXTable says, which is better where it says anything.
func extend(it *pb.SnmpInterface, rows *module.Rows, row *module.Row) {
	if name := rows.Text(row, "ifName"); name != "" {
		it.Name = name
	}
	it.Alias = rows.Text(row, "ifAlias")
	// ifSpeed cannot say more than 4.29 Gbit/s, and then has its largest value.
	if mega := rows.Value(row, "ifHighSpeed"); mega.Known && mega.Uint > 0 && mega.Uint < 1<<32 {
		if fast := mega.Uint * 1_000_000; it.GetSpeedBps() == 0 || it.GetSpeedBps() >= 1<<32-1 || fast > it.GetSpeedBps() {
			it.SpeedBps = fast
		}
	}
	for _, counter := range []struct {
		column string
		into   *uint64
	}{
		{"ifHCInOctets", &it.BytesIn},
		{"ifHCOutOctets", &it.BytesOut},
		{"ifHCInUcastPkts", &it.PacketsIn},
		{"ifHCOutUcastPkts", &it.PacketsOut},
	} {
		// Some agents have the 64-bit counters and never count in them.
		if value := rows.Value(row, counter.column); value.Known && (value.Uint > 0 || *counter.into == 0) {
			*counter.into = value.Uint
		}
	}
}

// macOf writes six octets as a MAC address; "" for others and for zeros.
func macOf(hexadecimal string) string {
	octets, err := hex.DecodeString(hexadecimal)
	if err != nil || len(octets) != 6 || hexadecimal == "000000000000" {
		return ""
	}
	return net.HardwareAddr(octets).String()
}
