package probe

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// TestProbesAreWhole has the decoder of flows read what we send.
func TestProbesAreWhole(t *testing.T) {
	for _, c := range []struct {
		name     string
		data     []byte
		protocol uint8
	}{
		{"syn", AppendSYN(nil, addr("192.0.2.1"), addr("192.0.2.9"), 61_001, 443, 0xdeadbeef), 6},
		{"syn6", AppendSYN(nil, addr("2001:db8::1"), addr("2001:db8::9"), 61_001, 443, 0xdeadbeef), 6},
		{"echo", AppendEcho(nil, addr("192.0.2.1"), addr("192.0.2.9"), 7, 9), 1},
		{"echo6", AppendEcho(nil, addr("2001:db8::1"), addr("2001:db8::9"), 7, 9), 58},
		{"echo with a life", AppendEchoTTL(nil, addr("192.0.2.1"), addr("192.0.2.9"), 0xffee, 9, 3), 1},
		{"echo6 with a life", AppendEchoTTL(nil, addr("2001:db8::1"), addr("2001:db8::9"), 7, 9, 3), 58},
		{"datagram with a life", AppendUDPTTL(nil, addr("192.0.2.1"), addr("192.0.2.9"), 61_001, 33_437, 0xdeadbeef, 3), 17},
		{"datagram6 with a life", AppendUDPTTL(nil, addr("2001:db8::1"), addr("2001:db8::9"), 61_001, 33_437, 0xdeadbeef, 3), 17},
		{"solicitation", AppendSolicitation(nil, MAC{2, 0, 0, 0, 0, 1}, addr("fe80::1"), addr("fe80::9")), 58},
	} {
		t.Run(c.name, func(t *testing.T) {
			if len(c.data) > MaxPacket {
				t.Fatalf("%d bytes", len(c.data))
			}
			var d packet.Decoder
			var p packet.Packet
			f := packet.Frame{Data: c.data, Wire: uint32(len(c.data)), Link: packet.LinkRaw}
			if fault := d.Decode(&f, &p); fault != nil || p.Protocol != c.protocol {
				t.Fatalf("%v, protocol %d", fault, p.Protocol)
			}
			if header := c.data[:20]; c.data[0]>>4 == 4 && checksum(header, 0) != 0 {
				t.Error("the checksum of the header is wrong")
			}
			if c.protocol == 1 {
				if checksum(c.data[20:], 0) != 0 {
					t.Error("the checksum of ICMP is wrong")
				}
				return
			}
			at := 20
			if c.data[0]>>4 == 6 {
				at = 40
			}
			if checksum(c.data[at:], pseudo(c.data[:at], c.protocol, len(c.data)-at)) != 0 {
				t.Error("the checksum of the payload is wrong")
			}
		})
	}
}

// TestOneWay: all echoes to a host have the checksum by which balancers choose a way, and
// what a router quotes of a probe is read.
func TestOneWay(t *testing.T) {
	router := func(quoted []byte) []byte {
		b := appendIP(nil, addr("192.0.2.99"), addr("192.0.2.1"), protocolICMP, 8+len(quoted), 0, 64)
		return append(append(b, 11, 0, 0, 0, 0, 0, 0, 0), quoted...)
	}
	first := AppendEchoTTL(nil, addr("192.0.2.1"), addr("198.51.100.9"), 0x1234, 1, 1)
	for seq := uint16(2); seq <= 30; seq++ {
		p := AppendEchoTTL(nil, addr("192.0.2.1"), addr("198.51.100.9"), 0x1234, seq, uint8(seq))
		if p[22] != first[22] || p[23] != first[23] || p[8] != uint8(seq) {
			t.Fatalf("%x after %x", p, first)
		}
		want := Answer{Kind: Expired, From: addr("192.0.2.99"), About: addr("198.51.100.9"), Echo: true, Seq: 0x1234<<16 | uint32(seq), Traits: Traits{TTL: 64, DontFragment: true}}
		if diff := cmp.Diff(want, Read(router(p)), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Error(diff)
		}
	}
	p := AppendUDPTTL(nil, addr("192.0.2.1"), addr("198.51.100.9"), 61_000, 33_440, 7, 6)
	if a := Read(router(p[:28])); a.Kind != Expired || !a.UDP || a.Local != 61_000 || a.Port != 33_440 || a.Seq != UDPSeq(p) {
		t.Errorf("%+v", a)
	}
}

func TestRead(t *testing.T) {
	linux := Traits{Open: true, TTL: 64, DontFragment: true, Window: 65160, MSS: 1460, Scale: 7, Options: "MSTNW", Timestamp: 0x01020304}
	for _, c := range []struct {
		name, data string
		want       Answer
	}{
		{
			"syn-ack of Linux",
			"4500003c000040004006b6bdc0000209c0000201" + "01bbee49aaaaaaaadeadbef0a012fe8800000000" + "020405b40402080a010203040506070801030307",
			Answer{Kind: Accepts, From: addr("192.0.2.9"), About: addr("192.0.2.9"), Port: 443, Local: 61_001, Seq: 0xdeadbeef, Traits: linux},
		},
		{
			"rst", "450000280007000080060000c0000209c0000201" + "01bbee4900000000deadbef05014000000000000",
			Answer{Kind: Refuses, From: addr("192.0.2.9"), About: addr("192.0.2.9"), Port: 443, Local: 61_001, Seq: 0xdeadbeef, Traits: Traits{TTL: 128, ID: 7, Scale: -1}},
		},
		{"rst without acknowledgement", "450000280007000080060000c0000209c0000201" + "01bbee4900000000deadbef05004000000000000", Answer{From: addr("192.0.2.9"), About: addr("192.0.2.9"), Traits: Traits{TTL: 128, ID: 7}}},
		{
			"echo reply", "4500001c0000000040010000c0000209c0000201" + "0000000000070009",
			Answer{Kind: Echoes, From: addr("192.0.2.9"), About: addr("192.0.2.9"), Seq: 7<<16 | 9, Traits: Traits{TTL: 64}},
		},
		{
			"prohibited by a router", "450000380000000040010000c0000263c0000201" + "030d000000000000" + "4500003c000040003f060000c0000201c6336409" + "ee4901bbdeadbeef",
			Answer{Kind: Unreachable, From: addr("192.0.2.99"), About: addr("198.51.100.9"), Port: 443, Local: 61_001, Seq: 0xdeadbeef, Code: 13, Traits: Traits{TTL: 64}},
		},
		{"a fragment", "4500003c000020004006b6bdc0000209c0000201" + "01bbee49aaaaaaaadeadbef0a012fe8800000000", Answer{}},
		{"nothing", "", Answer{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := hex.DecodeString(c.data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, Read(data), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadARP(t *testing.T) {
	own, other := MAC{2, 0, 0, 0, 0, 1}, MAC{2, 0, 0, 0, 0, 9}
	reply := AppendARP(nil, other, addr("192.0.2.9"), addr("192.0.2.1"))
	reply[7] = 2
	copy(reply[18:], own[:])
	if ip, mac, ok := ReadARP(reply, own); !ok || ip != addr("192.0.2.9") || mac != other {
		t.Error(ip, mac, ok)
	}
	if _, _, ok := ReadARP(reply, other); ok {
		t.Error("an answer to somebody else counts")
	}
	if _, _, ok := ReadARP(AppendARP(nil, other, addr("192.0.2.9"), addr("192.0.2.1")), own); ok {
		t.Error("a request counts")
	}
	reply[8] |= 1
	if _, _, ok := ReadARP(reply, own); ok {
		t.Error("an answer of a group counts")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(AppendSYN(nil, addr("192.0.2.1"), addr("192.0.2.9"), 61_001, 443, 1))
	f.Add(AppendEcho(nil, addr("2001:db8::1"), addr("2001:db8::9"), 7, 9))
	f.Add(append(appendIP(nil, addr("192.0.2.99"), addr("192.0.2.1"), protocolICMP, 40, 0, 64),
		append([]byte{11, 0, 0, 0, 0, 0, 0, 0}, AppendUDPTTL(nil, addr("192.0.2.1"), addr("198.51.100.9"), 61_000, 33_440, 7, 6)...)...))
	for _, text := range []string{
		"4500003c000040004006b6bdc0000209c000020101bbee49aaaaaaaadeadbef0a012fe8800000000020405b40402080a010203040506070801030307",
		"450000380000000040010000c0000263c0000201030d0000000000004500003c000040003f060000c0000201c6336409ee4901bbdeadbeef",
		"6000000000300640" + "20010db8000000000000000000000009" + "20010db8000000000000000000000001" + "01bbee49aaaaaaaadeadbef0a012fe8800000000020405b4",
	} {
		b, _ := hex.DecodeString(text)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a := Read(b)
		if a.Kind != None && (!a.From.IsValid() || !a.About.IsValid()) {
			t.Errorf("%+v", a)
		}
		if len(a.Traits.Options) > 40 {
			t.Errorf("options %q", a.Traits.Options)
		}
	})
}

func FuzzNeighbour(f *testing.F) {
	own := MAC{2, 0, 0, 0, 0, 1}
	reply := AppendARP(nil, MAC{2, 0, 0, 0, 0, 9}, addr("192.0.2.9"), addr("192.0.2.1"))
	reply[7] = 2
	copy(reply[18:], own[:])
	f.Add(reply)
	advertisement := AppendSolicitation(nil, own, addr("fe80::9"), addr("fe80::9"))
	advertisement[40], advertisement[44], advertisement[64] = 136, 0x60, 2
	f.Add(advertisement)
	f.Fuzz(func(t *testing.T, b []byte) {
		if ip, mac, ok := ReadARP(b, own); ok && (!ip.Is4() || mac.IsZero()) {
			t.Error(ip, mac)
		}
		if ip, mac, ok := ReadAdvertisement(b, own); ok && (!ip.Is6() || ip.IsMulticast() || mac.IsZero()) {
			t.Error(ip, mac)
		}
	})
}
