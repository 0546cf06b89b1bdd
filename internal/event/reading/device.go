package reading

import (
	"strings"

	"github.com/amoskys/amoskys/internal/event"
)

// about is a Device, of which lists have their first entry alone.
type about struct{ uid, name, ip, mac []byte }

func parseAbout(b []byte) (a about) {
	f := fields{rest: b}
	for f.next() {
		if !f.isText() {
			continue
		}
		switch f.number {
		case 1:
			a.uid = f.bytes
		case 2:
			a.name = f.bytes
		case 3:
			a.ip = first(a.ip, f.bytes)
		case 4:
			a.mac = first(a.mac, f.bytes)
		}
	}
	return a
}

// first is old, or b where there is none.
func first(old, b []byte) []byte {
	if old == nil {
		return b
	}
	return old
}

// inventory reads a DeviceInventory. How many devices there are of each class is for
// their agent to tell, in a batch: no event alone says it.
func (r *Reader) inventory(b []byte) bool {
	if !strings.HasPrefix(view(r.head.typ), "device.") {
		return false
	}
	var uid, ip, mac, hostname, last []byte
	ports, sources, snmp := 0, 0, false
	f := fields{rest: b}
	for f.next() {
		if !f.isText() {
			continue
		}
		switch f.number {
		case 1:
			uid = f.bytes
		case 2:
			ip = first(ip, f.bytes)
		case 3:
			mac = first(mac, f.bytes)
		case 4:
			hostname = f.bytes
		case 9:
			ports++
		case 11:
			last = f.bytes
		case 19:
			sources++
			snmp = snmp || string(f.bytes) == "snmp"
		}
	}
	if !f.ok() {
		return false
	}
	s := &r.set
	s.Source, s.Subject = SourceDevice, label(uid)
	labels := r.labelled(Label{"device", label(hostname)}, Label{"ip", label(ip)}, Label{"mac", label(mac)})
	up := 1.0
	if string(r.head.typ) == event.TypeDeviceGone {
		up = 0
	}
	r.add("device_up", Gauge, labels, up)
	if ports > 0 || !snmp || sources > 1 { // who only asks by SNMP does not look for ports
		r.add("device_open_ports", Gauge, labels, float64(ports))
	}
	if last != nil {
		r.add("device_last_seen_timestamp_seconds", Gauge, labels, span(last))
	}
	return true
}

func deviceFamilies() []Family {
	labels := []string{"device", "ip", "mac"}
	return []Family{
		{Name: "device_up", Help: "1 for a device of the network, 0 once its agent has told that it is gone.", Kind: Gauge, Labels: labels},
		{Name: "device_open_ports", Help: "Open ports of a device.", Unit: "{port}", Kind: Gauge, Labels: labels},
		{Name: "device_last_seen_timestamp_seconds", Help: "Unix time at which a device was seen last, when its agent told of it.", Unit: "s", Kind: Gauge, Labels: labels},
		{Name: "device_count", Help: "Devices that are not gone, by class.", Unit: "{device}", Kind: Gauge, Labels: []string{"class"}},
	}
}
