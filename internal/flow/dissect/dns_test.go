package dissect

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// dnsWire writes a name as labels.
func dnsWire(name string) []byte {
	var b []byte
	for l := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(l))), l...)
	}
	return append(b, 0)
}

func dnsQuestion(id uint16, name string, kind uint16) []byte {
	b := []byte{byte(id >> 8), byte(id), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	b = append(b, dnsWire(name)...)
	return append(b, byte(kind>>8), byte(kind), 0, 1)
}

func dnsAnswer(id uint16, name string, a [4]byte) []byte {
	b := dnsQuestion(id, name, 1)
	b[2], b[3], b[7] = 0x81, 0x80, 1
	b = append(b, 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4)
	return append(b, a[:]...)
}

func TestDNSOverUDP(t *testing.T) {
	var told []*DNS
	e := New(Options{OnDNS: func(_ Tuple, d *DNS, _ int64) { told = append(told, d) }})
	f := play(e, udpTuple(53), []message{
		{FromInitiator, dnsQuestion(7, "WWW.Example.com", 1)},
		{FromInitiator, dnsQuestion(8, "lost.example.com", 28)},
		{FromResponder, dnsAnswer(7, "WWW.Example.com", [4]byte{192, 0, 2, 1})},
	}, 1<<16)
	if f.App != "dns" || f.Confidence != 1 || f.DNS == nil {
		t.Fatalf("%+v", f)
	}
	d := f.DNS
	if d.Query != "www.example.com" || d.Type != "A" || d.Response != "NOERROR" || d.Latency != 2*time.Millisecond {
		t.Errorf("%+v", d)
	}
	want := packet.Addr{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: 1}
	if len(d.Answers) != 1 || d.Answers[0].Data != "192.0.2.1" || d.Answers[0].TTL != 300 || d.Answers[0].Addr != want {
		t.Errorf("%+v", d.Answers)
	}
	if len(told) != 2 || told[1].Query != "lost.example.com" || told[1].Response != "" {
		t.Errorf("told %+v", told)
	}
}

// TestDNSAsked: an answer is believed only where its question was seen, and from whom it
// was put to.
func TestDNSAsked(t *testing.T) {
	question, answer := dnsQuestion(7, "www.example.com", 1), dnsAnswer(7, "www.example.com", [4]byte{192, 0, 2, 1})
	for _, c := range []struct {
		name     string
		messages []message
		want     []bool // Asked of each that has records
	}{
		{"both", []message{{FromInitiator, question}, {FromResponder, answer}}, []bool{true}},
		{"an answer alone", []message{{FromInitiator, answer}}, []bool{false}},
		{"an answer to oneself", []message{{FromInitiator, question}, {FromInitiator, answer}}, []bool{false}},
		{"another number", []message{{FromInitiator, question}, {FromResponder, dnsAnswer(8, "www.example.com", [4]byte{192, 0, 2, 1})}}, []bool{false}},
		{"a second answer", []message{{FromInitiator, question}, {FromResponder, answer}, {FromResponder, answer}}, []bool{true, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []bool
			e := New(Options{OnDNS: func(_ Tuple, d *DNS, _ int64) {
				if len(d.Answers) > 0 {
					got = append(got, d.Asked)
				}
			}})
			play(e, udpTuple(53), c.messages, 1<<16)
			if !slices.Equal(got, c.want) {
				t.Errorf("asked %v, want %v", got, c.want)
			}
		})
	}
}

func TestDNSOverTCP(t *testing.T) {
	framed := func(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }
	messages := []message{
		{FromInitiator, framed(dnsQuestion(7, "example.com", 1))},
		{FromResponder, framed(dnsAnswer(7, "example.com", [4]byte{192, 0, 2, 9}))},
	}
	for _, size := range []int{1 << 16, 20, 1} {
		e := New(Options{})
		f := play(e, tcpTuple(53), messages, size)
		if size == 1 { // More segments than are looked at.
			continue
		}
		if f == nil || f.DNS == nil || f.DNS.Response != "NOERROR" || len(f.DNS.Answers) != 1 {
			t.Errorf("segments of %d: %+v", size, f)
		}
	}
}

// TestDNSNames: names that point in circles, run out or lie about their length.
func TestDNSNames(t *testing.T) {
	header := make([]byte, 12)
	for _, c := range []struct {
		name, wire, want string
		ok               bool
	}{
		{"root", "\x00", ".", true},
		{"plain", "\x03www\x00", "www", true},
		{"points at itself", "\xc0\x0c", "", false},
		{"points forward", "\xc0\x20", "", false},
		{"label beyond the end", "\x3fabc", "", false},
		{"no end", "\x03abc", "", false},
		{"a dot within a label", "\x03a.b\x00", "a?b", true},
		{"control characters", "\x03a\x01b\x00", "a?b", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _, ok := new(shared).dnsName(append(header, c.wire...), 12)
			if got != c.want || ok != c.ok {
				t.Errorf("got %q %v", got, ok)
			}
		})
	}
}

func TestNetBIOSName(t *testing.T) {
	var registered string
	e := New(Options{OnName: func(source, name string, _ packet.Addr, _ int64) { registered = source + " " + name }})
	name := make([]byte, 0, 32)
	for _, c := range []byte("FILESERVER     \x00") {
		name = append(name, 'A'+c>>4, 'A'+c&15)
	}
	b := append([]byte{0, 1, 0x29, 0x10, 0, 1, 0, 0, 0, 0, 0, 1, 32}, name...)
	b = append(b, 0, 0, 32, 0, 1)
	f := play(e, Tuple{SrcPort: 137, DstPort: 137, Protocol: ipUDP}, []message{{FromInitiator, b}}, 1<<16)
	if f.App != "netbios-ns" || f.DNS.Query != "FILESERVER" || registered != "netbios FILESERVER" {
		t.Errorf("%+v %q", f, registered)
	}
}
