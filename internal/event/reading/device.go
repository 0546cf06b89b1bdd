package reading

// about is a Device, of which lists have their first entry alone.
type about struct{ uid, name, ip []byte }

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

// deviceFamilies are told in batches by the scanner, each minute or two: events of devices
// come when something changes, or once a day, and a series lives for five minutes.
func deviceFamilies() []Family {
	labels := []string{"ip", "mac"}
	return []Family{
		{Name: "device_up", Help: "1 for a device of the network that was seen lately, else 0.", Kind: Gauge, Labels: labels},
		{Name: "device_open_ports", Help: "Open ports of a device.", Unit: "{port}", Kind: Gauge, Labels: labels},
		{Name: "device_last_seen_timestamp_seconds", Help: "Unix time at which a device was seen last.", Unit: "s", Kind: Gauge, Labels: labels},
		{Name: "device_count", Help: "Devices that are not gone, by class.", Unit: "{device}", Kind: Gauge, Labels: []string{"class"}},
	}
}
