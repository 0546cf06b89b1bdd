package packet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// summary writes of a packet what a test case states, in one line.
func summary(p *Packet) string {
	var b strings.Builder
	for _, t := range p.Tunnels[:p.TunnelCount] {
		fmt.Fprintf(&b, "%s:%d ", []string{"none", "vlan", "mpls", "pppoe", "gre", "vxlan", "geneve", "ipip", "gtpu", "erspan", "teredo", "l2tp"}[t.Kind], t.ID)
	}
	if p.Version == 0 {
		fmt.Fprintf(&b, "type %04x", p.EtherType)
		return b.String()
	}
	src, dst := netip.AddrFrom16(p.Src).Unmap(), netip.AddrFrom16(p.Dst).Unmap()
	fmt.Fprintf(&b, "v%d proto %d ", p.Version, p.Protocol)
	if p.HasPorts {
		src, dst := netip.AddrPortFrom(src, p.SrcPort), netip.AddrPortFrom(dst, p.DstPort)
		fmt.Fprintf(&b, "%s>%s", src, dst)
	} else {
		fmt.Fprintf(&b, "%s>%s", src, dst)
	}
	fmt.Fprintf(&b, " ip %d payload %d", p.IPBytes, p.PayloadBytes)
	if p.Fragment {
		fmt.Fprintf(&b, " fragment")
	}
	return b.String()
}

const (
	v4Ports = "192.0.2.1:40000>198.51.100.2:443"
	v6Ports = "[2001:db8::1]:40000>[2001:db8::2]:443"
	inside  = "v4 proto 17 192.0.2.1:1111>198.51.100.2:2222 ip 34 payload 6"
)

// decodeCase is a frame and what is in it.
type decodeCase struct {
	name string
	link Link
	data []byte
	want string
}

// decodeCases has a frame for each layer that is read.
func decodeCases() []decodeCase {
	hello := []byte("hello")
	grePlain := func(kind int, in []byte) []byte { return ipv4(protoGRE, join(u16(0), u16(kind), in)) }
	padded := append(ether(etherIPv4, ipv4(protoTCP, tcp([]byte("x")))), make([]byte, 5)...)
	wifiData := join([]byte{0x88, 0x01, 0, 0}, macB, macA, macB, u16(0), u16(0), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, inner())
	return []decodeCase{
		{"TCP", LinkEthernet, ether(etherIPv4, ipv4(protoTCP, tcp(hello))), "v4 proto 6 " + v4Ports + " ip 45 payload 5"},
		{"padding is not payload", LinkEthernet, padded, "v4 proto 6 " + v4Ports + " ip 41 payload 1"},
		{"IPv4 options", LinkEthernet, ether(etherIPv4, ipv4With(protoTCP, 0, []byte{7, 3, 4, 0}, tcp(hello))), "v4 proto 6 " + v4Ports + " ip 49 payload 5"},
		{"TCP options", LinkEthernet, ether(etherIPv4, ipv4(protoTCP, tcpWith(SYN, []byte{2, 4, 5, 180}, nil))), "v4 proto 6 " + v4Ports + " ip 44 payload 0"},
		{"IPv6", LinkEthernet, ether(etherIPv6, ipv6(protoTCP, tcp(hello))), "v6 proto 6 " + v6Ports + " ip 65 payload 5"},
		{"IPv6 extensions", LinkEthernet, ether(etherIPv6, ipv6(protoHopByHop, extension(protoRouting, extension(protoOptions, extension(protoTCP, tcp(hello)))))), "v6 proto 6 " + v6Ports + " ip 89 payload 5"},
		{"IPv6 authentication header", LinkEthernet, ether(etherIPv6, ipv6(protoAH, join([]byte{protoTCP, 1}, make([]byte, 10), tcp(hello)))), "v6 proto 6 " + v6Ports + " ip 77 payload 5"},
		{"IPv4 authentication header", LinkEthernet, ether(etherIPv4, ipv4(protoAH, join([]byte{protoTCP, 1}, make([]byte, 10), tcp(hello)))), "v4 proto 6 " + v4Ports + " ip 57 payload 5"},
		{"IPv6 whole packet with fragment header", LinkEthernet, ether(etherIPv6, ipv6(protoFragment, fragment6(protoTCP, 0, tcp(hello)))), "v6 proto 6 " + v6Ports + " ip 73 payload 5"},
		{"IPv6 without a payload", LinkEthernet, append(ether(etherIPv6, ipv6(protoNone, nil)), 0, 0, 0, 0, 0, 0), "v6 proto 59 2001:db8::1>2001:db8::2 ip 40 payload 0"},
		{"UDP", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, udp(5353, 53, hello))), "v4 proto 17 192.0.2.1:5353>198.51.100.2:53 ip 33 payload 5"},
		{"UDP with a tail", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, append(udp(5353, 53, hello), 1, 2, 3))), "v4 proto 17 192.0.2.1:5353>198.51.100.2:53 ip 36 payload 5"},
		{"SCTP", LinkEthernet, ether(etherIPv4, ipv4(protoSCTP, join(u16(40000), u16(443), u32(0), u32(0), hello))), "v4 proto 132 " + v4Ports + " ip 37 payload 5"},
		{"UDP-Lite", LinkEthernet, ether(etherIPv4, ipv4(protoUDPLite, join(u16(40000), u16(443), u32(0), hello))), "v4 proto 136 " + v4Ports + " ip 33 payload 5"},
		{"DCCP", LinkEthernet, ether(etherIPv4, ipv4(protoDCCP, join(u16(40000), u16(443), []byte{4}, make([]byte, 11), hello))), "v4 proto 33 " + v4Ports + " ip 41 payload 5"},
		{"ICMP", LinkEthernet, ether(etherIPv4, ipv4(protoICMP, []byte{8, 0, 0, 0, 0, 1, 0, 2, 9, 9})), "v4 proto 1 192.0.2.1>198.51.100.2 ip 30 payload 2"},
		{"ICMPv6", LinkEthernet, ether(etherIPv6, ipv6(protoICMPv6, []byte{135, 0, 0, 0, 0, 0, 0, 0, 9, 9})), "v6 proto 58 2001:db8::1>2001:db8::2 ip 50 payload 2"},
		{"ESP", LinkEthernet, ether(etherIPv4, ipv4(50, hello)), "v4 proto 50 192.0.2.1>198.51.100.2 ip 25 payload 5"},
		{"ARP", LinkEthernet, ether(0x0806, make([]byte, 46)), "type 0806"},
		{"LLC", LinkEthernet, ether(38, make([]byte, 46)), "type 0000"},
		{"SNAP", LinkEthernet, ether(42, join([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, inner())), inside},
		{"VLAN", LinkEthernet, ether(etherVLAN, vlan(0x2005, etherIPv4, inner())), "vlan:5 " + inside},
		{"QinQ", LinkEthernet, ether(etherQinQ, vlan(7, etherVLAN, vlan(5, etherIPv4, inner()))), "vlan:7 vlan:5 " + inside},
		{"MPLS", LinkEthernet, ether(etherMPLS, join(u32(100<<12), u32(200<<12|0x100), inner())), "mpls:100 mpls:200 " + inside},
		{"Ethernet over MPLS", LinkEthernet, ether(etherMPLS, join(u32(100<<12|0x100), ether(etherIPv4, inner()))), "mpls:100 " + inside},
		{"Ethernet over MPLS with control word", LinkEthernet, ether(etherMPLS, join(u32(100<<12|0x100), u32(0), ether(etherIPv4, inner()))), "mpls:100 " + inside},
		{"PPPoE", LinkEthernet, ether(etherPPPoE, join([]byte{0x11, 0}, u16(3), u16(36), u16(pppIPv4), inner())), "pppoe:3 " + inside},
		{"PPPoE discovery", LinkEthernet, ether(0x8863, make([]byte, 46)), "type 8863"},
		{"GRE", LinkEthernet, ether(etherIPv4, grePlain(etherIPv4, inner())), "gre:0 " + inside},
		{"GRE with key, sum and number", LinkEthernet, ether(etherIPv4, ipv4(protoGRE, join(u16(0xb000), u16(etherIPv4), u32(1), u32(42), u32(3), inner()))), "gre:42 " + inside},
		{"NVGRE", LinkEthernet, ether(etherIPv4, ipv4(protoGRE, join(u16(0x2000), u16(etherTEB), u32(42), ether(etherIPv4, inner())))), "gre:42 " + inside},
		{"PPTP", LinkEthernet, ether(etherIPv4, ipv4(protoGRE, join(u16(0x3081), u16(etherPPP), u16(38), u16(9), u32(1), u32(1), []byte{0xff, 3}, u16(pppIPv4), inner()))), "gre:9 " + inside},
		{"GRE keepalive stays", LinkEthernet, ether(etherIPv4, grePlain(0, nil)), "v4 proto 47 192.0.2.1>198.51.100.2 ip 24 payload 4"},
		{"GRE with another inside stays", LinkEthernet, ether(etherIPv4, grePlain(etherIPv4, hello)), "v4 proto 47 192.0.2.1>198.51.100.2 ip 29 payload 9"},
		{"ERSPAN I", LinkEthernet, ether(etherIPv4, grePlain(greERSPAN, ether(etherIPv4, inner()))), "erspan:0 " + inside},
		{"ERSPAN II", LinkEthernet, ether(etherIPv4, ipv4(protoGRE, join(u16(0x1000), u16(greERSPAN), u32(1), u16(0x1000), u16(0x4021), u32(0), ether(etherIPv4, inner())))), "erspan:33 " + inside},
		{"ERSPAN III", LinkEthernet, ether(etherIPv4, ipv4(protoGRE, join(u16(0x1000), u16(greERSPAN3), u32(1), u16(0x2000), u16(33), u32(0), u32(1), u32(0), u32(0), ether(etherIPv4, inner())))), "erspan:33 " + inside},
		{"VXLAN", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, udp(50000, portVXLAN, join(u32(0x08000000), u32(77<<8), ether(etherIPv4, inner()))))), "vxlan:77 " + inside},
		{"VXLAN, group policy, VLAN inside", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, udp(50000, portOldVXLAN, join(u32(0x88000007), u32(77<<8), ether(etherVLAN, vlan(5, etherIPv4, inner())))))), "vxlan:77 vlan:5 " + inside},
		{"VXLAN with a reserved bit stays", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, udp(50000, portVXLAN, join(u32(0x08000000), u32(77<<8|1), ether(etherIPv4, inner()))))), "v4 proto 17 192.0.2.1:50000>198.51.100.2:4789 ip 84 payload 56"},
		{"DNS to a client on VXLAN's port", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, udp(53, portVXLAN, make([]byte, 60)))), "v4 proto 17 192.0.2.1:53>198.51.100.2:4789 ip 88 payload 60"},
		{"Geneve", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, udp(50000, portGeneve, join([]byte{1, 0}, u16(etherTEB), u32(77<<8), u32(0), ether(etherIPv4, inner()))))), "geneve:77 " + inside},
		{"GTP-U", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, udp(50000, portGTPU, join([]byte{0x30, 0xff}, u16(34), u32(77), inner())))), "gtpu:77 " + inside},
		{"GTP-U with extension", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, udp(portGTPU, portGTPU, join([]byte{0x34, 0xff}, u16(42), u32(77), []byte{0, 0, 0, 0x85, 1, 0, 9, 0}, inner())))), "gtpu:77 " + inside},
		{"GTP-U echo stays", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, udp(portGTPU, portGTPU, join([]byte{0x32, 1}, u16(4), u32(0), u32(0))))), "v4 proto 17 192.0.2.1:2152>198.51.100.2:2152 ip 40 payload 12"},
		{"Teredo", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, udp(50000, portTeredo, join([]byte{0, 0, 1, 2, 3, 4, 5, 6}, teredoPacket())))), "teredo:0 v6 proto 17 [2001:0:1::1]:1111>[2001:db8::2]:2222 ip 54 payload 6"},
		{"L2TP", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, udp(portL2TP, portL2TP, join(u16(0x4002), u16(8+4+34), u16(6), u16(7), []byte{0xff, 3}, u16(pppIPv4), inner())))), "l2tp:393223 " + inside},
		{"L2TP control stays", LinkEthernet, ether(etherIPv4, ipv4(protoUDP, udp(portL2TP, portL2TP, join(u16(0xc802), u16(12), u32(0), u32(0))))), "v4 proto 17 192.0.2.1:1701>198.51.100.2:1701 ip 40 payload 12"},
		{"4in4", LinkEthernet, ether(etherIPv4, ipv4(protoIPv4, inner())), "ipip:0 " + inside},
		{"6in4", LinkEthernet, ether(etherIPv4, ipv4(protoIPv6, ipv6(protoTCP, tcp(hello)))), "ipip:0 v6 proto 6 " + v6Ports + " ip 65 payload 5"},
		{"4in6", LinkEthernet, ether(etherIPv6, ipv6(protoIPv4, inner())), "ipip:0 " + inside},
		{"MPLS in IP", LinkEthernet, ether(etherIPv4, ipv4(protoMPLS, join(u32(100<<12|0x100), inner()))), "mpls:100 " + inside},
		{"BSD loopback", LinkNull, join([]byte{2, 0, 0, 0}, inner()), inside},
		{"BSD loopback of the other order", LinkNull, join([]byte{0, 0, 0, 30}, ipv6(protoTCP, tcp(hello))), "v6 proto 6 " + v6Ports + " ip 65 payload 5"},
		{"OpenBSD loopback", LinkLoop, join(u32(2), inner()), inside},
		{"PPP", LinkPPP, join([]byte{0xff, 3}, u16(pppIPv4), inner()), inside},
		{"PPP in short", LinkPPP, join([]byte{pppIPv4}, inner()), inside},
		{"HDLC as PPP", LinkPPP, join([]byte{0x8f, 0}, u16(etherIPv4), inner()), inside},
		{"HDLC", LinkPPPHDLC, join([]byte{0x0f, 0}, u16(etherIPv4), inner()), inside},
		{"raw IPv4", LinkRaw, inner(), inside},
		{"raw IPv6", LinkIPv6, ipv6(protoTCP, tcp(hello)), "v6 proto 6 " + v6Ports + " ip 65 payload 5"},
		{"cooked", LinkCooked, join(u16(0), u16(1), u16(6), macA, u16(0), u16(etherIPv4), inner()), inside},
		{"cooked, second version", LinkCooked2, join(u16(etherIPv4), u16(0), u32(3), u16(1), []byte{0, 6}, macA, u16(0), inner()), inside},
		{"Wi-Fi", LinkWiFi, wifiData, inside},
		{"Wi-Fi behind radiotap", LinkRadiotap, join([]byte{0, 0, 9, 0, 2, 0, 0, 0, 0}, wifiData), inside},
		{"Wi-Fi beacon", LinkWiFi, make([]byte, 60), "type 0000"},
		{"Wi-Fi, encrypted", LinkWiFi, join([]byte{0x88, 0x41}, make([]byte, 80)), "type 0000"},
	}
}

func TestDecode(t *testing.T) {
	for _, c := range decodeCases() {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			var p Packet
			if err := d.Decode(&Frame{Data: c.data, Link: c.link}, &p); err != nil {
				t.Fatal(err)
			}
			if got := summary(&p); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if p.Segments != 1 || int(p.PayloadBytes) != len(p.Payload) {
				t.Errorf("%d segments, %d of %d bytes of payload", p.Segments, len(p.Payload), p.PayloadBytes)
			}
		})
	}
}

func teredoPacket() []byte {
	b := ipv6(protoUDP, udp(1111, 2222, []byte("inside")))
	copy(b[8:], []byte{0x20, 1, 0, 0, 0, 1})
	return b
}

func TestDecodeFields(t *testing.T) {
	var d Decoder
	var p Packet
	data := ether(etherIPv4, ipv4(protoTCP, tcpWith(SYN|ECE|CWR, []byte{2, 4, 5, 180}, []byte("hello"))))
	if err := d.Decode(&Frame{Time: 7, Data: data, Wire: uint32(len(data)), Link: LinkEthernet, Interface: 3}, &p); err != nil {
		t.Fatal(err)
	}
	if p.Time != 7 || p.Interface != 3 || p.Wire != uint32(len(data)) || p.TTL != 64 || p.EtherType != etherIPv4 {
		t.Errorf("frame: %+v", p)
	}
	if p.SrcMAC != MAC(macA) || p.DstMAC != MAC(macB) {
		t.Errorf("MACs %x %x", p.SrcMAC, p.DstMAC)
	}
	if p.Seq != 1000 || p.Ack != 2000 || p.Window != 512 || p.Flags != SYN|ECE|CWR {
		t.Errorf("TCP: %+v", p)
	}
	if string(p.Options) != "\x02\x04\x05\xb4" || string(p.Payload) != "hello" {
		t.Errorf("options %x payload %q", p.Options, p.Payload)
	}
}

// TestDecodeFaults: each way to be malformed has its name.
func TestDecodeFaults(t *testing.T) {
	whole := ether(etherIPv4, ipv4(protoTCP, tcpWith(ACK, []byte{1, 1, 1, 1}, []byte("hello"))))
	changed := func(at int, to byte) []byte {
		b := append([]byte(nil), whole...)
		b[at] = to
		return b
	}
	deep := inner()
	for range MaxTunnels + 1 {
		deep = ipv4(protoIPv4, deep)
	}
	tags := vlan(1, etherIPv4, inner())
	for range MaxTunnels {
		tags = vlan(1, etherVLAN, tags)
	}
	long := extension(protoTCP, tcp(nil))
	for range maxExtensions {
		long = extension(protoOptions, long)
	}
	for _, c := range []struct {
		name string
		data []byte
		wire int
		link Link
		want Fault
	}{
		{"cut within IP", whole[:30], len(whole), LinkEthernet, ErrCut},
		{"cut within TCP", whole[:40], len(whole), LinkEthernet, ErrCut},
		{"no IP header", whole[:30], 0, LinkEthernet, ErrShort},
		{"no Ethernet header", whole[:13], 0, LinkEthernet, ErrShort},
		{"header length", changed(14, 0x44), 0, LinkEthernet, ErrLength},
		{"header beyond packet", changed(17, 19), 0, LinkEthernet, ErrLength},
		{"packet beyond frame", changed(17, 200), 0, LinkEthernet, ErrLength},
		{"TCP header length", changed(46, 0x40), 0, LinkEthernet, ErrLength},
		{"TCP header beyond packet", changed(46, 0xf0), 0, LinkEthernet, ErrLength},
		{"version", changed(14, 0x65), 0, LinkEthernet, ErrVersion},
		{"UDP length", ether(etherIPv4, ipv4(protoUDP, join(u16(1), u16(2), u16(7), u16(0)))), 0, LinkEthernet, ErrLength},
		{"UDP beyond packet", ether(etherIPv4, ipv4(protoUDP, join(u16(1), u16(2), u16(9), u16(0)))), 0, LinkEthernet, ErrLength},
		{"TCP too short", ether(etherIPv4, ipv4(protoTCP, make([]byte, 10))), 0, LinkEthernet, ErrShort},
		{"tunnels", ether(etherIPv4, deep), 0, LinkEthernet, ErrTunnels},
		{"tags", ether(etherVLAN, tags), 0, LinkEthernet, ErrTunnels},
		{"extensions", ether(etherIPv6, ipv6(protoHopByHop, long)), 0, LinkEthernet, ErrExtensions},
		{"extension beyond packet", ether(etherIPv6, ipv6(protoOptions, []byte{6, 9, 0, 0, 0, 0, 0, 0})), 0, LinkEthernet, ErrLength},
		{"fragments within fragments", ether(etherIPv6, ipv6(protoFragment, fragment6(protoFragment, 1, fragment6(protoTCP, 1, make([]byte, 8))))), 0, LinkEthernet, ErrExtensions},
		{"fragment beyond 64 KiB", ether(etherIPv4, ipv4With(protoICMP, 0x1fff, nil, make([]byte, 64))), 0, LinkEthernet, ErrLength},
		{"nothing", nil, 0, LinkRaw, ErrShort},
		{"link", whole, 0, 147, ErrLink},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			var p Packet
			err := d.Decode(&Frame{Data: c.data, Wire: uint32(c.wire), Link: c.link}, &p)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestDecodeCut: what a capture cut counts as much as the whole.
func TestDecodeCut(t *testing.T) {
	data := ether(etherIPv4, ipv4(protoTCP, tcpWith(ACK, []byte{1, 1, 1, 1}, make([]byte, 1000))))
	for keep := 54; keep <= len(data); keep += 10 {
		var d Decoder
		var p Packet
		if err := d.Decode(&Frame{Data: data[:keep], Wire: uint32(len(data)), Link: LinkEthernet}, &p); err != nil {
			t.Fatalf("%d bytes kept: %v", keep, err)
		}
		if p.IPBytes != 1044 || p.PayloadBytes != 1000 || len(p.Payload) != max(0, keep-58) {
			t.Errorf("%d bytes kept: IP %d, payload %d, captured %d", keep, p.IPBytes, p.PayloadBytes, len(p.Payload))
		}
	}
	var d Decoder
	var p Packet
	if err := d.Decode(&Frame{Data: data[:40], Wire: uint32(len(data)), Link: LinkEthernet}, &p); !errors.Is(err, ErrCut) || !p.HasPorts || p.DstPort != 443 {
		t.Errorf("cut behind the ports: %v, %+v", err, p)
	}
}

// TestDecodeSegments: one frame for many segments counts as they do on the wire.
func TestDecodeSegments(t *testing.T) {
	zeroed := func(b []byte, at ...int) []byte {
		for _, i := range at {
			b[i] = 0
		}
		return b
	}
	big := make([]byte, 3000)
	vx := ether(etherIPv4, ipv4(protoUDP, udp(9, portVXLAN, join(u32(0x08000000), u32(77<<8), ether(etherIPv4, ipv4(protoTCP, tcp(big)))))))
	for _, c := range []struct {
		name              string
		data              []byte
		gso               uint16
		segments          uint16
		wire, ip, payload uint32
	}{
		{"IPv4", ether(etherIPv4, ipv4(protoTCP, tcp(big))), 1448, 3, 3000 + 3*54, 3000 + 3*40, 3000},
		{"a whole number", ether(etherIPv4, ipv4(protoTCP, tcp(big))), 1500, 2, 3000 + 2*54, 3000 + 2*40, 3000},
		{"no length", zeroed(ether(etherIPv4, ipv4(protoTCP, tcp(big))), 16, 17), 1448, 3, 3000 + 3*54, 3000 + 3*40, 3000},
		{"IPv6, no length", zeroed(ether(etherIPv6, ipv6(protoTCP, tcp(big))), 18, 19), 1448, 3, 3000 + 3*74, 3000 + 3*60, 3000},
		{"UDP", ether(etherIPv4, ipv4(protoUDP, udp(1, 2, big))), 1000, 3, 3000 + 3*42, 3000 + 3*28, 3000},
		{"within VXLAN", vx, 1448, 3, 3000 + 3*104, 3000 + 3*40, 3000},
		{"not known", ether(etherIPv4, ipv4(protoTCP, tcp(big))), 0, 1, 3054, 3040, 3000},
		{"not needed", ether(etherIPv4, ipv4(protoTCP, tcp(big))), 3000, 1, 3054, 3040, 3000},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			var p Packet
			if err := d.Decode(&Frame{Data: c.data, Link: LinkEthernet, GSOSize: c.gso}, &p); err != nil {
				t.Fatal(err)
			}
			if p.Segments != c.segments || p.Wire != c.wire || p.IPBytes != c.ip || p.PayloadBytes != c.payload {
				t.Errorf("%d segments, wire %d, IP %d, payload %d", p.Segments, p.Wire, p.IPBytes, p.PayloadBytes)
			}
		})
	}
}

func TestDecodeJumbogram(t *testing.T) {
	option := join([]byte{protoTCP, 0, 0xc2, 4}, u32(8+20+70000))
	data := ether(etherIPv6, ipv6(protoHopByHop, join(option, tcp(make([]byte, 70000)))))
	data[18], data[19] = 0, 0
	var d Decoder
	var p Packet
	if err := d.Decode(&Frame{Data: append(data, 0, 0), Link: LinkEthernet}, &p); err != nil || p.PayloadBytes != 70000 {
		t.Errorf("%v, payload %d", err, p.PayloadBytes)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	frame := Frame{Data: ether(etherIPv4, ipv4(protoUDP, udp(9, portVXLAN, join(u32(0x08000000), u32(77<<8), ether(etherIPv4, inner()))))), Link: LinkEthernet}
	part := Frame{Data: ether(etherIPv4, ipv4With(protoUDP, 0x2000, nil, udp(1, 2, make([]byte, 16)))), Link: LinkEthernet}
	bad := Frame{Data: frame.Data[:20], Link: LinkEthernet}
	var d Decoder
	var p Packet
	if err := d.Decode(&part, &p); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		_ = d.Decode(&frame, &p)
		_ = d.Decode(&part, &p)
		_ = d.Decode(&bad, &p)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
