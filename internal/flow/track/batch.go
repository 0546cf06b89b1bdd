package track

import (
	"runtime"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// MaxBatch is how many packets of AddAll are looked up together.
const MaxBatch = 32

// sought is a packet's flow while it is looked for.
type sought struct {
	key  key
	hash uint32
	// likely is the record that was found ahead of the packet's turn, 0 for none. It may
	// have gone since.
	likely uint32
	side   uint8
}

// batch is what AddAll needs, so that it need not be allocated.
type batch struct {
	sought  [MaxBatch]sought
	places  [MaxBatch]uint64
	states  [MaxBatch]*dissect.State
	touched uint64 // what was read for the cache alone, so that it is read
}

// AddAll counts packets in their flows, one after the other. Nothing of them is kept.
//
// With many flows, most of a packet's time goes by while memory is waited for: the
// place in the index, then the record, then what the engine has of it. Here each of
// these is read for all packets before the next one is for any, in loops so short that
// a processor waits for many at once.
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
	b := &t.batch
	sought := b.sought[:len(ps)]
	for i := range ps {
		s := &sought[i]
		if s.likely = 0; ps[i].Version != 0 {
			t.seek(&ps[i], s)
		}
	}
	places, mask := b.places[:len(ps)], t.index.mask
	for i := range places {
		places[i] = t.index.places[sought[i].hash&mask]
	}
	touched := uint64(0)
	for i, x := range places {
		s := &sought[i]
		if uint32(x>>32) != s.hash && x != 0 { // Most are in the next place then.
			x = t.index.places[(s.hash+1)&mask]
		}
		if x == 0 || uint32(x>>32) != s.hash || ps[i].Version == 0 {
			continue
		}
		s.likely = uint32(x)
		h := t.records.hot(uint32(x))
		touched += uint64(h.marks) + h.sides[1].payload // one of each cache line
	}
	if t.o.Engine != nil {
		touched += t.fetchStates(ps, sought)
	}
	b.touched = touched
}

// fetchStates goes on with what the engine has of flows that it is busy with.
func (t *Table) fetchStates(ps []packet.Packet, sought []sought) (touched uint64) {
	n := 0
	states := &t.batch.states
	for i := range sought {
		s := &sought[i]
		if s.likely == 0 || len(ps[i].Payload) == 0 {
			continue
		}
		h := t.records.hot(s.likely)
		if h.facts == 0 || h.marks.has(inspected) {
			continue
		}
		states[n] = t.inspections.all[h.facts].state
		n++
	}
	for _, s := range states[:n] {
		touched += s.Touch()
	}
	clear(states[:n])
	return touched
}

// seek says which flow a packet is of.
func (t *Table) seek(p *packet.Packet, s *sought) {
	s.side = s.key.read(p, t.o.VLAN)
	s.hash = s.key.hash(&t.secret)
}

// add counts one packet, of which is known what it looks for.
func (t *Table) add(p *packet.Packet, s *sought) {
	t.pass(p.Time)
	if p.Version == 0 {
		t.stats.NotIP++
		return
	}
	t.stats.Packets++
	n, h := t.find(s)
	if h != nil && p.Protocol == protoTCP && t.begins(n, h, s.side, p) {
		t.end(n, h, Idle)
		h = nil
	}
	if h == nil {
		n, h = t.begin(&s.key, s.hash, s.side, p)
	}
	t.count(n, h, s.side, p)
}

// find returns the record of what is sought, or nil.
func (t *Table) find(s *sought) (uint32, *hot) {
	if s.likely != 0 { // Of a key there is never more than one that is used.
		if h := t.records.hot(s.likely); h.marks.has(used) && h.key.equal(&s.key) {
			return s.likely, h
		}
	}
	for at := s.hash & t.index.mask; ; at = (at + 1) & t.index.mask {
		entry := t.index.places[at]
		if entry == 0 {
			return 0, nil
		}
		if uint32(entry>>32) != s.hash {
			continue
		}
		if h := t.records.hot(uint32(entry)); h.key.equal(&s.key) {
			return uint32(entry), h
		}
	}
}
