package scan

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// netBIOSReply is an answer to a node status request, of a host with a group besides
// its name.
func netBIOSReply(name string) []byte {
	b := append(hexed("7ac1 8400 0000 0001 0000 0000"), payload(portNetBIOS)[12:46]...)
	b = append(b, 0, 0x21, 0, 1, 0, 0, 0, 0, 0, 2*18+1+46, 3)
	for _, n := range []struct {
		text   string
		suffix byte
		flags  uint16
	}{{"WORKGROUP", 0, 0x8400}, {name, 0x20, 0x0400}, {name, 0, 0x0400}} {
		field := [15]byte{}
		copy(field[:], "               ")
		copy(field[:], n.text)
		b = binary.BigEndian.AppendUint16(append(append(b, field[:]...), n.suffix), n.flags)
	}
	return b
}

func reverseReply(t testing.TB, name string) []byte {
	t.Helper()
	q, err := dnsmessage.NewName(reverseName(netip.MustParseAddr("192.0.2.9")))
	if err != nil {
		t.Fatal(err)
	}
	to, err := dnsmessage.NewName(name)
	if err != nil {
		t.Fatal(err)
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Answers: []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: q, Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET}, Body: &dnsmessage.PTRResource{PTR: to},
	}}}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNames(t *testing.T) {
	if got := ReadNetBIOS(netBIOSReply("DESK")); got != "DESK" {
		t.Errorf("%q", got)
	}
	if got := readReverse(reverseReply(t, "tv.local.")); got != "tv.local." {
		t.Errorf("%q", got)
	}
	if got := reverseName(netip.MustParseAddr("2001:db8::9")); got != "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa." {
		t.Error(got)
	}
	if reverseQuestion(netip.MustParseAddr("192.0.2.9")) == nil {
		t.Error("no question")
	}
	var names []Name
	for _, n := range []string{"a.example.", "A.example", "", "\x1b[31m", "b"} {
		names = appendName(names, n, "dns")
	}
	if len(names) != 2 || names[0].Name != "a.example" || names[1].Name != "b" {
		t.Errorf("%+v", names)
	}
}

func FuzzNames(f *testing.F) {
	f.Add(netBIOSReply("DESK"))
	f.Add(reverseReply(f, "tv.local."))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range []string{ReadNetBIOS(b), readReverse(b)} {
			for _, n := range appendName(nil, name, "") {
				if len(n.Name) > 253 {
					t.Errorf("%q", n.Name)
				}
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"10.0.0.0/24", "10.0.0.1-20", "fe80::1-fe80::9", "22,80-90", "22:00-06:00", "-"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if targets, err := ParseTargets(text); err == nil {
			again, err := ParseTargets(targets.Ranges()[0].String())
			if err != nil || again.Count() != targets.Count() {
				t.Errorf("%q: %s, %v", text, again, err)
			}
		}
		if ports, err := ParsePorts(text); err == nil {
			if again, err := ParsePorts(FormatPorts(ports)); err != nil || len(again) != len(ports) {
				t.Errorf("%q: %v", text, err)
			}
		}
		if h, err := ParseHours(text); err == nil {
			if again, err := ParseHours(h.String()); err != nil || again != h {
				t.Errorf("%q: %v, %v", text, h, err)
			}
		}
	})
}
