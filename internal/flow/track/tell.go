package track

import (
	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// tell gives the Flow to the consumer.
func (t *Table) tell(n uint32, h *hot, whom func(Consumer, *Flow)) {
	t.fill(n, h)
	if !h.marks.has(told) { // An update is due that much later, however early this is.
		h.next = t.now + t.update
	}
	h.marks |= told
	whom(t.o.Consumer, &t.flow)
}

// fill describes a flow.
func (t *Table) fill(n uint32, h *hot) {
	c := t.records.cold(n)
	i := h.initiator()
	f := &t.flow
	*f = Flow{
		Tuple: t.tuple(h), First: c.begun, Last: max(h.last, c.begun),
		Out: h.sent(c, i), In: h.sent(c, 1-i),
		RTT: max(0, c.rtt), End: h.end,
		OneSided:  !h.marks.has(answered) && !h.key.is(byMessage) && !h.key.is(byAddresses),
		Midstream: h.marks.has(midstream), Interface: c.iface, EchoID: h.key.exchange(),
		SrcMAC: c.mac[i], DstMAC: c.mac[1-i], Facts: t.facts(h),
	}
	t.tunnels.fill(c.tunnels, f)
	if h.marks.has(closing) && h.closer != i {
		f.ClosedBy = dissect.FromResponder
	}
	f.Closed = h.marks.has(closing)
	if h.key.protocol == protoTCP && h.key.is(byPorts) {
		f.State = h.state()
	}
	for _, tunnel := range f.Tunnels {
		if tunnel.Kind == packet.TunnelVLAN {
			f.VLAN = uint16(tunnel.ID & 0xfff)
		}
	}
	f.ID = t.id(h, f)
}

func (h *hot) sent(c *cold, side uint8) Side {
	s := h.sides[side]
	return Side{Packets: s.packets, Bytes: s.bytes, Payload: s.payload, Retransmissions: c.retransmissions[side], Flags: h.flags[side]}
}

// tuple is the key as the initiator sees it. An ICMP flow has the types of its two
// directions as ports, or type and code where it has one direction.
func (t *Table) tuple(h *hot) dissect.Tuple {
	k := &h.key
	tuple := dissect.Tuple{Src: k.first, Dst: k.second, SrcPort: k.firstPort(), DstPort: k.secondPort(), Protocol: k.protocol}
	if h.marks.has(turned) {
		tuple.Src, tuple.Dst = tuple.Dst, tuple.Src
		if !k.is(byMessage) {
			tuple.SrcPort, tuple.DstPort = tuple.DstPort, tuple.SrcPort
		}
	}
	return tuple
}

// id is what the Community ID of a flow is made of.
func (t *Table) id(h *hot, f *Flow) entity.FlowID {
	id := entity.FlowID{Seed: t.o.Seed, Protocol: f.Protocol, Src: f.Src, Dst: f.Dst}
	if !h.key.is(byAddresses) {
		id.HasPorts, id.SrcPort, id.DstPort = true, f.SrcPort, f.DstPort
		id.OneWay = h.key.is(byMessage)
	}
	return id
}
