package collect

import "github.com/amoskys/amoskys/internal/flow/packet"

// Numbers of sFlow version 5 (sflow.org, sFlow Version 5, July 2004), all of
// enterprise 0.
const (
	sampleFlow             = 1
	sampleCounters         = 2
	sampleExpandedFlow     = 3
	sampleExpandedCounters = 4
	flowRawHeader          = 1
)

// words reads 32-bit numbers one by one. Once they have run out, all further are 0.
type words struct {
	b    []byte
	over bool
}

func (w *words) next() uint32 {
	if len(w.b) < 4 {
		w.b, w.over = nil, true
		return 0
	}
	n := be32(w.b)
	w.b = w.b[4:]
	return n
}

// take gives n bytes, and passes what fills them up to a multiple of 4.
func (w *words) take(n uint32) []byte {
	padded := (uint64(n) + 3) &^ 3
	if padded > uint64(len(w.b)) {
		w.b, w.over = nil, true
		return nil
	}
	b := w.b[:n]
	w.b = w.b[padded:]
	return b
}

// sflow reads a datagram. Each sampled packet is told as a record of its own, with
// counts that stand for all it was taken from; joining adds them up.
func (m *message) sflow(b []byte) error {
	c := m.collector
	w := words{b: b[4:]}
	switch w.next() {
	case 1:
		w.take(4)
	case 2:
		w.take(16)
	default:
		return c.malformed()
	}
	agent, number := w.next(), w.next()
	m.uptime = w.next()
	samples := w.next()
	if w.over {
		return c.malformed()
	}
	m.exported = m.received // The protocol has no time of day.
	m.enter(SFlow5, agent)
	m.session.sequence.see(number, &c.stats)
	m.session.sequence.advance(number, 1)
	for range samples {
		kind, length := w.next(), w.next()
		body := w.take(length)
		if w.over {
			return c.malformed()
		}
		switch kind {
		case sampleFlow, sampleExpandedFlow:
			if !m.sample(words{b: body}, kind == sampleExpandedFlow) {
				return c.malformed()
			}
		case sampleCounters, sampleExpandedCounters:
			c.stats.Counters++
		}
	}
	return nil
}

// sample reads a flow sample.
func (m *message) sample(w words, expanded bool) bool {
	w.next() // sequence number of the source
	w.next()
	if expanded {
		w.next()
	}
	rate := w.next()
	w.next() // sample pool
	w.next() // drops
	input, output := ifIndex(&w, expanded), ifIndex(&w, expanded)
	for range w.next() {
		kind, length := w.next(), w.next()
		body := w.take(length)
		if w.over {
			return false
		}
		if kind == flowRawHeader && !m.header(words{b: body}, uint64(rate), input, output) {
			return false
		}
	}
	return !w.over
}

// ifIndex reads an interface; one that is several, unknown, or a reason for a drop is
// 0.
func ifIndex(w *words, expanded bool) uint32 {
	const index, most = 0x3fffffff, 0x3fffffff
	if expanded {
		if format, value := w.next(), w.next(); format == 0 {
			return value
		}
		return 0
	}
	if n := w.next(); n>>30 == 0 && n&index != most {
		return n
	}
	return 0
}

// links are the header protocols of sFlow that are read.
func linkOf(protocol uint32) (packet.Link, bool) {
	switch protocol {
	case 1:
		return packet.LinkEthernet, true
	case 11:
		return packet.LinkIPv4, true
	case 12:
		return packet.LinkIPv6, true
	}
	return 0, false
}

// header reads the start of a sampled packet.
func (m *message) header(w words, rate uint64, input, output uint32) bool {
	c := m.collector
	protocol, length := w.next(), w.next()
	stripped := w.next()
	data := w.take(w.next())
	if w.over {
		return false
	}
	link, known := linkOf(protocol)
	if !known {
		c.stats.NoFlow++
		return true
	}
	// length is that of the frame before what was stripped, such as its checksum.
	wire := max(length-min(length, stripped), uint32(len(data)))
	p := &c.packet
	frame := packet.Frame{Time: m.received, Data: data, Wire: wire, Link: link}
	// A header that was cut behind the addresses still tells most.
	if _ = c.decoder.Decode(&frame, p); p.Version == 0 {
		c.stats.NoFlow++
		return true
	}
	r := &c.reading.record
	*r = Record{
		Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: p.DstPort, Protocol: p.Protocol,
		Start: m.received, End: m.received, Input: input, Output: output,
		Out:    Count{Bytes: uint64(p.IPBytes), Packets: 1, Flags: p.Flags},
		SrcMAC: p.SrcMAC, DstMAC: p.DstMAC,
	}
	if p.Protocol == protoICMP || p.Protocol == protoICMPv6 {
		r.HasICMP, r.ICMPType, r.ICMPCode = !p.LaterFragment, p.ICMPType, p.ICMPCode
	}
	for _, tunnel := range p.Tunnels[:p.TunnelCount] {
		if tunnel.Kind == packet.TunnelVLAN {
			r.VLAN = uint16(tunnel.ID & 0xfff)
		}
	}
	m.emit(r, rate)
	return true
}
