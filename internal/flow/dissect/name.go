package dissect

import "github.com/amoskys/amoskys/internal/flow/packet"

// The order in which one side's beginning is tried: the protocol of the port it goes
// to or comes from, those of its own side, and last those of the other side, for
// flows whose initiator was guessed wrong.
//
//	pos            tried
//	0, 1           hints, own side
//	2 ..           lists[own side][first byte]
//	then           lists[other side][first byte]
//
// A signature that wants more stops the search there until the next look.
func (e *Engine) name(s *State, dir Direction, final bool) {
	st := &s.streams[dir]
	b := st.seen()
	if len(b) == 0 || st.pos == exhausted {
		return
	}
	if len(b) >= maxNaming {
		b, final = b[:maxNaming], true
	}
	other := s.streams[1-dir].seen()
	l := &e.look
	*l = look{b: b, other: other[:min(len(other), maxNaming)], size: len(b), final: final, srcPort: s.tuple.SrcPort, dstPort: s.tuple.DstPort}
	own := sideClient
	if dir == FromResponder {
		own = sideServer
		l.srcPort, l.dstPort = l.dstPort, l.srcPort
	}
	lists := [2][]id{e.tables.lists[own][b[0]], e.tables.lists[1-own][b[0]]}
	for ; st.pos < exhausted; st.pos++ {
		candidate, side := s.candidate(lists, own, int(st.pos))
		if side < 0 {
			break
		}
		if candidate == none {
			continue
		}
		sig := e.tables.protocols[candidate].side(side)
		if sig.match == nil {
			continue
		}
		switch a := sig.match(l); {
		case a == yes:
			s.app, s.guess = candidate, none
			return
		case a == more && !final:
			return
		case a == maybe:
			if s.guess == candidate && s.guessed != int8(dir) {
				s.app, s.guess = candidate, none
				return
			}
			if s.guess == none {
				s.guess, s.guessed = candidate, int8(dir)
			}
		case candidate == s.hints[0] || candidate == s.hints[1]:
			s.denied = s.denied || side == own
		}
	}
	st.pos = exhausted
	s.noteEntropy(e.tables, b)
}

// exhausted is a position behind all signatures.
const exhausted = 255

// candidate returns what is tried at a position, and for which side it speaks; a
// negative side says that there is nothing any more.
func (s *State) candidate(lists [2][]id, own, pos int) (id, int) {
	if pos < 2 {
		return s.hints[pos], own
	}
	pos -= 2
	side := own
	if pos >= len(lists[0]) {
		pos -= len(lists[0])
		if pos >= len(lists[1]) {
			return none, -1
		}
		return lists[1][pos], 1 - own
	}
	c := lists[0][pos]
	if c == s.hints[0] || c == s.hints[1] {
		return none, side
	}
	return c, side
}

// nameDatagram tries the signatures of datagrams. Each datagram is judged by itself;
// weak evidence of two makes a name.
func (e *Engine) nameDatagram(s *State, dir Direction, p *packet.Packet) {
	st := &s.streams[dir]
	l := &e.look
	*l = look{
		b: p.Payload, size: max(int(p.PayloadBytes), len(p.Payload)), final: true,
		first: st.buf, other: s.streams[1-dir].buf, srcPort: s.tuple.SrcPort, dstPort: s.tuple.DstPort,
	}
	if dir == FromResponder {
		l.srcPort, l.dstPort = l.dstPort, l.srcPort
	}
	if s.guess != none && s.tryDatagram(e, s.guess) {
		return
	}
	for _, h := range s.hints {
		if h != none && h != s.guess && s.tryDatagram(e, h) {
			return
		}
	}
	if s.payloads > maxTries {
		return
	}
	for _, c := range e.tables.lists[sideDatagram][p.Payload[0]] {
		if c != s.hints[0] && c != s.hints[1] && c != s.guess && s.tryDatagram(e, c) {
			return
		}
	}
	s.noteEntropy(e.tables, p.Payload)
	if st.buf == nil && s.payloads < MaxPayloads {
		st.buf = e.pool.take(1)
	} else if s.guess == none || s.guessed != int8(s.payloads) {
		return
	}
	if st.buf != nil { // The first, or the one that the guess came from.
		st.buf = append(st.buf[:0], p.Payload[:min(len(p.Payload), firstKept)]...)
	}
}

// firstKept is how much of a direction's first datagram signatures may compare
// later ones with, bytes.
const firstKept = 128

// maxTries is how many datagrams of an unknown flow are shown to all signatures;
// those behind only to what is likely.
const maxTries = 4

// tryDatagram shows what e.look holds to one signature and reports whether the flow
// has a name now.
func (s *State) tryDatagram(e *Engine, c id) bool {
	sig := &e.tables.protocols[c].datagram
	if sig.match == nil {
		return false
	}
	switch sig.match(&e.look) {
	case yes:
		s.app = c
		if s.guess == c {
			s.guess = none
		}
		return true
	case maybe:
		if s.guess == c && s.guessed != int8(s.payloads) {
			s.app, s.guess = c, none
			return true
		}
		if s.guess == none || c == s.hints[0] || c == s.hints[1] {
			s.guess, s.guessed = c, int8(s.payloads)
		}
	default:
		if c == s.hints[0] || c == s.hints[1] {
			s.denied = true
		}
		if c == s.guess { // It did not agree with the one before.
			s.guess = none
		}
	}
	return false
}

// maxEntropy is of how many bytes the entropy is measured.
const maxEntropy = 512

// noteEntropy measures the beginning of the first payload, in bits a byte.
func (s *State) noteEntropy(t *tables, b []byte) {
	if s.hasEntropy || len(b) == 0 {
		return
	}
	s.hasEntropy = true
	b = b[:min(len(b), maxEntropy)]
	var counts [256]uint16
	for _, c := range b {
		counts[c]++
	}
	sum := float32(0)
	for _, n := range counts {
		sum += t.nlogn[n]
	}
	n := float32(len(b))
	s.entropy = max(0, (t.nlogn[len(b)]-sum)/n)
}
