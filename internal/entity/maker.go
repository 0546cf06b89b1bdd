package entity

// Maker is who made a device, of what it or an observer gives as its vendor. Systems that
// run on machines of any maker are none: net-snmp on them gives the system's name, and the
// maker is known better from elsewhere, such as from the MAC address. Empty is unknown.
func Maker(vendor string) string {
	switch vendor {
	case "Linux", "FreeBSD", "OpenBSD", "NetBSD", "DragonFly", "net-snmp":
		return ""
	}
	return vendor
}
