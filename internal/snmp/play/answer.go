package play

import (
	"net/netip"
	"slices"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/ber"
)

// Bounds of one request.
const (
	maxNames  = 1024
	maxInBulk = 10_000 // variables
)

// Error states (RFC 3416, section 3).
const (
	statusTooBig     = 1
	statusNoSuchName = 2
)

// request is a question as it came. What it refers to belongs to the datagram.
type request struct {
	version   int64
	community []byte
	pdu       byte
	id        int64
	first     int // non-repeaters, for GETBULK
	rows      int // max-repetitions
	list      []byte
	names     int // in scribe.names
}

// scribe writes answers. It keeps its buffers from one to the next, so it serves one
// socket.
type scribe struct {
	responder *Responder
	arcs      []uint32
	names     []span
	places    []int
	list      []byte
	head, out []byte
	secure    security
}

// span is where a name is in scribe.arcs.
type span struct{ from, to int }

func (s *scribe) name(i int) []uint32 { return s.arcs[s.names[i].from:s.names[i].to] }

// answer writes the answer to a datagram; without one, the device is nil. The answer
// is good until the next call.
func (s *scribe) answer(datagram []byte, local netip.Addr) (*Device, []byte) {
	body, _, ok := ber.Take(datagram, ber.Sequence)
	var q request
	if ok {
		q.version, body, ok = ber.TakeInteger(body)
	}
	switch {
	case ok && (q.version == 0 || q.version == 1):
		return s.answerCommunity(q, body, local)
	case ok && q.version == 3:
		return s.answerUser(datagram, body, local)
	default:
		s.responder.Malformed.Add(1)
		return nil, nil
	}
}

func (s *scribe) answerCommunity(q request, body []byte, local netip.Addr) (*Device, []byte) {
	var ok bool
	if q.community, body, ok = ber.Take(body, ber.OctetString); !ok || !s.parse(&q, body) {
		s.responder.Malformed.Add(1)
		return nil, nil
	}
	d := s.responder.find(local, q.community)
	if d == nil {
		s.responder.Unknown.Add(1)
		return nil, nil
	}
	pdu, ok := s.reply(d, &q)
	if !ok {
		return nil, nil
	}
	s.head = ber.AppendInteger(s.head[:0], ber.Integer, q.version)
	s.head = ber.AppendValue(s.head, ber.OctetString, q.community)
	s.out = ber.AppendHead(s.out[:0], ber.Sequence, len(s.head)+len(pdu))
	s.out = append(append(s.out, s.head...), pdu...)
	return d, s.out
}

// parse reads a PDU and the names in it.
func (s *scribe) parse(q *request, b []byte) bool {
	if len(b) == 0 {
		return false
	}
	q.pdu = b[0]
	if q.pdu != ber.GetRequest && q.pdu != ber.GetNextRequest && q.pdu != ber.GetBulkRequest {
		return false
	}
	b, _, ok := ber.Take(b, q.pdu)
	if !ok {
		return false
	}
	var first, rows int64
	if q.id, b, ok = ber.TakeInteger(b); !ok {
		return false
	}
	if first, b, ok = ber.TakeInteger(b); !ok {
		return false
	}
	if rows, b, ok = ber.TakeInteger(b); !ok {
		return false
	}
	q.first, q.rows = int(min(max(first, 0), maxNames)), int(min(max(rows, 0), maxInBulk))
	if q.list, _, ok = ber.Take(b, ber.Sequence); !ok {
		return false
	}
	s.arcs, s.names = s.arcs[:0], s.names[:0]
	for list := q.list; len(list) > 0; {
		var pair, name []byte
		if pair, list, ok = ber.Take(list, ber.Sequence); !ok {
			return false
		}
		if name, _, ok = ber.Take(pair, ber.ObjectID); !ok || len(s.names) == maxNames {
			return false
		}
		from := len(s.arcs)
		if s.arcs, ok = ber.Arcs(s.arcs, name); !ok {
			return false
		}
		s.names = append(s.names, span{from, len(s.arcs)})
	}
	q.names = len(s.names)
	return true
}

// reply writes the PDU that answers q, as the device's faults have it; false is that
// the device keeps silent.
func (s *scribe) reply(d *Device, q *request) ([]byte, bool) {
	f := d.fault()
	n := d.asked.Add(1)
	if n <= f.DropFirst || f.DropEvery > 0 && (n-f.DropFirst)%f.DropEvery == 0 {
		return nil, false
	}
	bulk := q.pdu == ber.GetBulkRequest
	if bulk && above(q.rows, f.SilentAbove) || f.SilentBelow != "" && s.asksBelow(f.SilentBelow) {
		return nil, false
	}
	var status, index int
	switch {
	case bulk && q.version == 0:
		return nil, false // RFC 3416 came after version 1
	case bulk && above(q.rows, f.TooBigAbove), q.pdu == ber.GetRequest && above(q.names, f.NamesAbove):
		status = statusTooBig
	default:
		status, index = s.fill(d, q, f)
	}
	list := s.list
	switch {
	case status == statusTooBig && q.version != 0:
		list = nil // RFC 3416, section 4.2.1
	case status != 0:
		list = q.list
	}
	if f.WrongID {
		q.id ^= 0x5555
	}
	return s.pdu(ber.Response, q.id, status, index, list), true
}

// pdu writes a PDU; it is good until the next call.
func (s *scribe) pdu(tag byte, id int64, status, index int, list []byte) []byte {
	s.head = ber.AppendInteger(s.head[:0], ber.Integer, id)
	s.head = ber.AppendInteger(s.head, ber.Integer, int64(status))
	s.head = ber.AppendInteger(s.head, ber.Integer, int64(index))
	s.head = ber.AppendHead(s.head, ber.Sequence, len(list))
	b := ber.AppendHead(s.secure.pdu[:0], tag, len(s.head)+len(list))
	b = append(append(b, s.head...), list...)
	s.secure.pdu = b
	return b
}

// asksBelow reports whether a name of the request is root or below it.
func (s *scribe) asksBelow(root string) bool {
	arcs, _ := snmp.Arcs(root)
	for i := range s.names {
		if name := s.name(i); below(arcs, append(slices.Clip(name), 0)) {
			return true
		}
	}
	return false
}

// fill writes the variables of the answer to s.list, or says what is wrong.
func (s *scribe) fill(d *Device, q *request, f *Faults) (status, index int) {
	s.list = s.list[:0]
	room := maxDatagram - 400 // for what stands around the variables
	if d.MaxSize > 0 {
		room = min(room, d.MaxSize-100)
	}
	record := d.record.Load()
	switch q.pdu {
	case ber.GetRequest:
		for i := range q.names {
			if at, found := record.at(s.name(i)); found {
				s.list = append(s.list, record.entries[at].pair...)
			} else if q.version == 0 {
				return statusNoSuchName, i + 1
			} else {
				s.absent(s.name(i), ber.NoSuchInstance)
			}
		}
	case ber.GetNextRequest:
		for i := range q.names {
			next, ok := s.following(record, f, s.name(i), q.version == 0)
			switch {
			case ok:
				s.list = append(s.list, next.pair...)
			case q.version == 0:
				return statusNoSuchName, i + 1
			default:
				s.absent(s.name(i), ber.EndOfMIB)
			}
		}
	default:
		if f.LoopBelow != "" || f.EndlessBelow != "" {
			s.bulkByName(record, q, f, room)
		} else {
			s.bulk(record, q, room)
		}
		if len(s.list) == 0 && q.names > 0 && q.rows > 0 {
			return statusTooBig, 0
		}
		return 0, 0
	}
	if len(s.list) > room {
		return statusTooBig, 0
	}
	return 0, 0
}

func (s *scribe) absent(name []uint32, tag byte) {
	s.list = append(s.list, newEntry(name, []byte{tag, 0}).pair...)
}

// following is the variable behind a name, by the device's faults.
func (s *scribe) following(record *Record, f *Faults, name []uint32, v1 bool) (entry, bool) {
	if root, _ := snmp.Arcs(f.LoopBelow); len(root) > 0 && below(root, name) {
		name = root
	}
	if root, _ := snmp.Arcs(f.EndlessBelow); len(root) > 0 && below(root, append(slices.Clip(name), 0)) {
		row := uint32(1)
		if len(name) > len(root) {
			row = name[len(root)] + 1
		}
		return newEntry(append(slices.Clip(root), row), []byte{ber.Integer, 1, 7}), true
	}
	for i := record.next(name); i < len(record.entries); i++ {
		if !v1 || !record.entries[i].counter64() { // which version 1 does not know
			return record.entries[i], true
		}
	}
	return entry{}, false
}

func (e entry) counter64() bool {
	pair, _, _ := ber.Take(e.pair, ber.Sequence)
	_, value, _ := ber.Take(pair, ber.ObjectID)
	return len(value) > 0 && value[0] == ber.Counter64
}

// bulk writes what answers a GETBULK (RFC 3416, section 4.2.3): one variable behind
// each of the first names, then rows behind the others, until they or the room end.
func (s *scribe) bulk(record *Record, q *request, room int) {
	entries := record.entries
	for i := range min(q.first, q.names) {
		if at := record.next(s.name(i)); at < len(entries) {
			s.list = append(s.list, entries[at].pair...)
		} else {
			s.absent(s.name(i), ber.EndOfMIB)
		}
	}
	s.places = s.places[:0]
	for i := min(q.first, q.names); i < q.names; i++ {
		s.places = append(s.places, record.next(s.name(i)))
	}
	for row := 0; row < q.rows && len(s.places) > 0; row++ {
		ended := true
		for i, at := range s.places {
			if at < len(entries) {
				if len(s.list)+len(entries[at].pair) > room {
					return
				}
				ended = false
				s.list = append(s.list, entries[at].pair...)
				s.places[i]++
				continue
			}
			name := s.name(min(q.first, q.names) + i)
			if len(entries) > 0 && row > 0 {
				name = entries[len(entries)-1].arcs
			}
			s.absent(name, ber.EndOfMIB)
		}
		if ended {
			return
		}
	}
}

// bulkByName is bulk for a device whose tables go in circles or never end.
func (s *scribe) bulkByName(record *Record, q *request, f *Faults, room int) {
	names := make([][]uint32, q.names)
	for i := range names {
		names[i] = s.name(i)
	}
	for range q.rows {
		for i, name := range names {
			next, ok := s.following(record, f, name, false)
			if !ok {
				s.absent(name, ber.EndOfMIB)
				return
			}
			if len(s.list)+len(next.pair) > room {
				return
			}
			s.list = append(s.list, next.pair...)
			names[i] = next.arcs
		}
	}
}
