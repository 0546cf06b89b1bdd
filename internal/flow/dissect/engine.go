package dissect

import (
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/mask"
)

// Bounds of what is looked at and kept for one flow.
const (
	// MaxPayloads is after how many packets with payload a flow that nothing
	// recognised stays unknown.
	MaxPayloads = 8
	// maxReading is after how many packets with payload a recognised flow has told
	// what it will: 16 KiB in segments of 536 bytes.
	maxReading = 32
	// maxNaming is how much of a direction is looked at to name its protocol, bytes.
	maxNaming = 4 << 10
	// maxStream is how much of a direction is kept to read it, bytes.
	maxStream = 16 << 10
)

// Options set up an Engine. The zero value is useful.
type Options struct {
	// OnDNS is told of each question, once its answer came or it is sure that none
	// will; without it, a flow is done after its first. The DNS may be kept. Time
	// is that of the question, Unix nanoseconds.
	OnDNS func(t Tuple, d *DNS, at int64)
	// OnName is told that a host calls itself so: by DHCP, mDNS, LLMNR or NetBIOS,
	// which source names. The address is zero where the packet does not say.
	OnName func(source, name string, addr packet.Addr, at int64)
	// MaxFlows is how many States may be out at once; Begin returns nil beyond it.
	// 0 stands for 1,000,000.
	MaxFlows int
	// MaxBuffered is how many bytes of payload all States together may keep. Where more is
	// needed, flows that have kept some for longest are judged by what was seen. 0 stands
	// for 256 MiB.
	MaxBuffered int
}

// Stats are counts since an Engine was made.
type Stats struct {
	// Refused are flows for which Begin had no State left, Starved how often payload could
	// not be kept, or had to make room, for MaxBuffered.
	Refused, Starved uint64
	// Flows and Buffered say what is held now: States, and bytes of payload.
	Flows, Buffered int
}

// Engine identifies flows. One goroutine uses it.
type Engine struct {
	o      Options
	tables *tables
	free   []*State
	pool   pool
	stats  Stats

	// What one call needs, so that it need not be allocated: a handshake put
	// together from records, a decrypted QUIC packet, and what signatures and readers
	// are called with.
	scratch []byte
	masker  *mask.Masker
	look    look
	reading reading

	certificates certificates
	shared       shared
	answer       DNS // of what is being read
	clients      clients
}

// New returns an Engine that knows all protocols.
func New(o Options) *Engine {
	if o.MaxFlows <= 0 {
		o.MaxFlows = 1_000_000
	}
	if o.MaxBuffered <= 0 {
		o.MaxBuffered = 256 << 20
	}
	m, err := mask.New(mask.Rules{})
	if err != nil {
		panic(err) // The built-in rules are tested where they are kept.
	}
	return &Engine{o: o, tables: newTables(), pool: pool{room: o.MaxBuffered}, masker: m, certificates: certificates{}, shared: newShared(), clients: newClients()}
}

// Stats returns the counts.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Buffered = e.pool.out
	return s
}

// State is what an Engine keeps of a flow until End.
type State struct {
	tuple   Tuple
	streams [2]stream
	holding holding
	facts   *Facts // nil while there is nothing beside the name

	app        id   // what it speaks; none while unknown
	guess      id   // what weak evidence speaks for
	guessed    int8 // which payload gave the evidence
	hints      [2]id
	denied     bool // content contradicts the ports
	done       bool
	reading    bool
	unnamed    bool // all signatures said no to both sides of a TCP connection
	service    service
	payloads   uint8
	lengths    [MaxPayloads]int32
	entropy    float32
	hasEntropy bool

	tls  tlsState
	quic *quicState
	dns  dnsState
	// Of a dialogue: how far its reader is, and how many lines it saw.
	step, lines uint8
}

// Touch reads something of each part of a State, so that all of it comes into the
// processor's cache at once, and returns what it read. A nil State has no parts.
func (s *State) Touch() uint64 {
	if s == nil {
		return 0
	}
	return uint64(s.tuple.Protocol) + uint64(len(s.streams[0].view)) + uint64(s.streams[0].high) + uint64(len(s.streams[1].view)) +
		uint64(s.streams[1].high) + uint64(s.holding.out) + uint64(s.payloads) + uint64(s.lengths[MaxPayloads-1]) + uint64(s.dns.next)
}

// Begin returns the State of a new flow, or nil if MaxFlows are out. A nil State may
// be given to Inspect and End.
func (e *Engine) Begin(t Tuple) *State {
	if e.stats.Flows >= e.o.MaxFlows {
		e.stats.Refused++
		return nil
	}
	e.stats.Flows++
	var s *State
	if n := len(e.free); n > 0 {
		s, e.free = e.free[n-1], e.free[:n-1]
	} else {
		s = new(State)
	}
	s.tuple = t
	switch t.Protocol {
	case ipTCP:
		s.hints = [2]id{e.tables.tcpPort[t.DstPort], e.tables.tcpPort[t.SrcPort]}
	case ipUDP, ipUDPLite:
		s.hints = [2]id{e.tables.udpPort[t.DstPort], e.tables.udpPort[t.SrcPort]}
	default:
		s.app, s.done = e.tables.byIP[t.Protocol], true
	}
	if s.hints[0] == s.hints[1] {
		s.hints[1] = none
	}
	return s
}

// Inspect looks at the next packet of a flow. Packets without payload are welcome:
// a SYN tells where its direction begins. Nothing of p is kept.
func (e *Engine) Inspect(s *State, dir Direction, p *packet.Packet) Verdict {
	if s == nil || s.done {
		return Done
	}
	e.pool.use(s)
	st := &s.streams[dir]
	if s.tuple.Protocol != ipTCP {
		if len(p.Payload) == 0 || p.LaterFragment {
			return More
		}
		s.notePayload(dir, p)
		e.datagram(s, dir, p)
		return s.verdict()
	}
	if p.Flags&packet.SYN != 0 {
		st.begin(p.Seq + 1)
		if len(p.Payload) == 0 {
			return More
		}
	}
	if len(p.Payload) == 0 {
		return More
	}
	if p.Flags&packet.ACK != 0 {
		s.streams[1-dir].agree(p.Ack)
	}
	seq := p.Seq
	if p.Flags&packet.SYN != 0 {
		seq++
	}
	if s.unnamed {
		if st.further(seq + uint32(len(p.Payload))) {
			s.notePayload(dir, p)
		}
		s.done = s.payloads >= MaxPayloads
		return s.verdict()
	}
	if !st.add(&e.pool, seq, p.Payload, p.PayloadBytes) {
		return More
	}
	st.at = p.Time
	s.notePayload(dir, p)
	e.segment(s, dir)
	if s.done {
		s.release(&e.pool)
		return Done
	}
	for i := range s.streams {
		s.streams[i].keep(&e.pool)
	}
	return s.verdict()
}

func (s *State) verdict() Verdict {
	switch f := s.facts; {
	case s.done:
		return Done
	case f != nil && f.DNS != nil && (f.DNS.Response != "" || f.DNS.Multicast):
		return Enough
	}
	return More
}

func (s *State) notePayload(dir Direction, p *packet.Packet) {
	if s.payloads < MaxPayloads {
		n := int32(min(p.PayloadBytes, 1<<30))
		if n == 0 {
			n = int32(min(len(p.Payload), 1<<30))
		}
		if dir == FromResponder {
			n = -n
		}
		s.lengths[s.payloads] = n
	}
	if s.payloads < 255 {
		s.payloads++
	}
}

// datagram goes on with a flow of datagrams.
func (e *Engine) datagram(s *State, dir Direction, p *packet.Packet) {
	if !s.reading {
		e.nameDatagram(s, dir, p)
		if s.app == none {
			if s.payloads >= MaxPayloads {
				s.settle()
				s.done = true
			}
			return
		}
		s.reading = e.tables.protocols[s.app].readDatagram != nil
		s.done = !s.reading
	}
	if s.reading && !s.done {
		e.readDatagram(s, dir, p)
	}
}

func (e *Engine) readDatagram(s *State, dir Direction, p *packet.Packet) {
	r := &e.reading
	*r = reading{e: e, s: s, dir: dir, b: p.Payload, at: p.Time, final: true, p: p}
	if e.tables.protocols[s.app].readDatagram(r) == Done {
		s.done = true
	}
	*r = reading{} // The packet is not kept.
}

// reading is what a reader is called with: for TCP all bytes of a direction so far,
// else one datagram.
type reading struct {
	e     *Engine
	s     *State
	dir   Direction
	b     []byte
	at    int64
	final bool           // nothing will be added to b
	p     *packet.Packet // of a datagram
}

// facts returns the Facts of the flow, made when first asked for.
func (r *reading) facts() *Facts {
	if r.s.facts == nil {
		r.s.facts = new(Facts)
	}
	return r.s.facts
}

// End gives the State back and returns what was learnt; nil if nothing. Facts that
// say only the protocol are shared and must not be changed.
func (e *Engine) End(s *State) *Facts {
	if s == nil {
		return nil
	}
	e.pool.use(s)
	if !s.done && s.tuple.Protocol == ipTCP {
		s.finish(e)
	}
	s.finishDNS(e)
	s.settle()
	f := s.describe(e, s.app)
	s.release(&e.pool)
	e.pool.use(nil)
	*s = State{}
	if len(e.free) < 1<<16 {
		e.free = append(e.free, s)
	}
	e.stats.Flows--
	e.stats.Starved = e.pool.starved
	return f
}

// Known returns what was learnt so far of a flow that goes on; nil if nothing. Bytes
// that wait for more of their kind are looked at as though the other side went on:
// who asks has waited. The Facts grow with the flow, and are valid until the State is
// used again.
func (e *Engine) Known(s *State) *Facts {
	if s == nil || s.payloads == 0 {
		return nil
	}
	e.pool.use(s)
	if s.tuple.Protocol == ipTCP {
		for dir := range s.streams {
			e.show(s, Direction(dir), len(s.streams[dir].view), false)
		}
	}
	app := s.app
	if app == none && s.likely() {
		app = s.guess
	}
	if app == none && (s.denied || s.hints == [2]id{}) {
		return nil
	}
	return s.describe(e, app)
}

// settle takes a guess for want of better: weak evidence, which the port may
// support, or the port alone where no content speaks against it.
func (s *State) settle() {
	if s.app == none && s.likely() {
		s.app = s.guess
	}
}

// likely says that weak evidence and the port agree.
func (s *State) likely() bool {
	return s.guess != none && (s.guess == s.hints[0] || s.guess == s.hints[1])
}

// describe makes the Facts of a flow that speaks app, or that is not known to speak
// any.
func (s *State) describe(e *Engine, app id) *Facts {
	confidence := 1.0
	byPort := s.hints[0]
	if byPort == none {
		byPort = s.hints[1]
	}
	switch {
	case app != none && app == s.guess:
		confidence = 0.7
	case app == none && byPort != none && !s.denied:
		app, confidence = byPort, 0.5
	}
	if app == none {
		if s.payloads == 0 {
			return nil
		}
		n := min(int(s.payloads), MaxPayloads)
		return &Facts{
			Category: categoryUnknown, Entropy: float64(s.entropy),
			Lengths: append(make([]int32, 0, n), s.lengths[:n]...),
		}
	}
	p := &e.tables.protocols[app]
	if s.facts == nil && s.service == "" && confidence == 1 {
		return p.plain
	}
	if s.facts == nil && s.service == "" && confidence == 0.5 {
		return p.byPort
	}
	f := s.facts
	if f == nil {
		f = new(Facts)
	}
	f.App, f.Category, f.Confidence = p.name, p.category, confidence
	s.service.label(f)
	return f
}

func (s *State) release(p *pool) {
	for i := range s.streams {
		s.streams[i].release(p)
	}
	if s.quic != nil {
		s.quic.release(p)
		s.quic = nil
	}
}
