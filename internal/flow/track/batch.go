package track

import (
	"runtime"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// MaxBatch is how many packets of AddAll are looked up together.
const MaxBatch = 32

// sought is a packet's flow while it is looked for.
type sought struct {
	key  key
	hash uint32
	side uint8
}

// batch is what AddAll needs, so that it need not be allocated.
type batch struct {
	sought  [MaxBatch]sought
	touched uint64 // what was read for the cache alone, so that it is read
}

// AddAll counts packets in their flows, one after the other. Nothing of them is kept.
//
// With many flows, most of a packet's time goes by while memory is waited for: the
// place in the index, then the record. Here the places of all packets are read
// before any record, and all records before any is used, so that a processor waits
// for many at once.
func (t *Table) AddAll(ps []packet.Packet) {
	for len(ps) > 0 {
		some := ps[:min(len(ps), MaxBatch)]
		ps = ps[len(some):]
		t.fetch(some)
		for i := range some {
			t.add(&some[i], &t.batch.sought[i])
		}
	}
	runtime.KeepAlive(t) // Records may lie in memory that goes with it.
}

// fetch finds out what packets look for, and brings it into the cache. What it finds
// may be another by the time that a packet's turn comes.
func (t *Table) fetch(ps []packet.Packet) {
	var places [MaxBatch]uint64
	b := &t.batch
	for i := range ps {
		p, s := &ps[i], &b.sought[i]
		if p.Version == 0 {
			continue
		}
		t.seek(p, s)
		places[i] = t.index.places[s.hash&t.index.mask]
	}
	for i, x := range places[:len(ps)] {
		if x == 0 || uint32(x>>32) != b.sought[i].hash {
			continue
		}
		h := t.records.hot(uint32(x))
		b.touched += uint64(h.marks) + h.sides[1].payload // one of each cache line
	}
}

// seek says which flow a packet is of.
func (t *Table) seek(p *packet.Packet, s *sought) {
	var isSecond bool
	s.key, isSecond = keyOf(p, t.o.VLAN)
	s.hash = s.key.hash(&t.secret)
	s.side = 0
	if isSecond {
		s.side = 1
	}
}

// add counts one packet, of which is known what it looks for.
func (t *Table) add(p *packet.Packet, s *sought) {
	t.pass(p.Time)
	if p.Version == 0 {
		t.stats.NotIP++
		return
	}
	t.stats.Packets++
	n, h := t.find(&s.key, s.hash)
	if h != nil && p.Protocol == protoTCP && t.begins(n, h, s.side, p) {
		t.end(n, h, Idle)
		h = nil
	}
	if h == nil {
		n, h = t.begin(&s.key, s.hash, s.side, p)
	}
	t.count(n, h, s.side, p)
}
