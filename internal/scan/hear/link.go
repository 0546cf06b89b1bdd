package hear

import (
	"encoding/binary"
	"net/netip"

	"github.com/amoskys/amoskys/internal/flow/packet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// EtherTypes (IEEE registry), and one of ours for CDP, which has a header of IEEE 802.2.
const (
	etherARP  = 0x0806
	etherVLAN = 0x8100
	etherQinQ = 0x88a8
	etherLLDP = 0x88cc
	etherCDP  = 0x2000
)

type mac = packet.MAC

// ethernet reads the header of a frame, behind at most two VLAN tags.
func ethernet(f *packet.Frame) (src mac, kind uint16, body []byte, ok bool) {
	b := f.Data
	if f.Link != packet.LinkEthernet || len(b) < 14 {
		return src, 0, nil, false
	}
	src = mac(b[6:12])
	kind, body = binary.BigEndian.Uint16(b[12:]), b[14:]
	for range 2 {
		if kind != etherVLAN && kind != etherQinQ || len(body) < 4 {
			break
		}
		kind, body = binary.BigEndian.Uint16(body[2:]), body[4:]
	}
	if kind <= 1500 { // a length (IEEE 802.3), then LLC and SNAP
		if len(body) < 8 || string(body[:6]) != "\xaa\xaa\x03\x00\x00\x0c" || binary.BigEndian.Uint16(body[6:]) != etherCDP {
			return src, 0, nil, false
		}
		return src, etherCDP, body[8:min(len(body), max(8, int(kind)))], true
	}
	return src, kind, body, true
}

// claim is a packet of ARP for IPv4 over Ethernet (RFC 826).
type claim struct {
	reply              bool
	sender, target     mac
	senderIP, targetIP netip.Addr
}

func readARP(b []byte) (c claim, ok bool) {
	if len(b) < 28 || string(b[:6]) != "\x00\x01\x08\x00\x06\x04" || b[6] != 0 || b[7] < 1 || b[7] > 2 {
		return c, false
	}
	c = claim{
		reply: b[7] == 2, sender: mac(b[8:14]), target: mac(b[18:24]),
		senderIP: netip.AddrFrom4([4]byte(b[14:18])), targetIP: netip.AddrFrom4([4]byte(b[24:28])),
	}
	return c, c.sender[0]&1 == 0 && c.sender != mac{}
}

// device is what a claim says of its sender. A probe (RFC 5227, section 2.1.1) has no
// address yet.
func (c *claim) device() *pb.DeviceInventory {
	d := &pb.DeviceInventory{Mac: []string{macText(c.sender)}, Sources: []string{"arp"}}
	if usable(c.senderIP) {
		d.Ip = []string{c.senderIP.String()}
	}
	return d
}

// usable reports whether one host can have an address.
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func macText(m mac) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 17)
	for i, v := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[v>>4], digits[v&15])
	}
	return string(b)
}

// readNDP reads what a message of neighbour discovery says of its sender (RFC 4861): its
// address, and that it is a router. It must not have been passed on by one (section 6.1).
func readNDP(src mac, p *packet.Packet) (*pb.DeviceInventory, bool) {
	if p.TTL != 255 {
		return nil, false
	}
	d := &pb.DeviceInventory{Mac: []string{macText(src)}, Sources: []string{"ndp"}}
	if a := p.Src.IP(); usable(a) {
		d.Ip = append(d.Ip, a.String())
	}
	switch p.ICMPType {
	case 134:
		d.DeviceClass, d.Confidence = "router", 0.6
		d.Evidence = []string{"advertises itself as a router by ICMPv6"}
	case 136:
		if len(p.Payload) < 16 {
			return nil, false
		}
		// The target is the sender's own unless it answers for another (section 7.2.8).
		if a := netip.AddrFrom16([16]byte(p.Payload[:16])); usable(a) && a == p.Src.IP() {
			d.Ip = []string{a.String()}
		}
	}
	if len(d.GetIp()) == 0 {
		return nil, true // one that asks whether an address is free
	}
	return d, true
}
