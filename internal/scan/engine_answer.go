package scan

import (
	"time"

	"github.com/amoskys/amoskys/internal/scan/probe"
)

// receivedMost is how many packets are taken in at once: more than the kernel holds for us,
// so that all that came in time is known before something is given up, and not without end
// where somebody floods us.
const receivedMost = 16_384

// receive takes in what has come.
func (e *engine) receive() (heard int, err error) {
	now := e.clock()
	for heard < receivedMost {
		n, err := e.wire.Receive(func(packet []byte, _ probe.MAC) { e.answer(packet, now) })
		heard += n
		if err != nil || n == 0 {
			return heard, err
		}
	}
	return heard, nil
}

// answer takes in a packet, if it answers a probe. One from another address than was
// asked, with a number that we did not send, or for what was answered already, counts
// as nothing.
func (e *engine) answer(packet []byte, now time.Duration) {
	a := probe.Read(packet)
	if a.Kind == probe.None || a.Kind == probe.Expired || a.UDP && a.Port != e.datagram { // those of ways that are looked for
		return
	}
	s := e.subjects[a.About]
	index, try := e.locate(&a)
	if s == nil || index < 0 || a.Seq != e.expected(s, index, &a, try) {
		if a.Kind != probe.Echoes && a.Kind != probe.Unreachable { // which may be those of others
			e.count.strays.Add(1)
		}
		return
	}
	state := s.state[index]
	last := int(state >> triesShift & triesBits)
	if try > last {
		e.count.strays.Add(1)
		return
	}
	if state&outcomeBits != outcomeNone {
		if try == 1 && last > 1 && state&waitingBit == 0 { // the first try was late, not lost
			e.pace.mistaken()
			e.count.lost.Add(-1)
			s.state[index] |= waitingBit // once
		}
		return
	}
	if e.first && a.Kind == probe.Unreachable && a.From != a.About {
		return // a router says that there is nobody
	}
	e.conclude(s, index, &a)
	rtt := time.Duration(uint32(now/tick)-s.sent[index]) * tick
	lostAt := now
	if last > 1 {
		lostAt = now - time.Duration(uint32(now/tick)-s.before[index])*tick
	}
	if try < last { // late, not lost
		rtt, try = now-lostAt, 1
	}
	e.note(s, now, rtt, lostAt, try)
}

// locate says which probe an answer is about, -1 if about none that could be ours.
func (e *engine) locate(a *probe.Answer) (index int32, try int) {
	if a.Kind == probe.Echoes || a.Kind == probe.Unreachable && a.Echo {
		return e.index[0], int(a.Seq & triesBits)
	}
	if a.Local&^triesBits != e.base || a.Port == 0 {
		return -1, 0
	}
	return e.index[a.Port], int(a.Local & triesBits)
}

// expected is the number of an answer to a try. An error quotes of a datagram its length and
// its checksum, which is made of all of it.
func (e *engine) expected(s *subject, index int32, a *probe.Answer, try int) uint32 {
	port := e.asks[index]
	if e.datagram == 0 || port != e.datagram {
		return e.number(a.About, port, try)
	}
	if !a.UDP {
		return ^a.Seq // that port was not asked by TCP
	}
	var packet [probe.MaxPacket]byte
	return probe.UDPSeq(e.appendDatagram(packet[:0], s, try))
}

// conclude notes what an answer says.
func (e *engine) conclude(s *subject, index int32, a *probe.Answer) {
	if s.state[index]&waitingBit != 0 {
		s.outstanding--
		e.waiting[muteIndex(s.mute)]--
	}
	s.state[index] &^= waitingBit | outcomeBits
	switch a.Kind {
	case probe.Accepts, probe.Echoes:
		s.state[index] |= outcomeOpen
		s.open++
	case probe.Refuses:
		s.state[index] |= outcomeClosed
		s.closed++
	default:
		s.state[index] |= outcomeFiltered
		s.filtered++
	}
	e.count.answered.Add(1)
	e.count.left.Add(-1)
	if (a.Kind == probe.Accepts || a.Kind == probe.Refuses) && (!s.hasTraits || a.Traits.Open && !s.traits.Open) {
		s.traits, s.hasTraits = a.Traits, true
	}
	if s.mute {
		s.mute = false
		e.waiting[1] -= s.outstanding
		e.waiting[0] += s.outstanding
	}
}

// note adjusts the pace, and ends a subject of which enough is known.
func (e *engine) note(s *subject, now, rtt, lostAt time.Duration, try int) {
	e.pace.heard(now, rtt, lostAt, try)
	e.count.heard.Add(1)
	if try > 1 {
		e.count.lost.Add(1)
	}
	if s.host.RTT == 0 || rtt < s.host.RTT {
		s.host.RTT = rtt
	}
	if e.first || s.everywhere() {
		e.finish(s)
		return
	}
	e.settle(s)
}
