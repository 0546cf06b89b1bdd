package track

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// trace makes packets of flows flows, of which active are going on at a time.
func trace(packets, flows, active int) []packet.Packet {
	r := rand.New(rand.NewPCG(1, 2))
	type conn struct {
		p    packet.Packet
		seq  [2]uint32
		left int
	}
	mean := packets / flows
	fresh := func() conn {
		var c conn
		c.p = packet.Packet{Version: 4, Protocol: 6, HasPorts: true, Segments: 1, IPBytes: 500, PayloadBytes: 0, SrcPort: uint16(1024 + r.Uint32N(60000)), DstPort: 443}
		c.p.Src = packet.Addr{10: 255, 11: 255, 12: 10, 13: byte(r.Uint32()), 14: byte(r.Uint32()), 15: byte(r.Uint32())}
		c.p.Dst = packet.Addr{10: 255, 11: 255, 12: 192, 13: 168, 14: byte(r.Uint32()), 15: byte(r.Uint32())}
		c.left = 1 + int(r.Uint32N(uint32(2*mean-1)))
		return c
	}
	conns := make([]conn, active)
	for i := range conns {
		conns[i] = fresh()
	}
	out := make([]packet.Packet, 0, packets)
	for i := range packets {
		c := &conns[r.Uint32N(uint32(active))]
		p := c.p
		p.Time = 1_700_000_000_000_000_000 + int64(i)*1000
		side := r.Uint32N(2)
		if c.seq[0] == 0 {
			side, p.Flags = 0, packet.SYN
		} else if c.seq[1] == 0 {
			side, p.Flags = 1, packet.SYN|packet.ACK
		} else {
			p.Flags, p.PayloadBytes = packet.ACK|packet.PSH, 400
		}
		if side == 1 {
			p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
		}
		if c.left--; c.left == 0 {
			p.Flags |= packet.RST
		}
		p.Seq = c.seq[side]
		c.seq[side] += max(1, p.PayloadBytes)
		out = append(out, p)
		if c.left <= 0 {
			*c = fresh()
		}
	}
	return out
}

type silent struct{ opened, ended int }

func (s *silent) Opened(*Flow)  { s.opened++ }
func (s *silent) Updated(*Flow) {}
func (s *silent) Ended(*Flow)   { s.ended++ }

// BenchmarkTable counts 2 million packets of 170,000 flows, of which a tenth, or all,
// go on at once.
func BenchmarkTable(b *testing.B) {
	for name, active := range map[string]int{"active=17000": 17_000, "active=170000": 170_000} {
		b.Run(name, func(b *testing.B) {
			packets := trace(2_000_000, 170_000, active)
			b.ReportAllocs()
			b.ResetTimer()
			began := time.Now()
			for range b.N {
				table := New(Options{Consumer: &silent{}})
				for part := packets; len(part) > 0; part = part[min(len(part), MaxBatch):] {
					table.AddAll(part[:min(len(part), MaxBatch)])
				}
				b.StopTimer()
				table.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(b.N)/float64(len(packets)), "ns/packet")
		})
	}
}

// TestAddAll holds packets that are added together against the same, added one by one:
// what is told of them is the same, though flows begin and end within a batch.
func TestAddAll(t *testing.T) {
	packets := trace(20_000, 4000, 500)
	for i := range packets { // in 20 seconds
		packets[i].Time += int64(i) * 1e6
	}
	var told [2][]Flow
	for i := range told {
		table := New(Options{Consumer: &keeper{to: &told[i]}, Linger: time.Second})
		if i == 0 {
			for n := range packets {
				table.Add(&packets[n])
			}
		} else {
			table.AddAll(packets)
		}
		table.Close()
	}
	if diff := cmp.Diff(told[0], told[1]); diff != "" {
		t.Errorf("one by one and together differ (-one +together):\n%s", diff)
	}
	if len(told[0]) < 4000 {
		t.Errorf("%d flows ended", len(told[0]))
	}
}

// keeper keeps the flows that ended.
type keeper struct {
	silent
	to *[]Flow
}

func (k *keeper) Ended(f *Flow) { *k.to = append(*k.to, *f) }

// TestSizes holds what one of a million flows costs: 400 MB for all, and about 250 B
// for record and index.
func TestSizes(t *testing.T) {
	record := int(unsafe.Sizeof(hot{}) + unsafe.Sizeof(cold{}))
	if unsafe.Sizeof(hot{}) != 128 || record > 232 {
		t.Errorf("hot has %d bytes, hot and cold %d", unsafe.Sizeof(hot{}), record)
	}
	if testing.Short() {
		t.Skip("a million flows take a second")
	}
	table := New(Options{Consumer: &silent{}})
	p := packet.Packet{Version: 4, Protocol: 17, HasPorts: true, Segments: 1, Time: 1}
	for i := range 1_000_000 {
		p.Src = packet.Addr{10: 255, 11: 255, 12: 10, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}
		table.Add(&p)
	}
	x := &table.records
	all := len(x.chunks)*int(unsafe.Sizeof(chunk{})) + 4*cap(x.free) + 8*len(table.index.places)
	if held := all / 1_000_000; held > 260 {
		t.Errorf("a flow of a million holds %d bytes", held)
	} else {
		t.Logf("%d bytes a flow, %d of them its record", held, record)
	}
	if table.Stats().Active != 1_000_000 {
		t.Errorf("%d flows are active", table.Stats().Active)
	}
}
