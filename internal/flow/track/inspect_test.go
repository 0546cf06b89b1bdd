package track

import (
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// telling is when a table told of a flow, and what it spoke by then.
type telling struct {
	what  string
	at    time.Duration
	facts dissect.Facts
}

// clerk writes down what a table tells.
type clerk struct {
	now   *int64
	tells []telling
}

func (c *clerk) Opened(f *Flow)  { c.note("opened", f) }
func (c *clerk) Updated(f *Flow) { c.note("updated", f) }
func (c *clerk) Ended(f *Flow)   { c.note("ended", f) }

func (c *clerk) note(what string, f *Flow) {
	n := telling{what: what, at: time.Duration(*c.now - start)}
	if f.Facts != nil {
		n.facts = *f.Facts
	}
	c.tells = append(c.tells, n)
}

// play gives packets to a table with an engine, and lets time pass between them in
// steps of 100 ms up to the end.
func play(o Options, engine dissect.Options, until time.Duration, packets ...packet.Packet) []telling {
	now := start
	c := &clerk{now: &now}
	o.Consumer, o.Engine = c, dissect.New(engine)
	table := New(o)
	for ; now < start+int64(until); now += 1e8 {
		for len(packets) > 0 && packets[0].Time <= now {
			table.Add(&packets[0])
			packets = packets[1:]
		}
		table.Advance(now)
	}
	return c.tells
}

func says(p packet.Packet, payload string) packet.Packet {
	p.Payload, p.PayloadBytes = []byte(payload), uint32(len(payload))
	return p
}

// TestToldByContent: Opened and Updated tell what is known by then, and Updated is not
// told sooner after an early Opened.
func TestToldByContent(t *testing.T) {
	udp := packet.Packet{Version: 4, Protocol: 17, HasPorts: true, Src: client, Dst: server, SrcPort: 5000, DstPort: 53, Time: start, Segments: 1}
	back := udp
	back.Src, back.Dst, back.SrcPort, back.DstPort, back.Time = server, client, 53, 5000, start+50e6
	const question = "\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01"
	const answer = "\x00\x07\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"
	slow := script(t, handshake+"> A 101\n> A 138 +3m")
	const request = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"
	slow[3] = says(slow[3], request)
	slow[4].Seq = 101 + uint32(len(request))
	ask := packet.Packet{Version: 6, Protocol: protoICMPv6, Src: client, Dst: server, ICMPType: 135, Time: start, Segments: 1, Payload: []byte{1}, PayloadBytes: 1}
	reply := ask
	reply.Src, reply.Dst, reply.ICMPType, reply.Time = server, client, 136, start+1e6

	listens := dissect.Options{OnDNS: func(dissect.Tuple, *dissect.DNS, int64) {}}
	for name, tt := range map[string]struct {
		packets []packet.Packet
		app     string
		known   func(*dissect.Facts) bool
		opened  time.Duration // at the latest
		updates int           // within ten minutes
	}{
		"answered question": {
			[]packet.Packet{says(udp, question), says(back, answer)},
			"dns",
			func(f *dissect.Facts) bool { return f.DNS.Response == "NOERROR" && len(f.DNS.Answers) == 1 },
			100 * time.Millisecond, 0,
		},
		"question alone": {
			[]packet.Packet{says(udp, question)},
			"dns",
			func(f *dissect.Facts) bool { return f.DNS.Query == "example.com" }, 1100 * time.Millisecond, 0,
		},
		"request without answer": {
			slow, "http", func(f *dissect.Facts) bool { return f.HTTP.Host == "example.com" }, 1100 * time.Millisecond, 1,
		},
		"neighbour": {[]packet.Packet{ask, reply}, "icmpv6", func(*dissect.Facts) bool { return true }, 100 * time.Millisecond, 0},
	} {
		tells := play(Options{}, listens, 10*time.Minute, tt.packets...)
		updates := 0
		for _, n := range tells {
			if n.facts.App != tt.app || !tt.known(&n.facts) {
				t.Errorf("%s: %s after %v with %+v", name, n.what, n.at, n.facts)
			}
			if n.what == "updated" {
				updates++
			}
		}
		if len(tells) == 0 || tells[0].at > tt.opened || updates != tt.updates {
			t.Errorf("%s: %d updates, told %+v", name, updates, tells)
		}
	}
}
