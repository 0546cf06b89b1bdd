// Package export sends flows to others: as IPFIX (RFC 7011) to a collector, and as
// lines of JSON named like those of Zeek's conn.log to a file.
package export

import (
	"encoding/binary"

	"github.com/amoskys/amoskys/internal/flow/track"
)

const (
	header        = 16
	templateSet   = 2
	templateIPv4  = 256
	templateIPv6  = 257
	variable      = 65535
	reversePEN    = 29305 // RFC 5103, section 6.1
	maxName       = 64    // bytes of an application's name
	maxMessage    = 1400  // bytes, so that no datagram is fragmented on usual paths
	resendEvery   = 60    // seconds
	biflowForward = 1     // biflowDirection: the source began
)

// element is a field of our templates.
type element struct {
	id, length uint16
	reverse    bool
}

// elements are the fields of both templates behind the addresses, by IANA's registry of
// IPFIX information elements.
func elements() []element {
	return []element{
		{id: 7, length: 2},
		{id: 11, length: 2},  // ports
		{id: 4, length: 1},   // protocolIdentifier
		{id: 136, length: 1}, // flowEndReason
		{id: 239, length: 1}, // biflowDirection
		{id: 152, length: 8},
		{id: 153, length: 8}, // flowStart- and flowEndMilliseconds
		{id: 1, length: 8},
		{id: 2, length: 8}, // octets and packets
		{id: 1, length: 8, reverse: true},
		{id: 2, length: 8, reverse: true},
		{id: 6, length: 1},
		{id: 6, length: 1, reverse: true}, // tcpControlBits
		{id: 58, length: 2},               // vlanId
		{id: 56, length: 6},
		{id: 80, length: 6},        // MAC addresses
		{id: 96, length: variable}, // applicationName
	}
}

// Message builds messages of IPFIX. One goroutine uses it.
type Message struct {
	domain   uint32
	limit    int // bytes
	sequence uint32
	records  uint32
	buffer   []byte
	set      int // where the set begins that records go into, 0 for none
	template uint16
	next     int64 // Unix seconds when templates are due, 0 for now
	resend   bool
}

// NewMessage returns a builder for an observation domain. Templates are sent again
// every minute where resend says so, as it must be over UDP (RFC 7011, section 8.4).
func NewMessage(domain uint32, resend bool) *Message {
	return &Message{domain: domain, limit: maxMessage, resend: resend}
}

// Add appends a flow, and returns a message that is full and to be sent first, or nil.
// The message is valid until the next call. now is in Unix seconds.
func (m *Message) Add(f *track.Flow, now int64) (full []byte) {
	var space [256]byte
	template, record := appendRecord(space[:0], f)
	if len(m.buffer) > 0 && len(m.buffer)+4+len(record) > m.limit {
		full = append(full, m.Flush(now)...)
	}
	if len(m.buffer) == 0 {
		m.begin(now)
	}
	if m.set == 0 || m.template != template {
		m.closeSet()
		m.set, m.template = len(m.buffer), template
		m.buffer = binary.BigEndian.AppendUint16(m.buffer, template)
		m.buffer = append(m.buffer, 0, 0)
	}
	m.buffer = append(m.buffer, record...)
	m.records++
	return full
}

// begin starts a message, with templates where they are due.
func (m *Message) begin(now int64) {
	m.buffer = append(m.buffer[:0], make([]byte, header)...)
	m.set, m.records = 0, 0
	if now < m.next || m.next != 0 && !m.resend {
		return
	}
	m.next = now + resendEvery
	at := len(m.buffer)
	m.buffer = append(m.buffer, 0, templateSet, 0, 0)
	m.buffer = appendTemplate(m.buffer, templateIPv4, 8, 12, 4)
	m.buffer = appendTemplate(m.buffer, templateIPv6, 27, 28, 16)
	binary.BigEndian.PutUint16(m.buffer[at+2:], uint16(len(m.buffer)-at))
}

func (m *Message) closeSet() {
	if m.set != 0 {
		binary.BigEndian.PutUint16(m.buffer[m.set+2:], uint16(len(m.buffer)-m.set))
		m.set = 0
	}
}

// Flush completes the message that was begun, nil if there is none.
func (m *Message) Flush(now int64) []byte {
	if len(m.buffer) == 0 {
		return nil
	}
	m.closeSet()
	b := m.buffer
	binary.BigEndian.PutUint16(b, 10)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint32(b[4:], uint32(now))
	binary.BigEndian.PutUint32(b[8:], m.sequence)
	binary.BigEndian.PutUint32(b[12:], m.domain)
	m.sequence += m.records
	m.buffer = m.buffer[:0]
	return b
}

// Restart begins anew, as on a new connection.
func (m *Message) Restart() { *m = Message{domain: m.domain, limit: m.limit, resend: m.resend} }

func appendTemplate(b []byte, id, src, dst, length uint16) []byte {
	list := elements()
	for _, n := range [...]uint16{id, uint16(len(list) + 2), src, length, dst, length} {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	for _, e := range list {
		if e.reverse {
			b = binary.BigEndian.AppendUint16(b, e.id|0x8000)
			b = binary.BigEndian.AppendUint16(b, e.length)
			b = binary.BigEndian.AppendUint32(b, reversePEN)
			continue
		}
		b = binary.BigEndian.AppendUint16(b, e.id)
		b = binary.BigEndian.AppendUint16(b, e.length)
	}
	return b
}

// appendRecord writes the fields of elements.
func appendRecord(b []byte, f *track.Flow) (template uint16, record []byte) {
	if f.Src.Is4() && f.Dst.Is4() {
		template = templateIPv4
		b = append(append(b, f.Src[12:]...), f.Dst[12:]...)
	} else {
		template = templateIPv6
		b = append(append(b, f.Src[:]...), f.Dst[:]...)
	}
	src, dst := f.SrcPort, f.DstPort
	if kind, code, is := f.ICMP(); is {
		src, dst = 0, uint16(kind)<<8|uint16(code)
	}
	b = binary.BigEndian.AppendUint16(b, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = append(b, f.Protocol, endReason(f.End), biflowForward)
	for _, n := range [...]uint64{uint64(f.First / 1e6), uint64(f.Last / 1e6), f.Out.Bytes, f.Out.Packets, f.In.Bytes, f.In.Packets} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(b, f.Out.Flags, f.In.Flags)
	b = binary.BigEndian.AppendUint16(b, f.VLAN)
	b = append(append(b, f.SrcMAC[:]...), f.DstMAC[:]...)
	app := ""
	if f.Facts != nil {
		app = f.Facts.App[:min(len(f.Facts.App), maxName)]
	}
	return template, append(append(b, byte(len(app))), app...)
}

// endReason is flowEndReason (IANA, IPFIX element 136).
func endReason(e track.End) byte {
	switch e {
	case track.Idle:
		return 1
	case track.Finished, track.Reset:
		return 3
	case track.Shutdown:
		return 4
	case track.Evicted:
		return 5
	case track.Alive:
	}
	return 2 // It goes on: the active timeout.
}
