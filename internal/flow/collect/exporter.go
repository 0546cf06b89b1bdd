package collect

import (
	"encoding/binary"
	"net/netip"

	"github.com/amoskys/amoskys/internal/flow/recent"
)

// networkOf numbers the network that exporters share their room with others by: the /24
// of an IPv4 address, the /64 of an IPv6 address. Who forges addresses can mostly forge
// those of networks near to it.
func networkOf(a netip.Addr) uint64 {
	b := a.As16()
	if a.Is4() || a.Is4In6() {
		return uint64(be32(b[12:]) >> 8) // as no network of IPv6 that is in use
	}
	return binary.BigEndian.Uint64(b[:8])
}

// proof is how long after it came something must be used again to be kept before what is
// newer, in nanoseconds. The addresses of datagrams are easily forged, and with them
// exporters, domains, ports and templates without end: these push out each other, and
// nothing that a device uses.
const proof = int64(60e9)

type domainKey struct {
	format Format
	id     uint32
}

// sessionKey is a transport session (RFC 7011, section 2) of a domain: over UDP, the
// port that the exporter sends from. Over TCP it is 0.
type sessionKey struct {
	domainKey
	port uint16
}

// templateKey has port 0 for the template that came last from any port.
type templateKey struct {
	sessionKey
	id uint16
}

// exporter is what is kept of one that sends. Templates and what else it announces are of
// a session: who forges its address and does not know its port changes nothing there. A
// session that lacks them, as of a device that sends from a new port each time, has those
// that came last from any port.
type exporter struct {
	domains  *recent.Map[domainKey, *domain]
	sessions *recent.Map[sessionKey, *session]
	own, any shelf
	waiting  []waitingSet
	held     int // bytes of waiting
}

func (c *Collector) newExporter() *exporter {
	ex := &exporter{
		domains:  recent.Proving[domainKey, *domain](c.o.MaxDomains, proof),
		sessions: recent.Proving[sessionKey, *session](2*c.o.MaxDomains, proof),
		own:      newShelf(c.o), any: newShelf(c.o),
	}
	ex.domains.OnEvict = func(domainKey, **domain) { c.stats.Evicted++ }
	return ex
}

// shelf is templates, with a bound on all their fields.
type shelf struct {
	templates *recent.Map[templateKey, *template]
	max       int
	fields    *int
	evicted   *uint64
}

func newShelf(o Options) shelf {
	s := shelf{templates: recent.Proving[templateKey, *template](o.MaxTemplates, proof), max: o.MaxFields, fields: new(int), evicted: new(uint64)}
	s.templates.OnEvict = func(_ templateKey, t **template) {
		*s.fields -= len((*t).fields)
		*s.evicted++
	}
	return s
}

// put keeps a template, and reports whether there was room: what is in use makes none. The
// one before it is forgotten either way, as nothing is sent by that any more.
func (s *shelf) put(key templateKey, t *template, now int64) bool {
	for {
		old := 0
		if had := s.templates.Look(key); had != nil {
			old = len((*had).fields)
		}
		if *s.fields-old+len(t.fields) <= s.max {
			break
		}
		if !s.templates.MakeRoom(now) {
			s.drop(key)
			return false
		}
	}
	place, fresh := s.templates.UseAt(key, now)
	if !fresh {
		*s.fields -= len((*place).fields)
	}
	*place = t
	*s.fields += len(t.fields)
	return true
}

// drop forgets a template, and reports whether there was one.
func (s *shelf) drop(key templateKey) bool {
	old, had := s.templates.Drop(key)
	if had {
		*s.fields -= len(old.fields)
	}
	return had
}

// template is that of a set: of its session, else the last of the same number.
func (m *message) template(id uint16) *template {
	key := templateKey{m.session.key, id}
	if t := m.exporter.own.templates.Find(key, m.received); t != nil {
		return *t
	}
	key.port = 0
	if t := m.exporter.any.templates.Find(key, m.received); t != nil {
		return *t
	}
	return nil
}

// maxSamplers is how many samplers of a domain are kept.
const maxSamplers = 64

// announced is what an exporter said of itself.
type announced struct {
	// rate is the sampling rate that was announced last, 0 before.
	rate uint64
	// samplers are the rates by samplerId or selectorId.
	samplers map[uint64]uint64
	// boot is systemInitTimeMilliseconds in Unix nanoseconds, 0 if unknown.
	boot int64
}

// domain is what is kept of one observation domain: what was announced last, from
// whichever port.
type domain struct{ announced }

// session is what is kept of one port of a domain.
type session struct {
	key      sessionKey
	sequence sequence
	announced
}

// sequence follows the numbers of one sender.
type sequence struct {
	next  uint32
	known bool
	// Of IPFIX: the number of the last message, and its records but those of options.
	last, flows uint32
}

const (
	// late is how far behind a number may be and still be one that was overtaken.
	late = 4096
	// farthest is how many units are believed to be lost at once; beyond, the sender
	// began anew.
	farthest = 1 << 20
)

// see compares a number with the one expected. What follows is expected behind
// advance units, unless the number was overtaken.
func (s *sequence) see(got uint32, stats *Stats) {
	gap := int32(got - s.next)
	switch {
	case !s.known || gap == 0:
	case gap < 0 && gap >= -late:
		stats.Reordered++
		return
	case gap < 0 || gap > farthest:
		stats.Restarts++
	default:
		stats.Lost += uint64(gap)
	}
	s.next, s.known = got, true
}

// advance says how many units the message with the number got had.
func (s *sequence) advance(got, units uint32) {
	if s.next == got {
		s.next += units
	}
}

// seeRecords follows a message of IPFIX with so many records, of which flows are none
// of options. The number is to be that of the records before it (RFC 7011, section
// 3.1); that of exporters that count the message itself already, or no options
// (softflowd 1.1 does both), is no loss either.
func (s *sequence) seeRecords(number, records, flows uint32, stats *Stats) {
	if gap := number - s.last; s.known && (gap == records || gap == flows || gap == s.flows) {
		s.next = number
	}
	s.see(number, stats)
	s.advance(number, records)
	s.last, s.flows = number, flows
}

// waitingSet is a data set that came before its template.
type waitingSet struct {
	key      templateKey // with port 0
	received int64
	exported int64
	uptime   uint32
	data     []byte
}

const (
	// maxWaitingSets is how many sets of an exporter wait, however short they are.
	maxWaitingSets = 64
	// patience is how long a set waits for its template, in nanoseconds: exporters send
	// templates again every few minutes, but what old data tells may be of another.
	patience = int64(60e9)
)

// wait keeps a copy of a set until its template comes.
func (m *message) wait(key templateKey, data []byte) {
	ex, c := m.exporter, m.collector
	for len(ex.waiting) > 0 && (len(ex.waiting) >= maxWaitingSets || ex.held+len(data) > c.o.MaxWaiting || m.received-ex.waiting[0].received > patience) {
		ex.held -= len(ex.waiting[0].data)
		ex.waiting = append(ex.waiting[:0], ex.waiting[1:]...)
		c.stats.Unread++
	}
	if len(data) > c.o.MaxWaiting {
		c.stats.Unread++
		return
	}
	c.stats.Waited++
	ex.held += len(data)
	ex.waiting = append(ex.waiting, waitingSet{key: key, received: m.received, exported: m.exported, uptime: m.uptime, data: append([]byte(nil), data...)})
}

// release reads the sets that waited for a template, by the clocks of their messages.
func (m *message) release(key templateKey, t *template) {
	ex := m.exporter
	kept := ex.waiting[:0]
	var ready []waitingSet
	for _, w := range ex.waiting {
		if w.key != key {
			kept = append(kept, w)
			continue
		}
		ex.held -= len(w.data)
		if m.received-w.received > patience {
			m.collector.stats.Unread++
			continue
		}
		ready = append(ready, w)
	}
	clear(ex.waiting[len(kept):])
	ex.waiting = kept
	for _, w := range ready {
		then := *m
		then.received, then.exported, then.uptime = w.received, w.exported, w.uptime
		then.data(t, w.data)
	}
}
