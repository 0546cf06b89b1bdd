// Package collect reads the flows that routers and switches export: NetFlow v5, v9
// (RFC 3954), IPFIX (RFC 7011) and sFlow v5 (sflow.org), told apart by their first
// bytes.
//
// Exporters are not trusted to be sane. Whatever they send costs bounded memory: so
// many exporters, domains, templates and fields are kept, and what does not fit
// pushes out what was used least recently. What cannot be read is counted.
package collect

import (
	"errors"
	"net/netip"

	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/recent"
)

// Format is the protocol that told of a flow.
type Format uint8

// The formats, as the first bytes of a datagram tell them.
const (
	NetFlow5 Format = iota + 1
	NetFlow9
	IPFIX
	SFlow5
)

// String is the name of the format as metrics label it.
func (f Format) String() string {
	return [...]string{"", "netflow5", "netflow9", "ipfix", "sflow5"}[f]
}

// Count is what one side of a flow sent. Where the exporter samples, Bytes and
// Packets are estimates, already multiplied.
type Count struct {
	Bytes, Packets uint64 // Bytes are those of IP packets
	Flags          uint8  // TCP flags seen, as in packet
}

// Record is a flow as an exporter told it.
type Record struct {
	Format   Format
	Exporter netip.Addr // who sent it
	// Domain is the observation domain of IPFIX, the source id of v9, the engine of
	// v5, the sub-agent of sFlow.
	Domain           uint32
	Src, Dst         packet.Addr
	SrcPort, DstPort uint16
	Protocol         uint8
	// HasICMP says that type and code are known.
	HasICMP            bool
	ICMPType, ICMPCode uint8
	Start, End         int64 // Unix nanoseconds, by the exporter's clock
	Received           int64 // Unix nanoseconds, by ours
	// Out was sent by Src. In was sent by Dst and is known only where Both.
	Out, In Count
	Both    bool
	// Initiated says that the exporter states that Src began (biflowDirection).
	Initiated bool
	// Continued says that an earlier record told of the same flow up to where this one
	// begins: the exporter tells of a long flow in pieces.
	Continued bool
	// OneSided says that the other direction of a protocol that answers did not come.
	OneSided bool
	// SamplingRate is one of how many packets was counted; 1 is all.
	SamplingRate   uint64
	Input, Output  uint32 // ifIndex (RFC 2863), 0 if unknown
	VLAN           uint16
	SrcMAC, DstMAC packet.MAC
	SrcAS, DstAS   uint32
	// EndReason is flowEndReason (IANA IPFIX element 136), 0 if unknown.
	EndReason uint8
}

// Stats are counts since a Collector was made.
type Stats struct {
	Datagrams, Records uint64
	// Malformed are datagrams, messages and sets that end early or lie about lengths.
	Malformed uint64
	// Unsupported are datagrams of another version.
	Unsupported uint64
	// Lost are units that sequence numbers say were sent and did not come: flows of v5,
	// packets of v9 and sFlow, records of IPFIX. Reordered came late, Restarts are jumps
	// of a sequence that no loss explains.
	Lost, Reordered, Restarts uint64
	// Templates were learned; TemplatesRefused cannot be decoded, TemplatesEvicted
	// made room, TemplatesWithdrawn were taken back.
	Templates, TemplatesRefused, TemplatesEvicted, TemplatesWithdrawn uint64
	// Waited are sets that came before their template and were kept; Unread those whose
	// template did not come in time. Waiting is how many wait now.
	Waited, Unread, Waiting uint64
	// NoFlow are records that do not name two addresses, Options those of options.
	NoFlow, Options uint64
	// Counters are counter samples of sFlow, which are passed over.
	Counters uint64
	// Evicted are exporters and domains that were forgotten to make room.
	Evicted uint64
}

// Options bound a Collector. Values of 0 stand for their defaults.
type Options struct {
	MaxExporters int // 256
	MaxDomains   int // of each exporter: 64
	MaxTemplates int // of each exporter: 1,024
	// MaxFields bounds the fields of all templates of an exporter: 16,384.
	MaxFields int
	// MaxWaiting is how many bytes of sets wait for their template, for each exporter:
	// 64 KiB.
	MaxWaiting int
	// Stream says that messages come over TCP, where templates may be withdrawn (RFC
	// 7011, section 8.4).
	Stream bool
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		is   *int
		want int
	}{{&o.MaxExporters, 256}, {&o.MaxDomains, 64}, {&o.MaxTemplates, 1024}, {&o.MaxFields, 16_384}, {&o.MaxWaiting, 64 << 10}} {
		if *d.is <= 0 {
			*d.is = d.want
		}
	}
	return o
}

// Errors of Datagram.
var (
	// ErrMalformed says that a datagram ends early or lies about a length.
	ErrMalformed = errors.New("the datagram ends early or lies about a length")
	// ErrUnsupported says that a datagram is none of the formats.
	ErrUnsupported = errors.New("the datagram is not NetFlow v5, v9, IPFIX or sFlow v5")
)

// Collector decodes datagrams. One goroutine uses it.
type Collector struct {
	o         Options
	exporters *recent.Map[netip.Addr, *exporter]
	stats     Stats
	reading   reading
	decoder   packet.Decoder
	packet    packet.Packet
}

// New returns a Collector that knows no template.
func New(o Options) *Collector {
	o = o.withDefaults()
	c := &Collector{o: o, exporters: recent.Sharing[netip.Addr, *exporter](o.MaxExporters, proof, networkOf)}
	c.exporters.OnEvict = func(netip.Addr, **exporter) { c.stats.Evicted++ }
	return c
}

// Stats returns the counts.
func (c *Collector) Stats() Stats {
	s := c.stats
	c.exporters.Each(func(_ netip.Addr, ex **exporter) bool {
		s.Waiting += uint64(len((*ex).waiting))
		return true
	})
	return s
}

// Datagram reads what from sent, which came at received (Unix nanoseconds), and tells
// each flow of it. The Record is the Collector's and valid during the call. Flows in
// front of a fault are told; the fault is counted and returned.
func (c *Collector) Datagram(from netip.AddrPort, b []byte, received int64, tell func(*Record)) error {
	c.stats.Datagrams++
	if len(b) < 4 {
		return c.malformed()
	}
	m := message{collector: c, from: from.Addr().Unmap(), port: from.Port(), received: received, tell: tell}
	if c.o.Stream {
		m.port = 0
	}
	switch be16(b) {
	case 5:
		return m.netflow5(b)
	case 9:
		return m.netflow9(b)
	case 10:
		return m.ipfix(b)
	case 0:
		if be16(b[2:]) == 5 {
			return m.sflow(b)
		}
	}
	c.stats.Unsupported++
	return ErrUnsupported
}

func (c *Collector) malformed() error {
	c.stats.Malformed++
	return ErrMalformed
}

// message is what is known while one datagram is read.
type message struct {
	collector *Collector
	from      netip.Addr
	port      uint16 // 0 of a stream
	exporter  *exporter
	domain    *domain
	session   *session
	format    Format
	id        uint32 // of the domain
	received  int64
	exported  int64  // Unix nanoseconds
	uptime    uint32 // milliseconds, at exported; of v5 and v9
	tell      func(*Record)
}

// enter finds the exporter and its domain.
func (m *message) enter(format Format, id uint32) {
	c := m.collector
	m.format, m.id = format, id
	ex, fresh := c.exporters.UseAt(m.from, m.received)
	if fresh {
		*ex = c.newExporter()
	}
	m.exporter = *ex
	key := domainKey{format, id}
	d, fresh := m.exporter.domains.UseAt(key, m.received)
	if fresh {
		*d = &domain{}
	}
	m.domain = *d
	of := sessionKey{key, m.port}
	s, fresh := m.exporter.sessions.UseAt(of, m.received)
	if fresh {
		*s = &session{key: of}
	}
	m.session = *s
}

// emit tells a record, with its counts multiplied by the sampling rate.
func (m *message) emit(r *Record, rate uint64) {
	r.Format, r.Exporter, r.Domain, r.Received = m.format, m.from, m.id, m.received
	r.SamplingRate = max(1, rate)
	for _, n := range [...]*uint64{&r.Out.Bytes, &r.Out.Packets, &r.In.Bytes, &r.In.Packets} {
		*n = multiply(*n, r.SamplingRate)
	}
	r.End = max(r.Start, r.End)
	m.collector.stats.Records++
	m.tell(r)
}

// multiply stays at the highest number where the product is above it.
func multiply(a, b uint64) uint64 {
	if a != 0 && b > (1<<64-1)/a {
		return 1<<64 - 1
	}
	return a * b
}
