package place

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
)

// The durable form of a Map holds places, not tables: those are read anew.
//
//	"amoskys places 1\n"
//	number of switches, then of each: uid, name, ip, number of ports, of each ifIndex and name
//	number of stations, then of each: MAC, at, since, before, beforeSince, told, toldSince, seen
//	CRC-32C of all before, 4 bytes, big-endian
//
// Numbers are unsigned varints, texts a length and bytes, a spot its four numbers.
const magic = "amoskys places 1\n"

// Bounds of what is decoded.
const (
	maxSwitches = 1 << 16
	maxPorts    = 1 << 16
	maxText     = 1 << 10
)

// ErrDamaged says that a durable form is cut, altered or of another version.
var ErrDamaged = errors.New("the file of places is damaged or of another version")

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Encode returns the durable form, the same bytes for the same Map. Of ports only those
// that are a place have their names in it.
func (m *Map) Encode() []byte {
	w := writer{[]byte(magic)}
	used := m.usedPorts()
	w.number(uint64(len(m.switches)))
	for i, t := range m.switches {
		w.text(t.uid)
		w.text(t.name)
		w.text(t.ip)
		ports := slices.Sorted(maps.Keys(used[uint32(i+1)]))
		w.number(uint64(len(ports)))
		for _, p := range ports {
			w.number(uint64(p))
			w.text(t.ports[p])
		}
	}
	n := 0
	for range m.Each {
		n++
	}
	w.number(uint64(n))
	for mac := range m.Each {
		s := m.known[mac]
		w.b = append(w.b, mac[:]...)
		w.spot(s.at, s.since)
		w.spot(s.before, s.beforeSince)
		w.spot(s.told, s.toldSince)
		w.number(uint64(s.seen))
	}
	return binary.BigEndian.AppendUint32(w.b, crc32.Checksum(w.b, castagnoli()))
}

// usedPorts are the ports of each switch that some station is or was at.
func (m *Map) usedPorts() map[uint32]map[uint32]bool {
	used := map[uint32]map[uint32]bool{}
	for _, s := range m.known {
		for _, at := range []spot{s.at, s.before, s.told} {
			if at.on != 0 && used[at.on] == nil {
				used[at.on] = map[uint32]bool{}
			}
			if at.on != 0 {
				used[at.on][at.port] = true
			}
		}
	}
	return used
}

type writer struct{ b []byte }

func (w *writer) number(n uint64) { w.b = binary.AppendUvarint(w.b, n) }

func (w *writer) text(s string) {
	s = s[:min(len(s), maxText)]
	w.number(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) spot(s spot, since int64) {
	w.number(uint64(s.on))
	w.number(uint64(s.port))
	w.number(uint64(s.vlan))
	w.number(uint64(s.source))
	w.number(uint64(max(since, 0)))
}

// Decode returns the Map of a durable form. The error is ErrDamaged; the caller begins
// anew then, and every place is told again.
func Decode(b []byte, o Options) (*Map, error) {
	m := New(o)
	body, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(body) < 4 {
		return nil, ErrDamaged
	}
	sum := binary.BigEndian.Uint32(body[len(body)-4:])
	if crc32.Checksum(b[:len(b)-4], castagnoli()) != sum {
		return nil, fmt.Errorf("%w: its checksum differs", ErrDamaged)
	}
	r := reader{b: body[:len(body)-4]}
	for range r.count(maxSwitches) {
		r.table(m)
	}
	for range r.count(m.o.MaxMACs) {
		r.station(m)
	}
	if r.bad || len(r.b) > 0 {
		return nil, ErrDamaged
	}
	return m, nil
}

type reader struct {
	b   []byte
	bad bool
}

// count is a number of things that take at least a byte each.
func (r *reader) count(most int) int {
	n := r.number(uint64(most))
	if n > uint64(len(r.b)) {
		r.bad = true
	}
	if r.bad {
		return 0
	}
	return int(n)
}

func (r *reader) number(most uint64) uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > most {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) text() string {
	n := int(r.number(maxText))
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) table(m *Map) {
	t := &table{uid: r.text(), name: r.text(), ip: r.text()}
	if n := r.count(maxPorts); n > 0 {
		t.ports = make(map[uint32]string)
		for range n {
			index := uint32(r.number(1<<32 - 1))
			t.ports[index] = r.text()
			if r.bad {
				return
			}
		}
	}
	if _, twice := m.byUID[t.uid]; twice || t.uid == "" {
		r.bad = true
		return
	}
	m.byUID[t.uid] = uint32(len(m.switches))
	m.switches = append(m.switches, t)
}

func (r *reader) station(m *Map) {
	if len(r.b) < len(MAC{}) {
		r.bad = true
		return
	}
	mac := MAC(r.b[:len(MAC{})])
	r.b = r.b[len(MAC{}):]
	s := &station{}
	s.at, s.since = r.spot(m)
	s.before, s.beforeSince = r.spot(m)
	s.told, s.toldSince = r.spot(m)
	s.seen = int64(r.number(1 << 62))
	if !r.bad && mac.isStation() && s.at.on != 0 {
		m.known[mac] = s
	}
}

func (r *reader) spot(m *Map) (at spot, since int64) {
	at = spot{
		on: uint32(r.number(uint64(len(m.switches)))), port: uint32(r.number(1<<32 - 1)),
		vlan: uint16(r.number(1<<16 - 1)), source: via(r.number(uint64(viaCDP))),
	}
	since = int64(r.number(1 << 62))
	if at.on == 0 {
		return spot{}, since
	}
	return at, since
}
