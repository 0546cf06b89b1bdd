package hear

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	xbpf "golang.org/x/net/bpf"
	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/amoskys/amoskys/internal/flow/bpf"
	"github.com/amoskys/amoskys/internal/flow/packet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	macA, macB, macC = "00:00:5e:00:53:0a", "00:00:5e:00:53:0b", "00:00:5e:00:53:0c"
	all              = "ff:ff:ff:ff:ff:ff"
)

func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frame is an Ethernet frame.
func frame(t testing.TB, to, from string, kind uint16, body []byte) []byte {
	t.Helper()
	b := append(bytesOf(t, to), bytesOf(t, from)...)
	return append(binary.BigEndian.AppendUint16(b, kind), body...)
}

// arp is a packet of ARP: op 1 asks, 2 answers.
func arp(t testing.TB, to string, op byte, sender, senderIP, target, targetIP string) []byte {
	t.Helper()
	b := append([]byte{0, 1, 8, 0, 6, 4, 0, op}, bytesOf(t, sender)...)
	x, y := netip.MustParseAddr(senderIP).As4(), netip.MustParseAddr(targetIP).As4()
	b = append(append(b, x[:]...), bytesOf(t, target)...)
	return frame(t, to, sender, etherARP, append(b, y[:]...))
}

// udp is a datagram of IPv4 in a frame.
func udp(t testing.TB, to, from, src, dst string, srcPort, dstPort uint16, payload []byte) []byte {
	t.Helper()
	x, y := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	b := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 255, 17, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(payload)))
	b = append(append(b, x[:]...), y[:]...)
	for _, v := range []uint16{srcPort, dstPort, uint16(8 + len(payload)), 0} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return frame(t, to, from, 0x0800, append(b, payload...))
}

// icmp6 is a message of ICMPv6 in a frame, with a hop limit.
func icmp6(t testing.TB, from, src string, hops byte, message []byte) []byte {
	t.Helper()
	x, y := netip.MustParseAddr(src).As16(), netip.MustParseAddr("ff02::1").As16()
	b := []byte{0x60, 0, 0, 0, 0, byte(len(message)), 58, hops}
	b = append(append(append(b, x[:]...), y[:]...), message...)
	return frame(t, "33:33:00:00:00:01", from, 0x86dd, b)
}

// dhcp is a message of DHCP with its options.
func dhcp(t testing.TB, op byte, client, assigned string, options ...[]byte) []byte {
	t.Helper()
	b := make([]byte, 236)
	b[0], b[1], b[2] = op, 1, 6
	if assigned != "" {
		a := netip.MustParseAddr(assigned).As4()
		copy(b[16:], a[:])
	}
	copy(b[28:], bytesOf(t, client))
	b = append(b, 0x63, 0x82, 0x53, 0x63)
	for _, o := range options {
		b = append(append(b, o[0], byte(len(o)-1)), o[1:]...)
	}
	return append(b, 255)
}

func option(code byte, value string) []byte { return append([]byte{code}, value...) }

// mdns is an answer with records.
func mdns(t testing.TB, records ...dnsmessage.Resource) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true, Authoritative: true}, Answers: records}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func record(name string, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: 120}, Body: body}
}

func tlv(kind byte, value string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(kind)<<9|uint16(len(value))), value...)
}

func lldp(fields ...[]byte) (b []byte) {
	for _, f := range fields {
		b = append(b, f...)
	}
	return append(b, 0, 0)
}

func cdpField4(kind uint16, value string) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	return append(binary.BigEndian.AppendUint16(b, uint16(4+len(value))), value...)
}

// cases are frames and what they tell.
type heard struct {
	name  string
	frame []byte
	want  *pb.DeviceInventory
}

func frames(t testing.TB) []heard {
	t.Helper()
	mdnsTo, ssdpTo := "01:00:5e:00:00:fb", "01:00:5e:7f:ff:fa"
	switchLLDP := lldp(tlv(1, "\x04\x00\x00\x5e\x00\x53\x0b"), tlv(2, "\x05Gi1/0/7"), tlv(3, "\x00\x78"), tlv(4, "to the lab"), tlv(5, "sw1.example.com"),
		tlv(6, "ExampleOS 3.1"), tlv(7, "\x00\x14\x00\x04"), tlv(8, "\x05\x01\xc0\x00\x02\xfe\x02\x00\x00\x00\x01\x00"),
		tlv(127, "\x00\x12\xbb\x08SN12345678"), tlv(127, "\x00\x12\xbb\x0aX-48"))
	cdp := append([]byte{2, 180, 0, 0}, cdpField4(1, "sw2(FOC1234)")...)
	cdp = append(cdp, cdpField4(2, "\x00\x00\x00\x01\x01\x01\xcc\x00\x04\xc0\x00\x02\xfd")...)
	cdp = append(append(cdp, cdpField4(3, "GigabitEthernet1/0/1")...), cdpField4(4, "\x00\x00\x00\x28")...)
	cdp = append(cdp, cdpField4(6, "cisco WS-C2960")...)
	snap := append([]byte{0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0}, cdp...)
	return []heard{
		{"ARP", arp(t, all, 1, macA, "192.0.2.1", "00:00:00:00:00:00", "192.0.2.2"), &pb.DeviceInventory{Mac: []string{macA}, Ip: []string{"192.0.2.1"}, Vendor: "ICANN, IANA Department", Sources: []string{"arp"}}},
		{"a probe of ARP", arp(t, all, 1, macA, "0.0.0.0", "00:00:00:00:00:00", "192.0.2.2"), &pb.DeviceInventory{Mac: []string{macA}, Vendor: "ICANN, IANA Department", Sources: []string{"arp"}}},
		{
			"a client of DHCP", udp(t, all, macA, "0.0.0.0", "255.255.255.255", 68, 67, dhcp(t, 1, macA, "", option(53, "\x03"), option(12, "annas-laptop"), option(60, "MSFT 5.0"), option(55, "\x01\x03\x06"), option(61, "\xff\x01\x02\x03\x04\x00\x01\xaa\xbb\xcc\xdd"))),
			&pb.DeviceInventory{
				Mac: []string{macA}, Names: []string{"annas-laptop"}, Aliases: []string{"duid:0001aabbccdd"}, OsName: "Windows", Confidence: 0.7, Sources: []string{"dhcp"},
				Evidence: []string{"names itself MSFT 5.0 by DHCP", "asks by DHCP for the options 1 3 6"},
			},
		},
		{
			"an answer of a DHCP server", udp(t, all, macB, "192.0.2.254", "255.255.255.255", 67, 68, dhcp(t, 2, macA, "192.0.2.10", option(53, "\x05"), option(54, "\xc0\x00\x02\xfe"))),
			&pb.DeviceInventory{Mac: []string{macA}, Ip: []string{"192.0.2.10"}, Sources: []string{"dhcp"}},
		},
		{
			"mDNS of a printer", udp(t, mdnsTo, macA, "192.0.2.1", "224.0.0.251", 5353, 5353, mdns(t,
				record("laser.local.", &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}),
				record("_ipp._tcp.local.", &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName("Laser._ipp._tcp.local.")}),
				record("Laser._ipp._tcp.local.", &dnsmessage.TXTResource{TXT: []string{"ty=Example Laser 9", "UUID=00112233-4455"}}))),
			&pb.DeviceInventory{
				Mac: []string{macA}, Ip: []string{"192.0.2.1"}, Names: []string{"laser.local"}, Model: "Example Laser 9", Aliases: []string{"mdns:00112233-4455"},
				DeviceClass: "printer", Confidence: 0.8, Evidence: []string{"announces by mDNS _ipp._tcp"}, Sources: []string{"mdns"},
			},
		},
		{
			"mDNS that another passes on", udp(t, mdnsTo, macA, "192.0.2.1", "224.0.0.251", 5353, 5353, mdns(t, record("far.local.", &dnsmessage.AResource{A: [4]byte{198, 51, 100, 1}}))),
			&pb.DeviceInventory{Ip: []string{"198.51.100.1"}, Names: []string{"far.local"}, Sources: []string{"mdns"}},
		},
		{
			"SSDP", udp(t, ssdpTo, macA, "192.0.2.1", "239.255.255.250", 50000, 1900, []byte("NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNT: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"+
				"NTS: ssdp:alive\r\nSERVER: Linux/3.4 UPnP/1.0 Example/2\r\nUSN: uuid:00112233-4455-6677::urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n")),
			&pb.DeviceInventory{
				Mac: []string{macA}, Ip: []string{"192.0.2.1"}, DeviceClass: "router", Confidence: 0.8, Aliases: []string{"ssdp:uuid:00112233-4455-6677"},
				Evidence: []string{"says by SSDP that it runs Linux/3.4 UPnP/1.0 Example/2"}, Sources: []string{"ssdp"},
			},
		},
		{
			"LLDP of our switch", frame(t, "01:80:c2:00:00:0e", macA, etherLLDP, switchLLDP),
			&pb.DeviceInventory{
				Mac: []string{macA, macB}, Ip: []string{"192.0.2.254"}, Names: []string{"sw1.example.com"}, DeviceClass: "switch", Confidence: 0.85, SerialNumber: "SN12345678", Model: "X-48",
				Evidence: []string{"says by LLDP that it is ExampleOS 3.1"}, Sources: []string{"lldp"},
				Links: []*pb.DeviceLink{{Source: "lldp", Name: "here", Port: "Gi1/0/7", RemotePort: "eth0", Description: "to the lab"}},
			},
		},
		{
			"CDP of our switch", frame(t, "01:00:0c:cc:cc:cc", macA, uint16(len(snap)), snap),
			&pb.DeviceInventory{
				Mac: []string{macA}, Ip: []string{"192.0.2.253"}, Names: []string{"sw2"}, DeviceClass: "switch", Confidence: 0.85, Model: "cisco WS-C2960", Vendor: "Cisco", Sources: []string{"cdp"},
				Links: []*pb.DeviceLink{{Source: "cdp", Name: "here", Port: "GigabitEthernet1/0/1", RemotePort: "eth0"}},
			},
		},
		{
			"a name of NetBIOS", udp(t, all, macA, "192.0.2.1", "192.0.2.255", 137, 137, netbios(t, "ALPHA", 0, 0)),
			&pb.DeviceInventory{Mac: []string{macA}, Ip: []string{"192.0.2.1"}, Names: []string{"ALPHA"}, Sources: []string{"netbios"}},
		},
		{"a group of NetBIOS", udp(t, all, macA, "192.0.2.1", "192.0.2.255", 137, 137, netbios(t, "WORKGROUP", 0, 0x80)), nil},
		{
			"a router's advertisement", icmp6(t, macA, "fe80::1", 255, make134()),
			&pb.DeviceInventory{Mac: []string{macA}, Ip: []string{"fe80::1"}, DeviceClass: "router", Confidence: 0.6, Vendor: "ICANN, IANA Department", Evidence: []string{"advertises itself as a router by ICMPv6"}, Sources: []string{"ndp"}},
		},
		{"an advertisement that a router passed on", icmp6(t, macA, "fe80::1", 64, make134()), nil},
		{
			"DHCPv6", udp6(t, macA, "fe80::1", 546, 547, append([]byte{1, 0, 0, 1, 0, 1, 0, 10, 0, 3, 0, 1}, bytesOf(t, macA)...)),
			&pb.DeviceInventory{Mac: []string{macA}, Ip: []string{"fe80::1"}, Aliases: []string{"duid:0003000100005e00530a"}, Sources: []string{"dhcp"}},
		},
	}
}

func make134() []byte { return []byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0} }

func udp6(t testing.TB, from, src string, srcPort, dstPort uint16, payload []byte) []byte {
	t.Helper()
	x, y := netip.MustParseAddr(src).As16(), netip.MustParseAddr("ff02::1:2").As16()
	b := []byte{0x60, 0, 0, 0, 0, byte(8 + len(payload)), 17, 1}
	b = append(append(b, x[:]...), y[:]...)
	for _, v := range []uint16{srcPort, dstPort, uint16(8 + len(payload)), 0} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return frame(t, "33:33:00:01:00:02", from, 0x86dd, append(b, payload...))
}

// netbios is the registration of a name.
func netbios(t testing.TB, name string, suffix, flags byte) []byte {
	t.Helper()
	b := []byte{0, 1, 0x29, 0x10, 0, 1, 0, 0, 0, 0, 0, 1, 32}
	text := append([]byte(name+strings.Repeat(" ", 15-len(name))), suffix)
	for _, c := range text {
		b = append(b, 'A'+c>>4, 'A'+c&15)
	}
	b = append(b, 0, 0, 0x20, 0, 1, 0xc0, 12, 0, 0x20, 0, 1, 0, 4, 0x93, 0xe0, 0, 6)
	return append(b, flags, 0, 192, 0, 2, 1)
}

func TestFrames(t *testing.T) {
	program, err := bpf.Compile(Filter, packet.LinkEthernet, 65535)
	if err != nil {
		t.Fatal(err)
	}
	instructions, known := xbpf.Disassemble(program)
	vm, err := xbpf.NewVM(instructions)
	if err != nil || !known {
		t.Fatalf("%v, %t", err, known)
	}
	for _, tt := range frames(t) {
		t.Run(tt.name, func(t *testing.T) {
			var got *pb.DeviceInventory
			if n, err := vm.Run(tt.frame); err != nil || n == 0 {
				t.Errorf("the filter takes %d bytes, error %v", n, err)
			}
			l := New(Options{Device: func(_ time.Time, d *pb.DeviceInventory) { got = d }, Interface: "eth0", Host: "here"})
			f := packet.Frame{Time: int64(time.Hour), Data: tt.frame, Wire: uint32(len(tt.frame)), Link: packet.LinkEthernet}
			l.Frame(&f)
			if diff := cmp.Diff(tt.want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			got = nil
			f.Time += int64(time.Second)
			if l.Frame(&f); got != nil {
				t.Error("the same again is told again")
			}
			for i := range tt.frame { // cut, it is less or nothing, and no harm
				f := packet.Frame{Time: int64(i) * int64(time.Minute), Data: tt.frame[:i], Wire: uint32(i), Link: packet.LinkEthernet}
				l.Frame(&f)
			}
		})
	}
}

// TestFilterLeavesOut: what is none of a listener's business does not wake it.
func TestFilterLeavesOut(t *testing.T) {
	program, err := bpf.Compile(Filter, packet.LinkEthernet, 65535)
	if err != nil {
		t.Fatal(err)
	}
	instructions, _ := xbpf.Disassemble(program)
	vm, err := xbpf.NewVM(instructions)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string][]byte{
		"DNS":              udp(t, macB, macA, "192.0.2.1", "192.0.2.2", 40000, 53, []byte("x")),
		"a ping of IPv6":   icmp6(t, macA, "fe80::1", 64, []byte{128, 0, 0, 0, 0, 0, 0, 0}),
		"another protocol": frame(t, macB, macA, 0x88cd, make([]byte, 46)),
	} {
		if n, err := vm.Run(f); err != nil || n != 0 {
			t.Errorf("%s: %d bytes, error %v", name, n, err)
		}
	}
}

func FuzzFrame(f *testing.F) {
	for _, h := range frames(f) {
		f.Add(h.frame)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		at := int64(time.Hour)
		l := New(Options{
			Device: func(_ time.Time, d *pb.DeviceInventory) {
				if len(d.GetIp()) > 32 || len(d.GetNames()) > 16 || len(d.GetAliases()) > 16 || len(d.GetEvidence()) > 16 {
					t.Fatalf("too much: %v", d)
				}
			},
			Finding: func(*pb.Event) {}, Config: DefaultConfig(), Gateways: []netip.Addr{netip.MustParseAddr("192.0.2.254")},
		})
		for range 3 {
			at += int64(time.Minute)
			l.Frame(&packet.Frame{Time: at, Data: b, Wire: uint32(len(b)), Link: packet.LinkEthernet})
		}
	})
}
