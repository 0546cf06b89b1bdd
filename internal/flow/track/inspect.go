package track

import (
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// inspection is what the Engine has of one flow: a State while it looks, Facts then.
// Those with a State are in a list, the oldest first.
type inspection struct {
	state        *dissect.State
	facts        *dissect.Facts
	flow         uint32
	older, newer uint32
}

// inspections are numbered from 1.
type inspections struct {
	all            []inspection
	free           []uint32
	busy           int
	oldest, newest uint32
}

func (x *inspections) take() uint32 {
	if last := len(x.free) - 1; last >= 0 {
		i := x.free[last]
		x.free = x.free[:last]
		return i
	}
	if len(x.all) == 0 {
		x.all = make([]inspection, 1, 64)
	}
	x.all = append(x.all, inspection{})
	return uint32(len(x.all) - 1)
}

func (x *inspections) enlist(i uint32) {
	x.all[i].older, x.all[i].newer = x.newest, 0
	if x.newest != 0 {
		x.all[x.newest].newer = i
	} else {
		x.oldest = i
	}
	x.newest = i
	x.busy++
}

func (x *inspections) strike(i uint32) {
	older, newer := x.all[i].older, x.all[i].newer
	if older != 0 {
		x.all[older].newer = newer
	} else {
		x.oldest = newer
	}
	if newer != 0 {
		x.all[newer].older = older
	} else {
		x.newest = older
	}
	x.busy--
}

// inspect shows a packet to the Engine. A flow costs it nothing before its first
// payload, so that a flood of SYN fills no memory; the numbers at which the two
// streams begin are told then.
func (t *Table) inspect(n uint32, h *hot, side uint8, p *packet.Packet) {
	if len(p.Payload) == 0 && (h.facts == 0 || p.Flags&packet.SYN == 0) {
		return
	}
	x := &t.inspections
	if h.facts == 0 {
		if x.busy >= t.o.MaxInspected {
			t.giveUp()
		}
		h.facts = x.take()
		state := t.o.Engine.Begin(t.tuple(h))
		x.all[h.facts] = inspection{state: state, flow: n}
		x.enlist(h.facts)
		t.showBeginnings(n, h, state)
	}
	state := x.all[h.facts].state
	dir := dissect.FromInitiator
	if side != h.initiator() {
		dir = dissect.FromResponder
	}
	verdict := t.o.Engine.Inspect(state, dir, p)
	if verdict == dissect.Done {
		t.conclude(h)
	}
	if verdict != dissect.More && !h.marks.has(told) {
		t.tell(n, h, Consumer.Opened)
	}
}

// showBeginnings shows the SYNs that were seen.
func (t *Table) showBeginnings(n uint32, h *hot, state *dissect.State) {
	if h.key.protocol != protoTCP {
		return
	}
	c := t.records.cold(n)
	for side := range uint8(2) {
		if h.flags[side]&packet.SYN == 0 {
			continue
		}
		t.syn = packet.Packet{Time: c.begun, Protocol: protoTCP, HasPorts: true, Flags: packet.SYN, Seq: c.initial[side], Segments: 1}
		dir := dissect.FromInitiator
		if side != h.initiator() {
			dir = dissect.FromResponder
		}
		t.o.Engine.Inspect(state, dir, &t.syn)
	}
}

// conclude takes from the Engine what it learnt, where it is at work.
func (t *Table) conclude(h *hot) {
	if h.facts == 0 || h.marks.has(inspected) {
		return
	}
	h.marks |= inspected
	x := &t.inspections
	i := &x.all[h.facts]
	i.facts = t.o.Engine.End(i.state)
	i.state = nil
	x.strike(h.facts)
}

// giveUp concludes the inspection that has been going on longest.
func (t *Table) giveUp() {
	if i := t.inspections.oldest; i != 0 {
		t.conclude(t.records.hot(t.inspections.all[i].flow))
		t.stats.GivenUp++
	}
}

// facts returns what is known of a flow's content, so far or for good.
func (t *Table) facts(h *hot) *dissect.Facts {
	switch i := &t.inspections.all; {
	case h.facts == 0:
		return nil
	case (*i)[h.facts].state != nil:
		return t.o.Engine.Known((*i)[h.facts].state)
	default:
		return (*i)[h.facts].facts
	}
}

// forget frees the inspection of a flow that ended.
func (t *Table) forget(h *hot) {
	if h.facts == 0 {
		return
	}
	t.inspections.all[h.facts] = inspection{}
	t.inspections.free = append(t.inspections.free, h.facts)
	h.facts = 0
}
