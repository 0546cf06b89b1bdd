package collect

import "encoding/binary"

// Sets of templates, by their id.
const (
	setTemplates9  = 0
	setOptions9    = 1
	setTemplates10 = 2
	setOptions10   = 3
	firstData      = 256
)

const (
	header9  = 20
	header10 = 16
)

// netflow9 reads an export packet (RFC 3954, section 5.1).
func (m *message) netflow9(b []byte) error {
	if len(b) < header9 {
		return m.collector.malformed()
	}
	m.uptime = be32(b[4:])
	m.exported = int64(be32(b[8:])) * 1e9
	number := be32(b[12:])
	m.enter(NetFlow9, be32(b[16:]))
	m.session.sequence.see(number, &m.collector.stats)
	m.session.sequence.advance(number, 1)
	_, _, err := m.sets(b[header9:])
	return err
}

// ipfix reads a message (RFC 7011, section 3.1). Its sequence counts data records, so
// that a set that cannot be read leaves the next number unknown.
func (m *message) ipfix(b []byte) error {
	if len(b) < header10 {
		return m.collector.malformed()
	}
	length := int(be16(b[2:]))
	if length < header10 || length > len(b) {
		return m.collector.malformed()
	}
	m.exported = int64(be32(b[4:])) * 1e9
	number := be32(b[8:])
	m.enter(IPFIX, be32(b[12:]))
	options := m.collector.stats.Options
	records, unknown, err := m.sets(b[header10:length])
	options = m.collector.stats.Options - options
	m.session.sequence.seeRecords(number, uint32(records), uint32(records)-uint32(options), &m.collector.stats)
	if unknown || err != nil {
		m.session.sequence.known = false
	}
	return err
}

// sets reads the sets of a message of v9 or IPFIX. unknown says that some were of a
// template that is not known.
func (m *message) sets(b []byte) (records int, unknown bool, err error) {
	for len(b) >= 4 {
		id, length := be16(b), int(be16(b[2:]))
		if length < 4 || length > len(b) {
			return records, unknown, m.collector.malformed()
		}
		n, known := m.oneSet(id, b[4:length])
		records += n
		unknown = unknown || !known
		b = b[length:]
	}
	return records, unknown, nil
}

func (m *message) oneSet(id uint16, b []byte) (records int, known bool) {
	whole := true
	switch {
	case id >= firstData:
		t := m.template(id)
		if t == nil {
			m.wait(templateKey{sessionKey{domainKey: m.session.key.domainKey}, id}, b)
			return 0, false
		}
		return m.data(t, b), true
	case m.format == NetFlow9 && id == setTemplates9:
		whole = m.templates9(b)
	case m.format == NetFlow9 && id == setOptions9:
		whole = m.options9(b)
	case m.format == IPFIX && (id == setTemplates10 || id == setOptions10):
		whole = m.templates10(b, id == setOptions10)
	}
	if !whole {
		_ = m.collector.malformed()
	}
	return 0, true
}

// data reads the records of a set and returns how many there were. What is left at
// the end is padding.
func (m *message) data(t *template, b []byte) (records int) {
	c := m.collector
	if !t.flow && !t.options && t.fixed {
		records = len(b) / t.shortest
		c.stats.NoFlow += uint64(records)
		return records
	}
	for len(b) >= t.shortest {
		rest, whole := c.reading.read(t, b)
		if !whole {
			_ = c.malformed()
			return records
		}
		b = rest
		records++
		switch {
		case t.options:
			c.stats.Options++
			m.option(&c.reading)
		case t.flow:
			m.flow(&c.reading, t)
		default:
			c.stats.NoFlow++
		}
	}
	return records
}

// read takes one record apart.
func (x *reading) read(t *template, b []byte) (rest []byte, whole bool) {
	*x = reading{}
	for _, f := range t.fields {
		n := int(f.length)
		if f.length == variable {
			if len(b) < 1 {
				return nil, false
			}
			n, b = int(b[0]), b[1:]
			if n == 255 {
				if len(b) < 2 {
					return nil, false
				}
				n, b = int(be16(b)), b[2:]
			}
		}
		if len(b) < n {
			return nil, false
		}
		if f.element != skipped {
			x.set(f.element, b[:n])
		}
		b = b[n:]
	}
	return b, true
}

// option applies what an exporter says of itself: sampling, and when it started.
func (m *message) option(x *reading) {
	m.session.note(x)
	m.domain.note(x)
}

func (a *announced) note(x *reading) {
	if x.boot != 0 {
		a.boot = x.boot
	}
	rate := x.rate()
	if rate == 0 {
		return
	}
	a.rate = rate
	if !x.hasSelector {
		return
	}
	if a.samplers == nil {
		a.samplers = map[uint64]uint64{}
	}
	if _, known := a.samplers[x.selector]; known || len(a.samplers) < maxSamplers {
		a.samplers[x.selector] = rate
	}
}

// sampling is the rate of a record: its own, that of the sampler it names, or the one
// that the exporter announced last, from the same port if it did there. A sampler 0 that
// was never announced is none.
func (m *message) sampling(x *reading) uint64 {
	if rate := x.rate(); rate != 0 {
		return rate
	}
	said := &m.session.announced
	if said.rate == 0 {
		said = &m.domain.announced
	}
	if x.hasSelector {
		if rate, known := said.samplers[x.selector]; known {
			return rate
		}
		if x.selector == 0 {
			return 1
		}
	}
	return said.rate
}

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
