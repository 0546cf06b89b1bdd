package reading

import (
	"bytes"
)

// Bounds on parts of one device, as its own agent has them on its port.
const (
	maxMemories = 16
	maxSensors  = 64
)

// samplesOfPort is how many samples an interface has.
const samplesOfPort = 9

// device is what an SnmpReading is of.
type device struct {
	name, ip, subject string
}

// snmp reads an SnmpReading of type snmp.reading.
func (r *Reader) snmp(b []byte) bool {
	var target, name, uptime, took []byte
	failed := false
	f := fields{rest: b}
	for f.next() {
		if !f.isText() {
			continue
		}
		switch f.number {
		case 1:
			target = f.bytes
		case 2:
			name = f.bytes
		case 8:
			uptime = f.bytes
		case 12:
			took = f.bytes
		case 13:
			failed = len(f.bytes) > 0
		}
	}
	if !f.ok() {
		return false
	}
	d := r.deviceOf(target, name)
	r.set.Source, r.set.Subject = SourceSNMP, d.subject
	labels := r.labelled(Label{"device", d.name}, Label{"ip", d.ip})
	if failed {
		r.add("snmp_up", Gauge, labels, 0)
		return true
	}
	r.add("snmp_up", Gauge, labels, 1)
	if uptime != nil {
		r.add("snmp_system_uptime", Gauge, labels, span(uptime))
	}
	if took != nil {
		r.add("snmp_response_seconds", Gauge, labels, span(took))
	}
	return r.snmpParts(b, d, labels)
}

// deviceOf names the device of an SnmpReading, as the agent's own port does.
func (r *Reader) deviceOf(target, name []byte) device {
	about := parseAbout(r.head.about)
	d := device{name: label(about.name), ip: label(about.ip), subject: label(target)}
	if d.name == "" {
		d.name = label(name)
	}
	if address, found := bytes.CutSuffix(target, []byte(":161")); !found && len(target) > 0 {
		d.ip = label(target) // one of several agents behind an address
	} else if d.ip == "" {
		d.ip = label(bytes.Trim(address, "[]"))
	}
	if d.name == "" {
		d.name = d.ip
	}
	if d.subject == "" {
		d.subject = label(about.uid)
	}
	return d
}

// snmpParts reads what an SnmpReading lists.
func (r *Reader) snmpParts(b []byte, d device, labels []Label) bool {
	loads, load := 0, 0.0
	memories, storages, sensors := 0, 0, 0
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.number == 10:
			f.doubles(func(x float64) { loads, load = loads+1, load+x })
		case !f.isText():
		case f.number == 9 && len(r.set.Samples) >= MaxSamples: // an empty one takes two bytes of the event, and hundreds here
			r.set.Dropped += samplesOfPort
		case f.number == 9:
			if !r.port(f.bytes, d) {
				return false
			}
		case f.number == 11 && memories < maxMemories:
			memories++
			r.memory(f.bytes, r.add, "snmp_system_memory", "memory", d)
		case f.number == 19 && storages < maxMemories:
			storages++
			r.memory(f.bytes, r.addDetail, "snmp_storage_bytes", "storage", d)
		case f.number == 20 && sensors < maxSensors:
			sensors++
			r.sensor(f.bytes, d)
		}
	}
	if loads > 0 {
		r.add("snmp_system_cpu_load", Gauge, labels, load/float64(loads))
	}
	r.onlyOnce()
	return true
}

// memory reads an SnmpMemory.
func (r *Reader) memory(b []byte, add func(string, Kind, []Label, float64), metric, what string, d device) {
	var name []byte
	var used, total uint64
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.number == 1 && f.isText():
			name = f.bytes
		case f.number == 2 && f.isNumber():
			used = f.value
		case f.number == 3 && f.isNumber():
			total = f.value
		}
	}
	for _, kind := range [2]string{"used", "total"} {
		value := used
		if kind == "total" {
			value = total
		}
		add(metric, Gauge, r.labelled(Label{"device", d.name}, Label{"ip", d.ip}, Label{"kind", kind}, Label{what, label(name)}), float64(value))
	}
}

// sensor reads an SnmpSensor.
func (r *Reader) sensor(b []byte, d device) {
	var name, kind, unit []byte
	value, known := 0.0, false
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.number == 3 && f.isFloat():
			value, known = f.float(), true
		case !f.isText():
		case f.number == 1:
			name = f.bytes
		case f.number == 2:
			kind = f.bytes
		case f.number == 4:
			unit = f.bytes
		}
	}
	if known {
		r.addDetail("snmp_sensor", Gauge, r.labelled(
			Label{"device", d.name}, Label{"ip", d.ip}, Label{"kind", label(kind)}, Label{"sensor", label(name)}, Label{"unit", label(unit)},
		), value)
	}
}

// port reads an SnmpInterface.
func (r *Reader) port(b []byte, d device) bool {
	var name, alias, oper []byte
	var n [15]uint64 // by number of the field
	watts := 0.0
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.number == 20 && f.isFloat():
			watts = f.float()
		case f.isNumber() && f.number < 15:
			n[f.number] = f.value
		case !f.isText():
		case f.number == 2:
			name = f.bytes
		case f.number == 3:
			alias = f.bytes
		case f.number == 6:
			oper = f.bytes
		}
	}
	if !f.ok() {
		return false
	}
	device, ip, index := Label{"device", d.name}, Label{"ip", d.ip}, Label{"ifIndex", r.decimal(n[1])}
	ifName, ifAlias := Label{"ifName", label(name)}, Label{"ifAlias", label(alias)}
	labels := r.labelled(device, ifAlias, index, ifName, ip)
	up := 0.0
	if string(oper) == "up" {
		up = 1
	}
	r.add("snmp_interface_up", Gauge, labels, up)
	r.add("snmp_interface_bytes_in", Unknown, labels, float64(n[7]))
	r.add("snmp_interface_bytes_out", Unknown, labels, float64(n[8]))
	r.addDetail("snmp_interface_packets_in", Unknown, labels, float64(n[9]))
	r.addDetail("snmp_interface_packets_out", Unknown, labels, float64(n[10]))
	if watts > 0 {
		r.addDetail("snmp_interface_poe_watts", Gauge, labels, watts)
	}
	in := r.labelled(device, Label{"direction", "in"}, ifAlias, index, ifName, ip)
	out := r.labelled(device, Label{"direction", "out"}, ifAlias, index, ifName, ip)
	r.add("snmp_interface_errors", Unknown, in, float64(n[11]))
	r.add("snmp_interface_errors", Unknown, out, float64(n[12]))
	r.addDetail("snmp_interface_discards", Unknown, in, float64(n[13]))
	r.addDetail("snmp_interface_discards", Unknown, out, float64(n[14]))
	return true
}

func snmpFamilies() []Family {
	device := []string{"device", "ip"}
	port := []string{"device", "ifAlias", "ifIndex", "ifName", "ip"}
	way := []string{"device", "direction", "ifAlias", "ifIndex", "ifName", "ip"}
	return []Family{
		{Name: "snmp_up", Help: "1 while a device answers SNMP.", Kind: Gauge, Labels: device},
		{Name: "snmp_response_seconds", Help: "How long the last poll of a device took.", Unit: "s", Kind: Gauge, Labels: device},
		{Name: "snmp_system_uptime", Help: "Seconds since a device has started, as it says.", Unit: "s", Kind: Gauge, Labels: device},
		{Name: "snmp_system_cpu_load", Help: "Mean load of the processors of a device, in percent.", Unit: "%", Kind: Gauge, Labels: device},
		{Name: "snmp_system_memory", Help: "Bytes of memory of a device, by kind: used or total.", Unit: "By", Kind: Gauge, Labels: []string{"device", "ip", "kind", "memory"}},
		{Name: "snmp_storage_bytes", Help: "Bytes of a file system of a device, by kind: used or total.", Unit: "By", Kind: Gauge, Labels: []string{"device", "ip", "kind", "storage"}, Detail: true},
		{Name: "snmp_sensor", Help: "Reading of a sensor of a device, in its unit.", Kind: Gauge, Labels: []string{"device", "ip", "kind", "sensor", "unit"}, Detail: true},
		{Name: "snmp_interface_up", Help: "1 while an interface is up.", Kind: Gauge, Labels: port},
		{Name: "snmp_interface_poe_watts", Help: "Power that an interface gives.", Unit: "W", Kind: Gauge, Labels: port, Detail: true},
		{Name: "snmp_interface_bytes_in", Help: "Bytes that an interface has received.", Unit: "By", Kind: Unknown, Labels: port},
		{Name: "snmp_interface_bytes_out", Help: "Bytes that an interface has sent.", Unit: "By", Kind: Unknown, Labels: port},
		{Name: "snmp_interface_packets_in", Help: "Packets that an interface has received.", Unit: "{packet}", Kind: Unknown, Labels: port, Detail: true},
		{Name: "snmp_interface_packets_out", Help: "Packets that an interface has sent.", Unit: "{packet}", Kind: Unknown, Labels: port, Detail: true},
		{Name: "snmp_interface_errors", Help: "Packets with errors of an interface, by direction.", Unit: "{packet}", Kind: Unknown, Labels: way},
		{Name: "snmp_interface_discards", Help: "Packets that an interface has dropped, by direction.", Unit: "{packet}", Kind: Unknown, Labels: way, Detail: true},
	}
}
