package dissect

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// DNS (RFC 1035) over UDP and TCP, and its kin of one form: mDNS (RFC 6762), LLMNR
// (RFC 4795), NetBIOS names (RFC 1002).

// Bounds on what is read of one message.
const (
	maxAnswers  = 32
	maxPointers = 16 // in one name
	maxPending  = 4  // questions without an answer yet
)

// dnsState keeps questions that wait for their answers.
type dnsState struct {
	pending [maxPending]dnsPending
	next    uint8
	unicast bool   // nobody announces names in it
	offset  [2]int // of TCP: how much was read
}

type dnsPending struct {
	id  uint16
	dir Direction // who asked
	at  int64
	q   *DNS
}

// dnsHeader says whether b begins with a plausible header of DNS: one question at
// least, or answers, and few of all; no bits that must be zero.
func dnsHeader(b []byte, questions int) bool {
	if len(b) < 12 {
		return false
	}
	flags := u16(b, 2)
	opcode := flags >> 11 & 15
	qd, an, ns, ar := int(u16(b, 4)), int(u16(b, 6)), int(u16(b, 8)), int(u16(b, 10))
	if opcode > 6 || opcode == 3 || flags&0x0040 != 0 || qd > questions || an > 256 || ns > 256 || ar > 64 {
		return false
	}
	if flags&0x8000 == 0 && (flags&15 != 0 || qd == 0 && an == 0) {
		return false
	}
	return qd+an+ns > 0
}

// matchDNS recognises a message: its header, and a name, type and class behind.
func matchDNS(l *look) answer {
	b := l.b
	if !dnsHeader(b, 4) || l.ported(137) {
		return when(l.ported(53) && len(b) >= 12 && u16(b, 2)&0x0070 == 0 && u16(b, 4) <= 1 && u16(b, 6) < 256, maybe)
	}
	end := skipName(b)
	if end < 0 || end+4 > len(b) || u16(b, 4) != 1 {
		return when(l.ported(53), maybe)
	}
	class := u16(b, end+2) &^ 0x8000
	if class != 1 && class != 3 && class != 4 && class != 254 && class != 255 || !knownType(u16(b, end)) {
		return when(l.ported(53), maybe)
	}
	return yes
}

// matchDNSTCP is matchDNS behind the length that TCP puts in front (RFC 1035,
// section 4.2.2).
func matchDNSTCP(l *look) answer {
	b := l.b
	if len(b) < 2 {
		return more
	}
	n := int(u16(b, 0))
	if n < 17 || n > 8192 {
		return no
	}
	if len(b) < 14 {
		return more
	}
	if !dnsHeader(b[2:], 1) || u16(b, 6) != 1 {
		return no
	}
	message := b[2:min(len(b), 2+n)]
	end := skipName(message)
	if end == -2 || end >= 0 && end+4 > len(message) {
		if len(message) == n {
			return no
		}
		return more
	}
	if end < 0 {
		return no
	}
	class := u16(message, end+2)
	if class != 1 && class != 3 && class != 254 && class != 255 || !knownType(u16(message, end)) {
		return no
	}
	return yes
}

// skipName returns where the name behind a message's header ends; -1 if it is
// malformed, -2 if b ends before it.
func skipName(b []byte) int {
	at := 12
	for range 128 {
		if at >= len(b) {
			return -2
		}
		n := int(b[at])
		switch {
		case n == 0:
			return at + 1
		case n >= 0xc0:
			return at + 2
		case n > 63:
			return -1
		}
		at += 1 + n
	}
	return -1
}

// dnsName reads the name at a place and returns where it ends in the message.
func (x *shared) dnsName(b []byte, at int) (name string, end int, ok bool) {
	var room [256]byte
	out, end, ok := appendDNSName(room[:0], b, at)
	if !ok {
		return "", 0, false
	}
	return x.text(out, maxName), end, true
}

// appendDNSName appends the name at a place, in lower case, following pointers, each
// further back than the one before (so that none loops), and returns where it ends in
// the message.
func appendDNSName(out, b []byte, at int) (name []byte, end int, ok bool) {
	limit := at
	for pointers := 0; ; {
		if at >= len(b) {
			return nil, 0, false
		}
		n := int(b[at])
		switch {
		case n == 0:
			if end == 0 {
				end = at + 1
			}
			if len(out) == 0 {
				return append(out, '.'), end, true
			}
			return lower(out[:len(out)-1]), end, true
		case n >= 0xc0:
			if at+2 > len(b) {
				return nil, 0, false
			}
			if end == 0 {
				end = at + 2
			}
			target := int(u16(b, at) & 0x3fff)
			if pointers++; pointers > maxPointers || target >= limit {
				return nil, 0, false
			}
			at, limit = target, target
			continue
		case n > 63 || at+1+n > len(b) || len(out)+n+1 > 255:
			return nil, 0, false
		}
		for _, c := range b[at+1 : at+1+n] {
			if c == '.' { // Within a label; a name must not look like another.
				c = '?'
			}
			out = append(out, c)
		}
		out = append(out, '.')
		at += 1 + n
	}
}

func lower(b []byte) []byte {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}

// parseDNS reads a message: its first question and its answers.
func (x *shared) parseDNS(b []byte, answers bool) (*DNS, bool) {
	d := new(DNS)
	if !x.fillDNS(d, b, answers) {
		return nil, false
	}
	return d, true
}

// fillDNS is parseDNS into a DNS that is empty.
func (x *shared) fillDNS(d *DNS, b []byte, answers bool) bool {
	if len(b) < 12 {
		return false
	}
	at := 12
	for i := range int(min(u16(b, 4), 16)) {
		name, end, ok := x.dnsName(b, at)
		if !ok || end+4 > len(b) {
			return i > 0
		}
		if i == 0 {
			d.Query, d.Type = name, typeName(u16(b, end))
		}
		at = end + 4
	}
	if u16(b, 2)&0x8000 != 0 {
		d.Response = rcodeName(u16(b, 2) & 15)
	}
	if !answers {
		return true
	}
	for range int(min(u16(b, 6), maxAnswers)) {
		a, end, ok := x.dnsRecord(b, at, d)
		if !ok {
			break
		}
		d.Answers = append(d.Answers, a)
		at = end
	}
	return true
}

// dnsRecord reads a resource record. A message without a question (mDNS) is named by
// its first record.
func (x *shared) dnsRecord(b []byte, at int, d *DNS) (a DNSAnswer, end int, ok bool) {
	var room [256]byte
	name, at, ok := appendDNSName(room[:0], b, at)
	if !ok || at+10 > len(b) {
		return a, 0, false
	}
	kind, n := u16(b, at), int(u16(b, at+8))
	a.Type, a.TTL = typeName(kind), u32(b, at+4)
	end = at + 10 + n
	if end > len(b) {
		return a, 0, false
	}
	if d.Query == "" {
		d.Query, d.Type = x.text(name, maxName), a.Type
	}
	data := b[at+10 : end]
	switch {
	case kind == 1 && n == 4:
		addr := netip.AddrFrom4([4]byte(data))
		a.Data, a.Addr = addr.String(), packet.Addr(addr.As16())
	case kind == 28 && n == 16:
		addr := netip.AddrFrom16([16]byte(data))
		a.Data, a.Addr = addr.String(), packet.Addr(addr.As16())
	case kind == 2 || kind == 5 || kind == 12 || kind == 39:
		a.Data, _, _ = x.dnsName(b[:end], at+10)
	case kind == 15 && n > 2:
		host, _, _ := x.dnsName(b[:end], at+12)
		a.Data = strconv.Itoa(int(u16(data, 0))) + " " + host
	case kind == 33 && n > 6:
		host, _, _ := x.dnsName(b[:end], at+16)
		a.Data = host + ":" + strconv.Itoa(int(u16(data, 4)))
	case kind == 6:
		a.Data, _, _ = x.dnsName(b[:end], at+10)
	case kind == 16:
		a.Data = dnsStrings(data)
	}
	return a, end, true
}

// dnsStrings joins the strings of a TXT record.
func dnsStrings(b []byte) string {
	var parts []string
	for c := (cursor{b: b}); len(c.b) > 0 && len(parts) < 8; {
		parts = append(parts, text(c.upTo(c.u8()), maxName))
	}
	return cleanText(strings.Join(parts, " "), maxText)
}

// readDNS reads one datagram.
func readDNS(r *reading) Verdict {
	r.s.dns.unicast = true
	return r.dnsMessage(r.b, false)
}

// readMulticastDNS reads questions and announcements on the local link.
func readMulticastDNS(r *reading) Verdict {
	v := r.dnsMessage(r.b, true)
	if r.e.o.OnName != nil {
		r.announced("mdns")
	}
	return v
}

// readDNSTCP reads the messages of a stream.
func readDNSTCP(r *reading) Verdict {
	at := &r.s.dns.offset[r.dir]
	for len(r.b) >= *at+2 {
		n := int(u16(r.b, *at))
		if len(r.b) < *at+2+n {
			if r.final {
				break
			}
			return More
		}
		message := r.b[*at+2 : *at+2+n]
		*at += 2 + n
		if r.dnsMessage(message, false) == Done {
			return Done
		}
	}
	return More
}

// dnsMessage takes a question or an answer, and puts the two together.
func (r *reading) dnsMessage(b []byte, multicast bool) Verdict {
	if !dnsHeader(b, 64) {
		return More
	}
	s := &r.s.dns
	response, number := u16(b, 2)&0x8000 != 0, u16(b, 0)
	if response && !multicast {
		return r.dnsAnswer(b, number)
	}
	d, ok := r.e.shared.parseDNS(b, response)
	if !ok {
		return More
	}
	d.Multicast, d.Asked = multicast, !response
	f := r.facts()
	if f.DNS == nil {
		f.DNS = d
	}
	if multicast {
		r.e.tellDNS(r.s.tuple, d, r.at)
		return r.doneUnlessTold()
	}
	p := &s.pending[s.next%maxPending]
	if p.q != nil {
		r.e.tellDNS(r.s.tuple, p.q, p.at)
	}
	*p = dnsPending{number, r.dir, r.at, d}
	s.next++
	return More
}

// dnsAnswer puts an answer to its question. Most have one: then nothing of the answer
// but its records is kept, so that it is read into the Engine's own.
func (r *reading) dnsAnswer(b []byte, number uint16) Verdict {
	s, d := &r.s.dns, &r.e.answer
	*d = DNS{}
	if !r.e.shared.fillDNS(d, b, true) {
		return More
	}
	f := r.facts()
	for i := range s.pending {
		p := &s.pending[i]
		if p.q == nil || p.id != number || p.dir == r.dir || p.q.Query != d.Query || p.q.Type != d.Type {
			continue
		}
		p.q.Response, p.q.Answers, p.q.Latency = d.Response, d.Answers, time.Duration(max(0, r.at-p.at))
		r.e.tellDNS(r.s.tuple, p.q, p.at)
		p.q = nil
		return r.doneUnlessTold()
	}
	missed := *d // The question was, or there never was one: it is not Asked.
	if f.DNS == nil {
		f.DNS = &missed
	}
	r.e.tellDNS(r.s.tuple, &missed, r.at)
	return r.doneUnlessTold()
}

func (r *reading) doneUnlessTold() Verdict {
	if r.e.o.OnDNS == nil && (r.e.o.OnName == nil || r.s.tuple.Protocol == ipTCP || r.s.dns.unicast) {
		return Done
	}
	return More
}

func (e *Engine) tellDNS(t Tuple, d *DNS, at int64) {
	if e.o.OnDNS != nil {
		e.o.OnDNS(t, d, at)
	}
}

// finishDNS tells of questions that got no answer.
func (s *State) finishDNS(e *Engine) {
	for i := range s.dns.pending {
		if p := &s.dns.pending[i]; p.q != nil {
			e.tellDNS(s.tuple, p.q, p.at)
			p.q = nil
		}
	}
}

// announced tells the names that a host gives its own addresses.
func (r *reading) announced(source string) {
	if u16(r.b, 2)&0x8000 == 0 {
		return
	}
	d, ok := r.e.shared.parseDNS(r.b, true)
	if !ok {
		return
	}
	for _, a := range d.Answers {
		if a.Addr != (packet.Addr{}) && d.Query != "" {
			r.e.o.OnName(source, d.Query, a.Addr, r.at)
			return
		}
	}
}
