package place

import (
	"slices"
	"time"
)

// via is how a place is known, in one byte.
type via uint8

const (
	viaFDB via = iota + 1
	viaLLDP
	viaCDP
)

func (v via) String() string {
	switch v {
	case viaLLDP:
		return SourceLLDP
	case viaCDP:
		return SourceCDP
	default:
		return SourceFDB
	}
}

func viaOf(source string) via {
	switch source {
	case SourceLLDP:
		return viaLLDP
	case SourceCDP:
		return viaCDP
	default:
		return viaFDB
	}
}

// spot is a Place by numbers; the zero value is none.
type spot struct {
	on     uint32 // index of the switch, from 1
	port   uint32
	vlan   uint16
	source via
}

// same says that both are the same port, however they are known.
func (s spot) same(o spot) bool { return s.on == o.on && s.port == o.port }

// station is what is known of one MAC. Times are Unix seconds.
type station struct {
	at, before, told   spot
	since, beforeSince int64
	toldSince          int64
	seen               int64
	moves              [maxFlapMoves]int64 // when it moved, the newest first
	flapping           bool

	// The best candidate of a round of Settle.
	round     uint32
	best      spot
	crowd     int // MACs at that port
	bestSince int64
}

// portState is what one round finds of a port.
type portState struct {
	macs   int
	uplink bool
	last   MAC // counted last: entries come by MAC
}

// Settle compares what all switches say and returns what has changed since it was
// called last, by MAC. It is called when all switches were read, since half of them put
// devices at uplinks. It looks at every entry: about 0.2 s a million.
func (m *Map) Settle(now time.Time) []Move {
	m.round++
	own := m.ownMACs()
	for i, t := range m.switches {
		m.propose(uint32(i+1), t, t.look(uint32(i+1), own, m.o.Crowd), own, now.Unix())
	}
	var moves []Move
	for mac, s := range m.known {
		switch {
		case s.round == m.round:
			if mv, changed := m.follow(mac, s, now.Unix()); changed {
				moves = append(moves, mv)
			}
		case m.o.since(s.seen, now.Unix()) > int64(m.o.Forget/time.Second):
			delete(m.known, mac)
		}
	}
	m.forgetIPs(now.Unix())
	slices.SortFunc(moves, func(a, b Move) int { return compareMACs(a.MAC, b.MAC) })
	return moves
}

// ownMACs are those of the switches, with the index of each from 1.
func (m *Map) ownMACs() map[MAC]uint32 {
	own := map[MAC]uint32{}
	for i, t := range m.switches {
		for _, mac := range t.macs {
			own[mac] = uint32(i + 1)
		}
	}
	return own
}

// look tells uplinks from edge ports.
func (t *table) look(self uint32, own map[MAC]uint32, crowd int) map[uint32]*portState {
	ports := map[uint32]*portState{}
	at := func(port uint32) *portState {
		p := ports[port]
		if p == nil {
			p = &portState{}
			ports[port] = p
		}
		return p
	}
	for _, n := range t.neighbors {
		whose := own[n.MAC]
		if n.Bridges || whose != 0 && whose != self {
			at(n.Port).uplink = true
			if aggregate := t.members[n.Port]; aggregate != 0 {
				at(aggregate).uplink = true
			}
		}
	}
	for i := range t.entries {
		e := &t.entries[i]
		p := at(e.Port)
		if p.macs == 0 || p.last != e.MAC {
			p.macs++
			p.last = e.MAC
		}
		if whose := own[e.MAC]; whose != 0 && whose != self || p.macs > crowd {
			p.uplink = true
		}
	}
	return ports
}

// propose enters the edge ports of one switch as candidates.
func (m *Map) propose(self uint32, t *table, ports map[uint32]*portState, own map[MAC]uint32, now int64) {
	for i := range t.entries {
		e := &t.entries[i]
		p := ports[e.Port]
		if own[e.MAC] != 0 {
			continue
		}
		s := m.station(e.MAC)
		if s == nil {
			continue
		}
		s.seen = now
		if !p.uplink {
			m.weigh(s, spot{self, e.Port, e.VLAN, viaFDB}, p.macs, e.since)
		}
	}
	for _, n := range t.neighbors {
		if n.Bridges || !n.MAC.isStation() || own[n.MAC] != 0 {
			continue
		}
		if s := m.station(n.MAC); s != nil {
			s.seen = now
			m.weigh(s, spot{self, n.Port, 0, viaOf(n.Source)}, 0, now)
		}
	}
}

func (m *Map) station(mac MAC) *station {
	s := m.known[mac]
	if s == nil {
		if len(m.known) >= m.o.MaxMACs {
			m.leftOut++
			return nil
		}
		s = &station{}
		m.known[mac] = s
	}
	return s
}

// weigh keeps the better of a candidate and the best so far. What a device says itself
// has a crowd of 0, and so wins.
func (m *Map) weigh(s *station, c spot, crowd int, since int64) {
	if s.round == m.round {
		better := crowd < s.crowd
		if crowd == s.crowd {
			// Equal in time too, as at the start: where it was, else the first in order.
			better = since > s.bestSince || since == s.bestSince && s.at.same(c) && !s.at.same(s.best)
		}
		if !better {
			return
		}
	}
	s.round, s.best, s.crowd, s.bestSince = m.round, c, crowd, since
}

// follow moves a station to its best candidate, and says what there is to tell:
//
//	it was                | and now                       | told
//	----------------------+-------------------------------+----------
//	nowhere               | is somewhere                  | Appeared
//	steady                | is at another port            | Moved
//	steady, moved often   | is at another port            | Flapping
//	flapping              | is at another port            | nothing
//	flapping, then steady | is not where it was last told | Moved
//	flapping, then steady | is where it was last told     | nothing
func (m *Map) follow(mac MAC, s *station, now int64) (Move, bool) {
	tell := func(kind Kind) (Move, bool) {
		mv := Move{Kind: kind, MAC: mac, IPs: m.IPs(mac), New: m.place(s.at, s.since, 0)}
		switch kind {
		case Moved:
			mv.Old = m.place(s.told, s.toldSince, s.since)
		case Flapping:
			mv.Old = m.place(s.before, s.beforeSince, s.since)
		default:
		}
		s.told, s.toldSince = s.at, s.since
		return mv, true
	}
	window := int64(m.o.FlapWindow / time.Second)
	if s.at.same(s.best) {
		s.at.vlan, s.at.source = s.best.vlan, s.best.source
		if s.flapping && now-s.moves[0] >= window {
			s.flapping = false
			if !s.told.same(s.at) {
				return tell(Moved)
			}
		}
		return Move{}, false
	}
	first := s.at == (spot{})
	s.before, s.beforeSince = s.at, s.since
	s.at, s.since = s.best, max(s.bestSince, s.since)
	if first {
		return tell(Appeared)
	}
	copy(s.moves[1:], s.moves[:])
	s.moves[0] = now
	earliest := s.moves[m.o.FlapMoves-1]
	switch {
	case s.flapping:
		return Move{}, false
	case earliest != 0 && now-earliest <= window:
		s.flapping = true
		return tell(Flapping)
	default:
		return tell(Moved)
	}
}
