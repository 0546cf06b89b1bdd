package hear

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// maxText is the most bytes that are kept of one text.
const maxText = 255

// plain makes one line of text of what a packet has.
func plain(b []byte) string {
	s := strings.ToValidUTF8(string(b[:min(len(b), 4*maxText)]), "")
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if unicode.IsControl(r) || !unicode.IsPrint(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// readLLDP reads what a neighbour of our own port says of itself (IEEE 802.1AB, section
// 8; TIA-1057 for its inventory); nil if that is malformed. ours and host name our port
// and this host.
func readLLDP(src mac, b []byte, ours, host string) *pb.DeviceInventory {
	d := &pb.DeviceInventory{Mac: []string{macText(src)}, Sources: []string{"lldp"}}
	link := &pb.DeviceLink{Source: "lldp", Name: host, RemotePort: ours}
	seen := 0
	for len(b) >= 2 {
		head := binary.BigEndian.Uint16(b)
		kind, n := head>>9, int(head&0x1ff)
		if len(b) < 2+n {
			return nil
		}
		v := b[2 : 2+n]
		b = b[2+n:]
		if kind == 0 {
			break
		}
		if seen++; seen > 64 {
			return nil
		}
		lldpField(d, link, kind, v)
	}
	if seen < 3 { // chassis, port and time to live have to be there
		return nil
	}
	d.Links = []*pb.DeviceLink{link}
	return d
}

// lldpField reads one field.
func lldpField(d *pb.DeviceInventory, link *pb.DeviceLink, kind uint16, v []byte) {
	switch kind {
	case 1: // chassis
		if len(v) == 7 && v[0] == 4 && v[1]&1 == 0 {
			if m := macText(mac(v[1:])); m != d.GetMac()[0] {
				d.Mac = append(d.Mac, m)
			}
		}
	case 2: // port: by interface name, alias, number of its own, or MAC address
		if len(v) == 7 && v[0] == 3 {
			link.Port = macText(mac(v[1:]))
		} else if len(v) > 1 {
			link.Port = plain(v[1:])
		}
	case 4:
		link.Description = plain(v)
	case 5:
		if name := plain(v); name != "" {
			d.Names = []string{name}
		}
	case 6:
		if text := plain(v); text != "" {
			d.Evidence = append(d.Evidence, "says by LLDP that it is "+text)
		}
	case 7:
		if len(v) == 4 {
			link.Capabilities = lldpCapabilities(binary.BigEndian.Uint16(v[2:]))
			d.DeviceClass, d.Confidence = classOf(link.GetCapabilities())
			link.Capabilities = nil // those are of the device itself, not of this host
		}
	case 8:
		managementAddress(d, v)
	case 127:
		if len(v) > 4 && string(v[:3]) == "\x00\x12\xbb" {
			medField(d, v[3], plain(v[4:]))
		}
	}
}

// managementAddress reads the address under which it wants to be managed.
func managementAddress(d *pb.DeviceInventory, v []byte) {
	if len(v) < 2 || int(v[0]) < 1 || len(v) < 1+int(v[0]) {
		return
	}
	family, text := v[1], v[2:1+int(v[0])]
	if a, ok := netip.AddrFromSlice(text); ok && (family == 1 && a.Is4() || family == 2 && a.Is6()) && usable(a) && len(d.GetIp()) < 8 {
		d.Ip = append(d.Ip, a.String())
	}
}

// medField reads the inventory of LLDP-MED.
func medField(d *pb.DeviceInventory, kind byte, text string) {
	switch kind {
	case 7:
		d.OsVersion = text
	case 8:
		d.SerialNumber = text
	case 9:
		d.Vendor = text
	case 10:
		d.Model = text
	}
}

// lldpCapabilities names the capabilities that are enabled (section 8.5.8).
func lldpCapabilities(bits uint16) []string {
	var out []string
	for i, name := range []string{"other", "repeater", "bridge", "wlan", "router", "telephone", "docsis", "station"} {
		if bits>>i&1 != 0 {
			out = append(out, name)
		}
	}
	return out
}

// classOf is the class that capabilities tell of.
func classOf(capabilities []string) (class string, confidence float64) {
	has := func(name string) bool { return slices.Contains(capabilities, name) }
	switch {
	case has("telephone"):
		return "phone", 0.9
	case has("wlan"):
		return "access point", 0.9
	case has("bridge"):
		return "switch", 0.85
	case has("router"):
		return "router", 0.85
	case has("station"):
		return "workstation", 0.3
	}
	return "", 0
}

// readCDP reads what a neighbour of our own port says of itself in Cisco's protocol,
// whose fields are those that Wireshark's documentation lists; nil if that is malformed.
func readCDP(src mac, b []byte, ours, host string) *pb.DeviceInventory {
	if len(b) < 8 || b[0] < 1 || b[0] > 2 {
		return nil
	}
	d := &pb.DeviceInventory{Mac: []string{macText(src)}, Sources: []string{"cdp"}}
	link := &pb.DeviceLink{Source: "cdp", Name: host, RemotePort: ours}
	seen := 0
	for b = b[4:]; len(b) >= 4; seen++ {
		kind, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) || seen > 64 {
			return nil
		}
		cdpField(d, link, kind, b[4:n])
		b = b[n:]
	}
	if seen == 0 {
		return nil
	}
	d.Links = []*pb.DeviceLink{link}
	return d
}

func cdpField(d *pb.DeviceInventory, link *pb.DeviceLink, kind uint16, v []byte) {
	switch kind {
	case 1:
		name, _, _ := strings.Cut(plain(v), "(") // some add their serial number
		if name != "" {
			d.Names = []string{name}
		}
	case 2, 0x16:
		cdpAddresses(d, v)
	case 3:
		link.Port = plain(v)
	case 4:
		if len(v) == 4 {
			bits := binary.BigEndian.Uint32(v)
			switch {
			case bits&0x80 != 0:
				d.DeviceClass, d.Confidence = "phone", 0.9
			case bits&0x08 != 0, bits&0x02 != 0:
				d.DeviceClass, d.Confidence = "switch", 0.85
			case bits&0x01 != 0:
				d.DeviceClass, d.Confidence = "router", 0.85
			}
		}
	case 5:
		if text := plain(v); text != "" {
			d.Evidence = append(d.Evidence, "says by CDP that it runs "+text)
		}
	case 6:
		d.Model = plain(v)
		if strings.HasPrefix(strings.ToLower(d.GetModel()), "cisco ") {
			d.Vendor = "Cisco"
		}
	}
}

// cdpAddresses reads a list of addresses, each with its protocol before it.
func cdpAddresses(d *pb.DeviceInventory, v []byte) {
	if len(v) < 4 {
		return
	}
	n := min(binary.BigEndian.Uint32(v), 8)
	for v = v[4:]; n > 0 && len(v) >= 2; n-- {
		protocol := int(v[1])
		if len(v) < 4+protocol {
			return
		}
		size := int(binary.BigEndian.Uint16(v[2+protocol:]))
		if len(v) < 4+protocol+size {
			return
		}
		if a, ok := netip.AddrFromSlice(v[4+protocol : 4+protocol+size]); ok && usable(a) {
			d.Ip = append(d.Ip, a.String())
		}
		v = v[4+protocol+size:]
	}
}
