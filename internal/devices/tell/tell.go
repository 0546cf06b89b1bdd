// Package tell puts what is known of devices into words and files: where one is plugged
// in, as a sentence, and lists of them as CSV and as nmap's XML. Dashboard and command
// line say the same with it.
package tell

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Name is what people know a device by: its best name, else an address, else its uid.
func Name(d *pb.DeviceInventory) string {
	first := func(list []string) string {
		if len(list) == 0 {
			return ""
		}
		return list[0]
	}
	return cmp.Or(d.GetHostname(), first(d.GetNames()), first(d.GetIp()), first(d.GetMac()), d.GetUid())
}

// Where says in one sentence where a device is plugged in, since when, and where it was
// before that. Times are of the given place; nil is UTC.
func Where(d *pb.DeviceInventory, in *time.Location) string {
	who := Name(d)
	var also []string
	for _, address := range slices.Concat(d.GetIp(), d.GetMac()) {
		if address != who && len(also) < 3 {
			also = append(also, address)
		}
	}
	if len(also) > 0 {
		who += " (" + strings.Join(also, ", ") + ")"
	}
	places := d.GetPlugged()
	if len(places) == 0 {
		return "nobody knows where " + who + " is plugged in: an SNMP agent that polls its switch tells"
	}
	text := who + " is at "
	if places[0].GetUntilTime() != nil {
		text = who + " was last at "
	}
	text += Place(places[0]) + duration(places[0], in)
	if len(places) > 1 {
		text += "; before that it was at " + Place(places[1]) + duration(places[1], in)
	}
	return text
}

// Place names a port of a switch: "port Gi1/0/7 of sw-1 (10.0.0.2), VLAN 10".
func Place(p *pb.SwitchPort) string {
	port := p.GetPort()
	if port == "" && p.GetIfIndex() > 0 {
		port = "with ifIndex " + strconv.FormatUint(uint64(p.GetIfIndex()), 10)
	}
	text := "an unknown port"
	if port != "" {
		text = "port " + port
	}
	name, ip := cmp.Or(p.GetDeviceName(), p.GetDeviceIp(), p.GetDeviceUid(), "an unknown switch"), p.GetDeviceIp()
	text += " of " + name
	if ip != "" && ip != name {
		text += " (" + ip + ")"
	}
	if p.GetVlan() > 0 {
		text += fmt.Sprintf(", VLAN %d", p.GetVlan())
	}
	return text
}

// duration says from when and until when a device was at a place, as far as is known.
func duration(p *pb.SwitchPort, in *time.Location) string {
	if in == nil {
		in = time.UTC
	}
	text := ""
	if t := p.GetSinceTime(); t.IsValid() {
		text += " since " + t.AsTime().In(in).Format("2006-01-02 15:04 MST")
	}
	if t := p.GetUntilTime(); t.IsValid() {
		text += " until " + t.AsTime().In(in).Format("2006-01-02 15:04 MST")
	}
	return text
}

// Service names an open port and what answers there: "22/tcp ssh OpenSSH 9.6".
func Service(p *pb.Port) string {
	words := []string{fmt.Sprintf("%d/%s", p.GetPort(), cmp.Or(p.GetProtocol(), "tcp"))}
	for _, w := range []string{p.GetService(), p.GetProduct(), p.GetVersion()} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

// System names an operating system: "Linux 6.1".
func System(d *pb.DeviceInventory) string {
	return strings.TrimSpace(d.GetOsName() + " " + d.GetOsVersion())
}
