package collect

import (
	"cmp"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// set notes a time, and reports whether the element is one.
func (s *span) set(element uint16, b []byte) bool {
	switch element {
	case ieStartUptime:
		s.startUp, s.hasStart = uint32(number(b)), true
	case ieEndUptime:
		s.endUp, s.hasEnd = uint32(number(b)), true
	case ieStartSeconds:
		s.start = nanos(number(b), 1e9)
	case ieEndSeconds:
		s.end = nanos(number(b), 1e9)
	case ieStartMillis:
		s.start = nanos(number(b), 1e6)
	case ieEndMillis:
		s.end = nanos(number(b), 1e6)
	case ieStartMicros, ieStartNanos:
		s.start = ntp(b)
	case ieEndMicros, ieEndNanos:
		s.end = ntp(b)
	case ieStartDelta:
		s.startAgo = nanos(number(b), 1e3)
	case ieEndDelta:
		s.endAgo = nanos(number(b), 1e3)
	case ieDurationMillis:
		s.duration = nanos(number(b), 1e6)
	case ieDurationMicros:
		s.duration = nanos(number(b), 1e3)
	default:
		return false
	}
	return true
}

// ahead is how far in front of the export a time of uptime may lie, in milliseconds:
// an exporter that fills a packet while flows end reads its clock first.
const ahead = 3_600_000

// before is how long before now an uptime was, both in milliseconds modulo 2^32:
// uptimes wrap around after 49.7 days, between a flow's start and its export too.
func before(now, then uint32) int64 {
	ago := now - then
	if -ago <= ahead && ago != 0 {
		return -int64(-ago) * 1e6
	}
	return int64(ago) * 1e6
}

// resolve makes times of a span: Unix nanoseconds, 0 where nothing is said. clocked
// says that uptime, the exporter's at exported, is known.
func (s *span) resolve(exported int64, uptime uint32, clocked bool) (start, end int64) {
	start, end = s.start, s.end
	switch {
	case s.hasStart && start == 0 && clocked:
		start = exported - before(uptime, s.startUp)
	case s.startAgo != 0 && start == 0:
		start = exported - s.startAgo
	}
	switch {
	case s.hasEnd && end == 0 && clocked:
		end = exported - before(uptime, s.endUp)
	case s.endAgo != 0 && end == 0:
		end = exported - s.endAgo
	}
	length := s.duration
	if s.hasStart && s.hasEnd && length == 0 {
		length = max(0, before(s.endUp, s.startUp))
	}
	switch {
	case start == 0 && end != 0:
		start = end - length
	case end == 0 && start != 0:
		end = start + length
	case start == 0 && end == 0 && length != 0:
		start, end = exported-length, exported
	}
	return start, end
}

// flow completes a record of a template and tells it.
func (m *message) flow(x *reading, t *template) {
	r := &x.record
	uptime, clocked := m.uptime, m.format != IPFIX
	if boot := max(x.boot, 0); !clocked {
		if boot == 0 {
			boot = cmp.Or(m.session.boot, m.domain.boot)
		}
		if clocked = boot != 0; clocked {
			uptime = uint32((m.exported - boot) / 1e6)
		}
	}
	r.Start, r.End = x.spans[0].resolve(m.exported, uptime, clocked)
	if start, end := x.spans[1].resolve(m.exported, uptime, clocked); start != 0 {
		r.Start, r.End = min(r.Start, start), max(r.End, end)
		if r.Start == 0 {
			r.Start = start
		}
	}
	if r.Start <= 0 {
		r.Start, r.End = m.exported, m.exported
	}
	x.chooseCounts()
	if !r.HasICMP && (r.Protocol == protoICMP || r.Protocol == protoICMPv6) {
		portsAreICMP(r)
	}
	switch x.biflow { // RFC 5103, section 6.3
	case 1:
		r.Initiated = true
	case 2: // reverseInitiator
		r.turn()
		r.Initiated = true
	}
	// Who exports both directions may still send each in a record of its own, the
	// second under the address of the first.
	r.Both = t.both && r.In.Packets != 0
	if r.Both && !r.Initiated && r.Out.Packets|r.Out.Bytes == 0 {
		r.turn()
		r.Both = false
	}
	m.emit(r, m.sampling(x))
}

// chooseCounts takes totals, or what left the device, where nothing better was said.
func (x *reading) chooseCounts() {
	for i, side := range [...]*Count{&x.record.Out, &x.record.In} {
		if side.Packets == 0 {
			side.Packets = x.total[i].Packets
		}
		if side.Bytes == 0 {
			side.Bytes = x.total[i].Bytes
		}
	}
	out := &x.record.Out
	if out.Packets == 0 {
		out.Packets = x.post.Packets
	}
	if out.Bytes == 0 {
		out.Bytes = x.post.Bytes
	}
}

// Protocol numbers that are treated in ways of their own.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132
)

// portsAreICMP reads type and code from the destination port, where NetFlow has them.
func portsAreICMP(r *Record) {
	r.HasICMP = true
	r.ICMPType, r.ICMPCode = uint8(r.DstPort>>8), uint8(r.DstPort)
}

// turn exchanges the two sides.
func (r *Record) turn() {
	r.Src, r.Dst = r.Dst, r.Src
	r.SrcPort, r.DstPort = r.DstPort, r.SrcPort
	r.Out, r.In = r.In, r.Out
	r.Input, r.Output = r.Output, r.Input
	r.SrcMAC, r.DstMAC = r.DstMAC, r.SrcMAC
	r.SrcAS, r.DstAS = r.DstAS, r.SrcAS
}

const (
	header5 = 24
	record5 = 48
)

// netflow5 reads an export datagram (Cisco, NetFlow Export Datagram Formats).
func (m *message) netflow5(b []byte) error {
	if len(b) < header5 {
		return m.collector.malformed()
	}
	count := int(be16(b[2:]))
	m.uptime = be32(b[4:])
	m.exported = int64(be32(b[8:]))*1e9 + min(int64(be32(b[12:])), 999_999_999)
	number := be32(b[16:])
	m.enter(NetFlow5, uint32(be16(b[20:])))
	m.session.sequence.see(number, &m.collector.stats)
	m.session.sequence.advance(number, uint32(count))
	rate := uint64(be16(b[22:]) & 0x3fff)
	b = b[header5:]
	for range count {
		if len(b) < record5 {
			return m.collector.malformed()
		}
		m.record5((*[record5]byte)(b), rate)
		b = b[record5:]
	}
	return nil
}

func (m *message) record5(b *[record5]byte, rate uint64) {
	r := &m.collector.reading.record
	*r = Record{
		Src: packet.Addr4([4]byte(b[0:4])), Dst: packet.Addr4([4]byte(b[4:8])),
		Input: uint32(be16(b[12:])), Output: uint32(be16(b[14:])),
		Out:     Count{Packets: uint64(be32(b[16:])), Bytes: uint64(be32(b[20:])), Flags: b[37]},
		Start:   m.exported - before(m.uptime, be32(b[24:])),
		End:     m.exported - before(m.uptime, be32(b[28:])),
		SrcPort: be16(b[32:]), DstPort: be16(b[34:]), Protocol: b[38],
		SrcAS: uint32(be16(b[40:])), DstAS: uint32(be16(b[42:])),
	}
	if r.Protocol == protoICMP {
		portsAreICMP(r)
	}
	if r.Protocol != protoTCP {
		r.Out.Flags = 0
	}
	m.emit(r, rate)
}
