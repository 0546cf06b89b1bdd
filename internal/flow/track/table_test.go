package track

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// listener keeps what a table told, as words.
type listener struct {
	lines []string
	ended []Flow
	open  int
}

func (c *listener) Opened(f *Flow) { c.open++; c.note("opened", f) }

func (c *listener) Updated(f *Flow) { c.note("updated", f) }

func (c *listener) Ended(f *Flow) {
	c.open--
	c.note("ended", f)
	kept := *f
	kept.Tunnels = append([]packet.Tunnel(nil), f.Tunnels...)
	c.ended = append(c.ended, kept)
}

func (c *listener) note(what string, f *Flow) {
	c.lines = append(c.lines, strings.TrimSpace(fmt.Sprintf("%s %d>%d %s %s", what, f.SrcPort, f.DstPort, f.State, f.End)))
}

const start = int64(1_700_000_000_000_000_000)

var (
	client = address(192, 0, 2, 10)
	server = address(198, 51, 100, 1)
)

func address(a, b, c, d byte) packet.Addr {
	return packet.Addr4([4]byte{a, b, c, d})
}

// script makes packets of TCP out of words: direction, flags, and what follows.
//
//	> S 100        the client's SYN with number 100
//	< SA 300 +5ms  the server's answer, 5 ms later
//	> A 101 20     20 bytes of payload
func script(t *testing.T, text string) []packet.Packet {
	t.Helper()
	var out []packet.Packet
	at := start
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		words := strings.Fields(line)
		p := packet.Packet{Version: 4, Protocol: 6, HasPorts: true, Segments: 1, Src: client, Dst: server, SrcPort: 40000, DstPort: 443}
		if words[0] == "<" {
			p.Src, p.Dst, p.SrcPort, p.DstPort = server, client, 443, 40000
		}
		for _, letter := range words[1] {
			p.Flags |= 1 << strings.IndexRune("FSRPAUEC", letter)
		}
		for i, word := range words[2:] {
			if delay, isDelay := strings.CutPrefix(word, "+"); isDelay {
				d, err := time.ParseDuration(delay)
				if err != nil {
					t.Fatal(err)
				}
				at += int64(d)
				continue
			}
			var n uint32
			if _, err := fmt.Sscan(word, &n); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if i == 0 {
				p.Seq = n
			} else {
				p.PayloadBytes = n
			}
		}
		p.Time, p.IPBytes = at, 40+p.PayloadBytes
		out = append(out, p)
	}
	return out
}

func run(o Options, packets ...packet.Packet) *listener {
	c := &listener{}
	o.Consumer = c
	table := New(o)
	for i := range packets {
		table.Add(&packets[i])
	}
	table.Close()
	return c
}

const (
	handshake = "> S 100\n< SA 300 +20ms\n> A 101 +10ms\n"
	bothClose = handshake + "> A 101 50\n< A 301 1000\n> FA 151\n< FA 1301\n> A 152\n"
)

func TestStates(t *testing.T) {
	for name, tt := range map[string]struct {
		packets, state, end string
		closed              string
	}{
		"alone":               {"> S 100\n> S 100 +1s", "S0", "shutdown", ""},
		"refused":             {"> S 100\n< RA 0", "REJ", "reset", "responder"},
		"taken back":          {"> S 100\n> R 101", "RSTOS0", "reset", "initiator"},
		"open":                {handshake, "S1", "shutdown", ""},
		"closed":              {bothClose, "SF", "fin", "initiator"},
		"closed by one":       {handshake + "< FA 301", "S3", "shutdown", "responder"},
		"closed by the other": {handshake + "> FA 101", "S2", "shutdown", "initiator"},
		"reset":               {handshake + "> A 101 5\n> R 106", "RSTO", "reset", "initiator"},
		"reset by the server": {handshake + "> A 101 5\n< R 301", "RSTR", "reset", "responder"},
		"reset after the end": {bothClose + "< R 1302", "SF", "fin", "initiator"},
		"answer alone":        {"< SA 300", "OTH", "shutdown", ""},
		"answer and reset":    {"< SA 300\n< R 301", "RSTRH", "reset", "responder"},
		"answer and end":      {"< SA 300\n< FA 301", "SHR", "shutdown", "responder"},
		"asked and left":      {"> S 100\n> F 101", "SH", "shutdown", "initiator"},
		"middle":              {"> A 100 10\n< A 300 10", "OTH", "shutdown", ""},
	} {
		c := run(Options{}, script(t, tt.packets)...)
		if len(c.ended) != 1 {
			t.Errorf("%s: %d flows: %q", name, len(c.ended), c.lines)
			continue
		}
		f := c.ended[0]
		closed := ""
		if f.Closed {
			closed = [...]string{"initiator", "responder"}[f.ClosedBy]
		}
		if f.State != tt.state || f.End.String() != tt.end || closed != tt.closed || f.SrcPort != 40000 {
			t.Errorf("%s: %s, ended by %q, closed by %q, from port %d", name, f.State, f.End, closed, f.SrcPort)
		}
	}
}

func TestCountsAndTimes(t *testing.T) {
	packets := script(t, bothClose)
	packets[3].Segments, packets[3].IPBytes = 3, 170 // one frame for three segments
	f := run(Options{}, packets...).ended[0]
	want := Flow{
		Tuple: dissect.Tuple{Src: client, Dst: server, SrcPort: 40000, DstPort: 443, Protocol: 6},
		First: start, Last: start + 30e6, RTT: 30e6,
		Out:   Side{Packets: 7, Bytes: 330, Payload: 50, Flags: packet.SYN | packet.ACK | packet.FIN},
		In:    Side{Packets: 3, Bytes: 1120, Payload: 1000, Flags: packet.SYN | packet.ACK | packet.FIN},
		State: "SF", End: Finished, Closed: true,
		ID: f.ID,
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhoBegan(t *testing.T) {
	type seen struct {
		protocol     uint8
		src, dst     packet.Addr
		sport, dport uint16
		flags        uint8
	}
	turn := func(s seen) seen {
		s.src, s.dst, s.sport, s.dport = s.dst, s.src, s.dport, s.sport
		return s
	}
	for name, tt := range map[string]struct {
		first seen
		began bool
	}{
		"syn to a higher port":         {seen{6, client, server, 80, 50000, packet.SYN}, true},
		"syn and ack":                  {seen{6, server, client, 50000, 80, packet.SYN | packet.ACK}, false},
		"middle, to a server":          {seen{6, client, server, 50000, 443, packet.ACK}, true},
		"middle, from a server":        {seen{6, server, client, 443, 50000, packet.ACK}, false},
		"middle, registered port":      {seen{6, server, client, 3306, 50000, packet.ACK}, false},
		"middle, higher to lower":      {seen{6, client, server, 50001, 50000, packet.ACK}, true},
		"middle, lower to higher":      {seen{6, server, client, 50000, 50001, packet.ACK}, false},
		"middle, nfs from a low port":  {seen{6, client, server, 800, 2049, packet.ACK}, false},
		"udp question":                 {seen{17, client, server, 50000, 53, 0}, true},
		"udp answer":                   {seen{17, server, client, 53, 50000, 0}, false},
		"udp, first seen":              {seen{17, client, server, 30000, 50000, 0}, true},
		"udp to many":                  {seen{17, client, address(224, 0, 0, 251), 53, 50000, 0}, true},
		"udp, both known":              {seen{17, client, server, 123, 123, 0}, true},
		"udp broadcast":                {seen{17, client, address(255, 255, 255, 255), 67, 50000, 0}, true},
		"another protocol, first seen": {seen{47, server, client, 0, 0, 0}, true},
	} {
		for _, addresses := range []string{"in order", "against it"} {
			s := tt.first
			if addresses == "against it" {
				s.src, s.dst = s.dst, s.src
				if s.src.ToMany() {
					continue
				}
			}
			p := packet.Packet{Version: 4, Protocol: s.protocol, HasPorts: s.sport != 0, Src: s.src, Dst: s.dst, SrcPort: s.sport, DstPort: s.dport, Flags: s.flags, Segments: 1, Time: start}
			f := run(Options{}, p).ended[0]
			if !tt.began {
				s = turn(s)
			}
			if want := (dissect.Tuple{Src: s.src, Dst: s.dst, SrcPort: s.sport, DstPort: s.dport, Protocol: s.protocol}); f.Tuple != want && name != "middle, nfs from a low port" {
				t.Errorf("%s, addresses %s: %+v", name, addresses, f.Tuple)
			}
		}
	}
}

// TestTurnedAround: a guess is mended by what is sure, until it was told.
func TestTurnedAround(t *testing.T) {
	packets := script(t, "< A 300\n> S 100\n< SA 300 +1ms")
	for i := range packets { // The guess by port is the other way.
		swap := func(port *uint16) { *port = map[uint16]uint16{443: 50000, 40000: 40000}[*port] }
		swap(&packets[i].SrcPort)
		swap(&packets[i].DstPort)
	}
	packets[0].SrcPort, packets[0].DstPort = 50000, 40000
	if f := run(Options{}, packets...).ended[0]; f.SrcPort != 40000 {
		t.Errorf("began at port %d", f.SrcPort)
	}
	late := append([]packet.Packet(nil), packets...)
	for i := range late[1:] {
		late[i+1].Time += 5e9
	}
	c := &listener{}
	table := New(Options{Consumer: c})
	table.Add(&late[0])
	table.Advance(start + 4e9)
	table.Add(&late[1])
	table.Close()
	if c.ended[0].SrcPort != 50000 && len(c.ended) == 1 {
		t.Errorf("turned after it was told: %q", c.lines)
	}
}

// TestPortReuse: a new SYN on a tuple that has ended begins a flow.
func TestPortReuse(t *testing.T) {
	for name, tt := range map[string]struct {
		packets string
		want    []string
	}{
		"after both closed": {bothClose + handshake, []string{"SF fin", "S1 shutdown"}},
		"after a reset":     {handshake + "> R 101\n> S 900\n< SA 7", []string{"RSTO reset", "S1 shutdown"}},
		"end was missed":    {handshake + "> S 900 +2s\n< SA 7", []string{"S1 idle", "S1 shutdown"}},
		"sent again":        {handshake + "> S 100 +2s", []string{"S1 shutdown"}},
		"tried again":       {"> S 100\n> S 900 +2s", []string{"S0 shutdown"}},
	} {
		var got []string
		for _, f := range run(Options{}, script(t, tt.packets)...).ended {
			got = append(got, f.State+" "+f.End.String())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestTimers: what is told when.
func TestTimers(t *testing.T) {
	packets := script(t, handshake+"> A 101 10 +90s\n< A 301 10 +1s")
	c := &listener{}
	table := New(Options{Consumer: c, Update: 30 * time.Second})
	steps := func(until time.Duration) {
		for at := table.clock.latest; at < start+int64(until); at += 1e8 {
			table.Advance(at)
		}
	}
	for i := range packets[:3] {
		table.Add(&packets[i])
	}
	steps(90 * time.Second)
	table.Add(&packets[3])
	table.Add(&packets[4])
	steps(20 * time.Minute)
	want := []string{"opened 40000>443 S1", "updated 40000>443 S1", "updated 40000>443 S1", "ended 40000>443 S1 idle"}
	// The first update tells of what came after Opened was: nothing, for 30 s.
	if diff := cmp.Diff(want[0], c.lines[0]); diff != "" || c.lines[len(c.lines)-1] != want[3] || len(c.lines) > 4 {
		t.Errorf("told %q", c.lines)
	}
	if table.Stats().Active != 0 || table.index.used != 0 {
		t.Errorf("%d flows remain", table.Stats().Active)
	}
}

// TestTimeouts: how long flows of each kind stay when nothing comes.
// TestOpenedInTime: what is closed at once is told as soon as what goes on.
func TestOpenedInTime(t *testing.T) {
	packets := script(t, "> S 100\n< RA 0 +1ms")
	c := &listener{}
	table := New(Options{Consumer: c})
	for i := range packets {
		table.Add(&packets[i])
	}
	table.Advance(start + int64(1500*time.Millisecond))
	if diff := cmp.Diff([]string{"opened 40000>443 REJ reset"}, c.lines); diff != "" {
		t.Error(diff)
	}
}

func TestTimeouts(t *testing.T) {
	udp := func(*testing.T) []packet.Packet {
		return []packet.Packet{{Version: 4, Protocol: 17, HasPorts: true, Src: client, Dst: server, SrcPort: 5000, DstPort: 53, Time: start, Segments: 1}}
	}
	tcp := func(text string) func(*testing.T) []packet.Packet {
		return func(t *testing.T) []packet.Packet { return script(t, text) }
	}
	for name, tt := range map[string]struct {
		packets func(*testing.T) []packet.Packet
		stays   time.Duration
	}{
		"udp":         {udp, 30 * time.Second},
		"half open":   {tcp("> S 1"), 30 * time.Second},
		"established": {tcp(handshake), 10 * time.Minute},
		"closed":      {tcp(bothClose), 5 * time.Second},
		"middle":      {tcp("> A 1 10\n< A 1 10"), 10 * time.Minute},
	} {
		c := &listener{}
		table := New(Options{Consumer: c})
		for _, p := range tt.packets(t) {
			table.Add(&p)
		}
		last := table.clock.latest
		table.Advance(last + int64(tt.stays-time.Second))
		if len(c.ended) != 0 {
			t.Errorf("%s: ended before %v", name, tt.stays)
		}
		table.Advance(last + int64(tt.stays+time.Second))
		if len(c.ended) != 1 {
			t.Errorf("%s: did not end after %v", name, tt.stays)
		}
	}
}

// TestClock: time that leaps, or goes back, ends nothing that should not end, and
// keeps nothing that should.
func TestClock(t *testing.T) {
	c := &listener{}
	table := New(Options{Consumer: c})
	p := script(t, "> S 100")[0]
	table.Add(&p)
	other := p
	other.SrcPort++
	for i := range int64(40) { // The clock is set back by an hour.
		other.Time = start - 3600e9 + i*1e9
		table.Add(&other)
	}
	if len(c.ended) != 0 || table.Stats().ClockSetBack != 1 {
		t.Errorf("%d ended, set back %d times", len(c.ended), table.Stats().ClockSetBack)
	}
	for i := range int64(40) {
		other.Time = start - 3560e9 + i*1e9
		table.Add(&other)
	}
	if len(c.ended) != 1 || c.ended[0].Last < c.ended[0].First {
		t.Errorf("after it was set back, %d ended", len(c.ended))
	}
	for i := range int64(1000) { // Two interfaces whose clocks are an hour apart.
		other.Time = start + 60e9 + i%2*3600e9 + i
		table.Add(&other)
	}
	if n := len(c.ended); n > 3 {
		t.Errorf("with two clocks, %d ended", n)
	}
	table.Close()
}

// TestFlood: a flood of SYN pushes out itself and nothing that is established.
func TestFlood(t *testing.T) {
	c := &listener{}
	table := New(Options{Consumer: c, MaxFlows: 1000})
	open := script(t, handshake)
	for i := range 900 {
		for _, p := range open {
			if p.Src == client {
				p.SrcPort = uint16(10000 + i)
			} else {
				p.DstPort = uint16(10000 + i)
			}
			table.Add(&p)
		}
	}
	flood := script(t, "> S 7")[0]
	for i := range 50_000 {
		flood.Src = address(203, 0, byte(i>>8), byte(i))
		table.Add(&flood)
	}
	stats := table.Stats()
	if stats.Active != 1000 || stats.Ended[Evicted] != 49_900 {
		t.Errorf("%+v", stats)
	}
	for _, f := range c.ended {
		if f.State != "S0" {
			t.Fatalf("ended %+v", f)
		}
	}
	for i := range 400 { // More that last than there is room for.
		for _, p := range open {
			if p.Src == client {
				p.SrcPort = uint16(20000 + i)
			} else {
				p.DstPort = uint16(20000 + i)
			}
			table.Add(&p)
		}
	}
	if table.Stats().Active != 1000 {
		t.Errorf("%d are active", table.Stats().Active)
	}
	table.Close()
	if table.index.used != 0 || c.open != 0 || table.waiting.oldest != 0 {
		t.Errorf("%d in the index, %d open", table.index.used, c.open)
	}
}

// TestKinds: which packets are one flow.
func TestKinds(t *testing.T) {
	icmp := func(src, dst packet.Addr, kind, code uint8, id uint16) packet.Packet {
		return packet.Packet{Version: 4, Protocol: 1, Src: src, Dst: dst, ICMPType: kind, ICMPCode: code, EchoID: id, Segments: 1, Time: start}
	}
	vlan := func(id uint32) packet.Packet {
		p := packet.Packet{Version: 4, Protocol: 17, HasPorts: true, Src: client, Dst: server, SrcPort: 1, DstPort: 2, Segments: 1, Time: start}
		p.TunnelCount, p.Tunnels[0] = 1, packet.Tunnel{Kind: packet.TunnelVLAN, ID: id}
		return p
	}
	in := func(answer bool, tunnels ...packet.Tunnel) packet.Packet {
		p := vlan(7)
		if p.TunnelCount = uint8(copy(p.Tunnels[:], tunnels)); answer {
			p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
		}
		return p
	}
	vxlan := func(id uint32) packet.Tunnel { return packet.Tunnel{Kind: packet.TunnelVXLAN, ID: id} }
	gtp := func(id uint32) packet.Tunnel { return packet.Tunnel{Kind: packet.TunnelGTPU, ID: id} }
	for name, tt := range map[string]struct {
		o       Options
		packets []packet.Packet
		want    []string
	}{
		"echo and its answer": {Options{}, []packet.Packet{icmp(client, server, 8, 0, 7), icmp(server, client, 0, 0, 7)}, []string{"8>0"}},
		"answer first":        {Options{}, []packet.Packet{icmp(server, client, 0, 0, 7), icmp(client, server, 8, 0, 7)}, []string{"8>0"}},
		"two echoes":          {Options{}, []packet.Packet{icmp(client, server, 8, 0, 7), icmp(client, server, 8, 0, 8)}, []string{"8>0", "8>0"}},
		"both ask":            {Options{}, []packet.Packet{icmp(client, server, 8, 0, 7), icmp(server, client, 8, 0, 7)}, []string{"8>0", "8>0"}},
		"messages":            {Options{}, []packet.Packet{icmp(client, server, 3, 1, 0), icmp(server, client, 3, 1, 0)}, []string{"3>1", "3>1"}},
		"tags are one":        {Options{}, []packet.Packet{vlan(7), vlan(8)}, []string{"1>2"}},
		"tags are two":        {Options{VLAN: true}, []packet.Packet{vlan(7), vlan(8)}, []string{"1>2", "1>2"}},
		"bare and carried":    {Options{}, []packet.Packet{in(false), in(true, packet.Tunnel{Kind: packet.TunnelIPIP})}, []string{"1>2", "2>1"}},
		"other carriers":      {Options{}, []packet.Packet{in(false, vxlan(7)), in(false, gtp(7))}, []string{"1>2", "1>2"}},
		"two networks":        {Options{}, []packet.Packet{in(false, vxlan(7)), in(true, vxlan(8))}, []string{"1>2", "2>1"}},
		"one network":         {Options{}, []packet.Packet{in(false, vxlan(7)), in(true, vxlan(7))}, []string{"1>2"}},
		"an id each way":      {Options{}, []packet.Packet{in(false, gtp(7)), in(true, gtp(8))}, []string{"1>2"}},
		"no IP":               {Options{}, []packet.Packet{{Time: start}}, nil},
		"no ports": {
			Options{},
			[]packet.Packet{{Version: 4, Protocol: 50, Src: client, Dst: server, Time: start}, {Version: 4, Protocol: 50, Src: server, Dst: client, Time: start}, {Version: 4, Protocol: 17, LaterFragment: true, Src: client, Dst: server, Time: start}},
			[]string{"0>0", "0>0"},
		},
	} {
		var got []string
		for _, f := range run(tt.o, tt.packets...).ended {
			got = append(got, fmt.Sprintf("%d>%d", f.SrcPort, f.DstPort))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestLeap: after a leap of time a record may be put back into the slot that is just
// looked at.
func TestLeap(t *testing.T) {
	for leap := 68 * time.Second; leap < 71*time.Second; leap += 50 * time.Millisecond {
		c := &listener{}
		table := New(Options{Consumer: c, Update: -1})
		for _, p := range script(t, handshake) {
			table.Add(&p)
		}
		table.Advance(start + int64(leap))
		table.Advance(start + 2*int64(leap))
		if len(c.ended) != 0 || table.Stats().Active != 1 {
			t.Fatalf("after %v: %q", leap, c.lines)
		}
	}
}
