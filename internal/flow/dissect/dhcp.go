package dissect

import (
	"encoding/hex"
	"fmt"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// dhcpCookie begins the options (RFC 2131, section 3).
const dhcpCookie = "\x63\x82\x53\x63"

// matchDHCP recognises BOOTP's fixed part, with DHCP's options or without.
func matchDHCP(l *look) answer {
	b := l.b
	if len(b) < 236 || b[0] == 0 || b[0] > 2 || b[1] == 0 || b[1] > 32 || b[2] > 16 {
		return no
	}
	if len(b) >= 240 && string(b[236:240]) == dhcpCookie {
		return yes
	}
	if b[1] == 1 && b[2] == 6 && (l.srcPort == 67 || l.srcPort == 68) && (l.dstPort == 67 || l.dstPort == 68) {
		return yes
	}
	return no
}

var dhcpMessages = [...]string{ //nolint:gochecknoglobals // constant
	1: "DISCOVER", 2: "OFFER", 3: "REQUEST", 4: "DECLINE", 5: "ACK", 6: "NAK", 7: "RELEASE", 8: "INFORM",
}

// readDHCP reads what the client says of itself and what it is given.
func readDHCP(r *reading) Verdict {
	f := r.facts()
	if f.DHCP == nil {
		f.DHCP = new(DHCP)
	}
	d := f.DHCP
	if !d.read(r.b) {
		return More
	}
	if d.Hostname != "" && r.e.o.OnName != nil && d.Message != "DISCOVER" {
		addr := d.Assigned
		if addr == (packet.Addr{}) {
			addr = d.Requested
		}
		r.e.o.OnName("dhcp", d.Hostname, addr, r.at)
	}
	if d.Message == "ACK" || d.Message == "NAK" || r.s.payloads >= MaxPayloads {
		return Done
	}
	return More
}

// ReadDHCP reads one message of DHCP or BOOTP; ok is false where it is none.
func ReadDHCP(b []byte) (d DHCP, ok bool) {
	if len(b) < 236 || b[0] == 0 || b[0] > 2 {
		return d, false
	}
	return d, d.read(b)
}

// read adds what a message says, and reports whether it is long enough for one.
func (d *DHCP) read(b []byte) bool {
	if len(b) < 236 {
		return false
	}
	if b[2] == 6 {
		d.MAC = macText(b[28:34])
	}
	d.FromServer = b[0] == 2
	if u32(b, 12) != 0 {
		d.Client = packet.Addr4([4]byte(b[12:16]))
	}
	if b[0] == 2 && u32(b, 16) != 0 {
		d.Assigned = packet.Addr4([4]byte(b[16:20]))
	}
	if len(b) >= 240 && string(b[236:240]) == dhcpCookie {
		d.readOptions(b[240:])
	}
	return true
}

func (d *DHCP) readOptions(b []byte) {
	for c := (cursor{b: b}); len(c.b) > 0; {
		code := c.u8()
		if code == 0 {
			continue
		}
		if code == 255 {
			return
		}
		v := c.upTo(c.u8())
		switch code {
		case 12:
			d.Hostname = text(v, maxName)
		case 50:
			if len(v) == 4 {
				d.Requested = packet.Addr4([4]byte(v))
			}
		case 53:
			if len(v) == 1 && int(v[0]) < len(dhcpMessages) {
				d.Message = dhcpMessages[v[0]]
			}
		case 54:
			if len(v) == 4 {
				d.Server = packet.Addr4([4]byte(v))
			}
		case 55:
			d.Parameters = append([]uint8(nil), v...)
		case 60:
			d.VendorClass = text(v, maxName)
		case 61:
			d.ClientID = hex.EncodeToString(v)
		case 81: // Client FQDN (RFC 4702).
			if len(v) > 3 && d.Hostname == "" {
				d.Hostname = fqdnOption(v[3:], v[0]&4 != 0)
			}
		}
	}
}

// fqdnOption reads the name in a Client FQDN option, in the form of DNS or as text.
func fqdnOption(v []byte, wire bool) string {
	if !wire {
		return hostName(v)
	}
	name, _, ok := new(shared).dnsName(append(append([]byte(nil), v...), 0), 0)
	if !ok || name == "." {
		return ""
	}
	return name
}

func macText(b []byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5])
}

// dhcp6Ports says whether a datagram goes between DHCPv6 ports (RFC 8415, section
// 7.2).
func dhcp6Ports(l *look) bool {
	return (l.srcPort == 546 || l.srcPort == 547) && (l.dstPort == 546 || l.dstPort == 547) || l.dstPort == 547
}

// matchDHCP6 recognises a message by its type and by options that fill it.
func matchDHCP6(l *look) answer {
	b := l.b
	if len(b) < 8 || b[0] == 0 || b[0] > 36 || !dhcp6Ports(l) {
		return no
	}
	at := 4
	if b[0] == 12 || b[0] == 13 {
		at = 34
	}
	for i := 0; i < 4 && at < len(b); i++ {
		if at+4 > len(b) || u16(b, at) == 0 || u16(b, at) > 150 {
			return no
		}
		at += 4 + int(u16(b, at+2))
	}
	if at > l.size {
		return no
	}
	return yes
}

var dhcp6Messages = [...]string{ //nolint:gochecknoglobals // constant
	1: "SOLICIT", 2: "ADVERTISE", 3: "REQUEST", 4: "CONFIRM", 5: "RENEW", 6: "REBIND", 7: "REPLY", 8: "RELEASE",
	9: "DECLINE", 10: "RECONFIGURE", 11: "INFORMATION-REQUEST", 12: "RELAY-FORW", 13: "RELAY-REPL",
}

// readDHCP6 reads the client's identifier, name and vendor class.
func readDHCP6(r *reading) Verdict {
	f := r.facts()
	if f.DHCP == nil {
		f.DHCP = new(DHCP)
	}
	if !f.DHCP.read6(r.b) {
		return More
	}
	return Done
}

// ReadDHCP6 reads one message of DHCPv6 (RFC 8415, section 8); ok is false where it is
// none. Of what relays pass on it reads nothing.
func ReadDHCP6(b []byte) (d DHCP, ok bool) {
	if len(b) < 4 || int(b[0]) >= len(dhcp6Messages) || b[0] == 0 {
		return d, false
	}
	return d, d.read6(b)
}

// read6 adds what a message says, and reports whether it is long enough for one.
func (d *DHCP) read6(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	if int(b[0]) < len(dhcp6Messages) {
		d.Message = dhcp6Messages[b[0]]
	}
	d.FromServer = b[0] == 2 || b[0] == 7 || b[0] == 10
	if b[0] == 12 || b[0] == 13 {
		return true
	}
	for c := (cursor{b: b[4:]}); len(c.b) >= 4; {
		code := c.u16()
		v := c.upTo(c.u16())
		if code == 1 {
			d.ClientID = hex.EncodeToString(v[:min(len(v), 130)]) // RFC 8415, section 11.1
		}
		switch {
		case code == 1 && len(v) == 14 && u16(v, 0) == 1: // A DUID of time and link-layer address.
			d.MAC = macText(v[8:14])
		case code == 1 && len(v) == 10 && u16(v, 0) == 3:
			d.MAC = macText(v[4:10])
		case code == 6:
			for i := 0; i+2 <= len(v) && len(d.Parameters) < 64; i += 2 {
				d.Parameters = append(d.Parameters, v[i+1])
			}
		case code == 16 && len(v) > 6:
			d.VendorClass = text(v[6:], maxName)
		case code == 39 && len(v) > 1:
			d.Hostname = fqdnOption(v[1:], true)
		case code == 3 && len(v) >= 12+4+16 && u16(v, 12) == 5:
			copy(d.Assigned[:], v[16:32])
		}
	}
	return true
}
