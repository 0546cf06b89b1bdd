package track

import "github.com/amoskys/amoskys/internal/flow/packet"

// farthest is how far ahead of what was seen a sequence number may be and still be
// of this stream: more than any window without the largest scale (RFC 7323).
const farthest = 1 << 28

// tcp follows a segment that side sent. The flow's counts have it already.
func (t *Table) tcp(n uint32, h *hot, side uint8, p *packet.Packet) {
	mark := known0 << side
	const opensOrEnds = packet.SYN | packet.FIN | packet.RST
	if p.Flags&opensOrEnds == 0 && h.marks.has(mark) && p.Seq == h.expected[side] && h.marks.has(established) {
		h.expected[side] += p.PayloadBytes
		h.flags[side] |= p.Flags
		return
	}
	c := t.records.cold(n)
	if p.Flags&packet.SYN != 0 {
		t.synchronize(h, c, side, p)
	} else {
		c.acknowledge(h, side, p)
	}
	if p.Flags&packet.RST == 0 { // The number in a reset need not be of the stream.
		length := p.PayloadBytes
		for _, flag := range [...]uint8{packet.SYN, packet.FIN} {
			if p.Flags&flag != 0 {
				length++
			}
		}
		c.follow(h, side, p, length)
	}
	h.flags[side] |= p.Flags
	t.closes(n, h, side, p.Flags)
}

// synchronize notes a SYN, with ACK or without.
func (t *Table) synchronize(h *hot, c *cold, side uint8, p *packet.Packet) {
	began := side
	if p.Flags&packet.ACK != 0 {
		h.marks |= synAnswered
		began = 1 - side
	} else if side == h.initiator() || !h.marks.has(sure) {
		c.rtt = -p.Time // of the last SYN, where it was sent again
	}
	c.initial[side] = p.Seq
	t.decide(h, began)
}

// decide says who began, once that is sure: unless it was told otherwise, or the
// content was read so.
func (t *Table) decide(h *hot, began uint8) {
	if h.marks.has(sure) {
		return
	}
	if h.initiator() != began {
		if h.marks.has(told) || h.facts != 0 {
			return
		}
		h.marks ^= turned
	}
	h.marks |= sure
}

// acknowledge notes what ends the handshake.
func (c *cold) acknowledge(h *hot, side uint8, p *packet.Packet) {
	if p.Flags&packet.ACK == 0 || side != h.initiator() || h.flags[1-side]&packet.SYN == 0 {
		return
	}
	if c.rtt < 0 {
		c.rtt = max(0, p.Time+c.rtt)
	}
	h.marks |= established
}

// follow moves on what is expected of a side, and counts what it sent again.
// Sequence numbers wrap around, so they are compared by their distance (RFC 9293,
// section 3.4).
func (c *cold) follow(h *hot, side uint8, p *packet.Packet, length uint32) {
	mark := known0 << side
	end := p.Seq + length
	ahead := int32(p.Seq - h.expected[side])
	switch {
	case !h.marks.has(mark) || ahead > farthest || ahead < -farthest:
		h.marks |= mark
		h.expected[side] = end
		c.holes[side] = [2]hole{}
	case ahead >= 0:
		if ahead > 0 {
			c.skip(side, hole{h.expected[side], p.Seq})
		}
		h.expected[side] = end
	case length == 0 || length == 1 && p.PayloadBytes == 1 && ahead == -1:
		// Nothing new is sent: an acknowledgement, or a probe of keep-alive.
	default:
		if !c.fill(side, hole{p.Seq, end}) {
			c.retransmissions[side] += uint32(p.Segments)
		}
		if int32(end-h.expected[side]) > 0 {
			h.expected[side] = end
		}
	}
}

// skip remembers a hole; of three, the oldest is forgotten, so that what fills it
// counts as sent again.
func (c *cold) skip(side uint8, x hole) {
	holes := &c.holes[side]
	if holes[0].low == holes[0].high {
		holes[0] = x
		return
	}
	if holes[1].low != holes[1].high {
		holes[0] = holes[1]
	}
	holes[1] = x
}

// fill takes a range out of the holes, and reports whether it was in one.
func (c *cold) fill(side uint8, x hole) bool {
	for i := range c.holes[side] {
		o := &c.holes[side][i]
		if o.low == o.high || int32(x.low-o.high) >= 0 || int32(o.low-x.high) >= 0 {
			continue
		}
		switch {
		case int32(x.low-o.low) <= 0:
			o.low = x.high
			if int32(o.low-o.high) > 0 {
				o.low = o.high
			}
		case int32(x.high-o.high) >= 0:
			o.high = x.low
		default: // In the middle: both ends stay open.
			rest := hole{x.high, o.high}
			o.high = x.low
			c.skip(side, rest)
		}
		return true
	}
	return false
}

// closes notes who closes first, and that the connection has ended.
func (t *Table) closes(n uint32, h *hot, side, flags uint8) {
	if flags&(packet.FIN|packet.RST) == 0 || h.end != Alive {
		return
	}
	if !h.marks.has(closing) {
		h.marks |= closing
		h.closer = side
	}
	switch {
	case flags&packet.RST != 0:
		h.end, h.closer = Reset, side
	case h.flags[0]&h.flags[1]&packet.FIN != 0:
		h.end = Finished
	default:
		return
	}
	// It has less time left than it had. Who was not told of it yet is told in time.
	due := t.now + t.linger
	if !h.marks.has(told) {
		due = max(t.now+1, min(due, h.next))
	}
	t.wheel.remove(&t.records, n)
	t.wheel.put(&t.records, n, t.now, due)
}

// begins reports whether a packet of a known flow is the first of another: a SYN
// after the end, or one with a new number after the connection was still for a
// second, so that the end was missed.
func (t *Table) begins(n uint32, h *hot, side uint8, p *packet.Packet) bool {
	if p.Flags&(packet.SYN|packet.ACK|packet.RST) != packet.SYN {
		return false
	}
	switch {
	case h.end != Alive:
		return p.Seq != t.records.cold(n).initial[side] || h.end == Finished
	case h.flags[side]&packet.SYN == 0:
		return h.marks.has(established) && t.now-h.seen >= second
	}
	return h.marks.has(established) && p.Seq != t.records.cold(n).initial[side] && t.now-h.seen >= second
}

// state names what TCP did as Zeek's conn_state does.
//
//	S0     the initiator's SYN alone
//	S1     established, not closed
//	SF     established and closed by both
//	REJ    the SYN was reset
//	S2 S3  established, closed by the initiator or the responder alone
//	RSTO RSTR  established, reset by the initiator or the responder
//	RSTOS0 the initiator reset its own SYN; no answer was seen
//	RSTRH  the responder answered a SYN that was not seen, and reset it
//	SH     the initiator's SYN and FIN, no answer
//	SHR    the responder's answer and FIN, no SYN
//	OTH    the beginning was not seen
func (h *hot) state() string {
	i := h.initiator()
	out, in := h.flags[i], h.flags[1-i]
	asked, agreed := out&packet.SYN != 0, in&packet.SYN != 0
	reset := h.end == Reset
	switch {
	case asked && agreed:
		switch {
		case reset && h.closer == i:
			return "RSTO"
		case reset:
			return "RSTR"
		case out&in&packet.FIN != 0:
			return "SF"
		case out&packet.FIN != 0:
			return "S2"
		case in&packet.FIN != 0:
			return "S3"
		}
		return "S1"
	case asked:
		switch {
		case reset && h.closer == i:
			return "RSTOS0"
		case reset:
			return "REJ"
		case in == 0 && out&packet.FIN != 0:
			return "SH"
		case in == 0:
			return "S0"
		}
	case agreed:
		switch {
		case reset && h.closer != i:
			return "RSTRH"
		case out == 0 && in&packet.FIN != 0:
			return "SHR"
		}
	}
	return "OTH"
}
