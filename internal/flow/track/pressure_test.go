package track

import (
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// TestDamagedTime: one packet from far ahead ends nothing; when several agree, time
// has gone on.
func TestDamagedTime(t *testing.T) {
	c := &listener{}
	table := New(Options{Consumer: c})
	p := script(t, "> S 100")[0]
	table.Add(&p)
	other := p
	other.SrcPort++
	for range 5 {
		other.Time = start + 3600e9
		table.Add(&other)
		other.Time = start + 1e9
		table.Add(&other)
	}
	if len(c.ended) != 0 {
		t.Fatalf("single packets from far ahead ended %q", c.lines)
	}
	for i := range int64(forward) {
		other.Time = start + 3600e9 + i
		table.Add(&other)
	}
	if len(c.ended) == 0 {
		t.Error("an hour passed, and nothing ended")
	}
}

// TestManyYears: time wraps around in ticks; what never ends does not, what is idle
// does.
func TestManyYears(t *testing.T) {
	for _, tt := range []struct {
		idle time.Duration
		want int
	}{{-1, 0}, {time.Hour, 1}} {
		c := &listener{}
		table := New(Options{Consumer: c, Idle: tt.idle, Update: -1})
		p := packet.Packet{Version: 4, Protocol: 17, HasPorts: true, Src: client, Dst: server, SrcPort: 5000, DstPort: 53, Time: start, Segments: 1}
		table.Add(&p)
		for at := start; at < start+20*365*86400e9; at += 30 * 86400e9 {
			for range forward {
				table.Advance(at)
			}
		}
		if len(c.ended) != tt.want {
			t.Errorf("idle %v: %d ended after 20 years", tt.idle, len(c.ended))
		}
	}
}

// TestFull: where all flows are answered, established connections go last.
func TestFull(t *testing.T) {
	c := &listener{}
	table := New(Options{Consumer: c, MaxFlows: 400})
	add := func(text string, port int) {
		for _, p := range script(t, text) {
			if p.Src == client {
				p.SrcPort = uint16(port)
			} else {
				p.DstPort = uint16(port)
			}
			table.Add(&p)
		}
	}
	for i := range 200 {
		add(handshake, 10_000+i)
	}
	for i := range 200 {
		add(bothClose, 20_000+i)
	}
	for i := range 100 { // Each takes the place of one that is over; all are in time.
		add(bothClose, 30_000+i)
	}
	for _, f := range c.ended {
		if f.State != "SF" {
			t.Fatalf("a flow in state %s made room", f.State)
		}
	}
	if s := table.Stats(); s.EvictedEstablished != 0 || s.Ended[Finished] != 100 || s.Active != 400 {
		t.Errorf("%+v", s)
	}
	for i := range 450 { // More connections than there is room for.
		add(handshake, 40_000+i)
	}
	if s := table.Stats(); s.EvictedEstablished < 200 || s.Active != 400 {
		t.Errorf("%+v", s)
	}
}

// TestHash: flows that differ by little lie in different places.
func TestHash(t *testing.T) {
	s := newSecret()
	seen := map[uint32]int{}
	const flows = 1 << 14
	for i := range flows {
		k := key{first: client, second: server, ends: packEnds(uint16(i), 443, 0, 0), protocol: protoTCP, kind: byPorts}
		seen[k.hash(&s)&(flows-1)]++
	}
	if len(seen) < flows*55/100 { // Chance fills 63 of 100 places.
		t.Errorf("%d flows lie in %d places", flows, len(seen))
	}
	a := key{first: client, second: server, ends: packEnds(1, 443, 0, 0), protocol: protoTCP, kind: byPorts}
	b := a
	if b.ends = packEnds(1, 443, 1, 0); a.equal(&b) || !a.equal(&a) || a.hash(&s) == b.hash(&s) {
		t.Error("keys are not told apart")
	}
}
