package collect

const (
	// variable is the length of a field whose records say how long it is (RFC 7011,
	// section 7).
	variable = 65535
	// reversePEN is the enterprise number of reverse information elements (RFC 5103,
	// section 6.1).
	reversePEN = 29305
	// reversed marks an element as that of the other direction.
	reversed = uint16(0x8000)
	// skipped is the element of fields that are not read.
	skipped = uint16(0)
)

// field is one field of a template: IANA's number of the element, with reversed or
// not, and its length in bytes.
type field struct{ element, length uint16 }

// template says how records lie in a set.
type template struct {
	fields   []field
	shortest int // bytes of the shortest record
	// fixed says that all records are that long.
	fixed   bool
	options bool
	// flow says that records name two addresses; both that they count both directions.
	flow, both bool
}

// complete works out what the fields say together, and reports whether records can
// be read: one of no length would never end, and with fields of no length, which neither
// format has, each byte of a set could cost the reading of thousands of fields.
func (t *template) complete() bool {
	t.fixed = true
	var src, dst, empty bool
	for _, f := range t.fields {
		if f.length == variable {
			t.shortest++
			t.fixed = false
		} else {
			t.shortest += int(f.length)
			empty = empty || f.length == 0
		}
		switch f.element {
		case ieSrcIPv4, ieSrcIPv6:
			src = true
		case ieDstIPv4, ieDstIPv6:
			dst = true
		case ieOctets | reversed, iePackets | reversed, ieOctetsTotal | reversed, iePacketsTotal | reversed, ieResponderOctets, ieResponderPackets:
			t.both = true
		}
	}
	t.flow = src && dst && !t.options
	return t.shortest > 0 && !empty
}

// learn keeps a template and reads what waited for it.
func (m *message) learn(id uint16, t *template) {
	c, ex := m.collector, m.exporter
	key := templateKey{m.session.key, id}
	if id < 256 || !t.complete() || len(t.fields) > c.o.MaxFields {
		c.stats.TemplatesRefused++
		ex.own.drop(key) // nothing is sent by the one before it any more
		key.port = 0
		ex.any.drop(key)
		return
	}
	gone := *ex.own.evicted + *ex.any.evicted
	kept := ex.own.put(key, t, m.received)
	if key.port != 0 {
		key.port = 0
		last := ex.any.put(key, t, m.received)
		kept = kept || last
	}
	c.stats.TemplatesEvicted += *ex.own.evicted + *ex.any.evicted - gone
	if !kept {
		c.stats.TemplatesRefused++
		return
	}
	c.stats.Templates++
	m.release(key, t)
}

// templates9 reads a template set of v9 (RFC 3954, section 5.2).
func (m *message) templates9(b []byte) bool {
	for len(b) >= 4 {
		id, count := be16(b), int(be16(b[2:]))
		if id == 0 && count == 0 { // padding
			return true
		}
		b = b[4:]
		if count*4 > len(b) {
			return false
		}
		m.learn(id, &template{fields: fields9(b[:count*4])})
		b = b[count*4:]
	}
	return true
}

// options9 reads an options template set of v9 (RFC 3954, section 6.1). Scopes are
// numbered otherwise than elements and say nothing that is applied.
func (m *message) options9(b []byte) bool {
	for len(b) >= 6 {
		id, scope, options := be16(b), int(be16(b[2:])), int(be16(b[4:]))
		if id == 0 {
			return true
		}
		b = b[6:]
		if scope%4 != 0 || options%4 != 0 || scope+options > len(b) {
			return false
		}
		fields := fields9(b[:scope+options])
		for i := range scope / 4 {
			fields[i].element = skipped
		}
		m.learn(id, &template{fields: fields, options: true})
		b = b[scope+options:]
	}
	return true
}

// fields9 reads field specifiers of v9, which know no enterprise and no variable
// length.
func fields9(b []byte) []field {
	fields := make([]field, 0, len(b)/4)
	for ; len(b) >= 4; b = b[4:] {
		f := field{be16(b), be16(b[2:])}
		if f.element&reversed != 0 {
			f.element = skipped
		}
		if f.length == variable { // It fits into no set, and must not be taken for variable.
			f.length--
		}
		fields = append(fields, f)
	}
	return fields
}

// templates10 reads a template set, or options template set, of IPFIX (RFC 7011,
// section 3.4). A template without fields takes one back.
func (m *message) templates10(b []byte, options bool) bool {
	for len(b) >= 4 {
		id, count := be16(b), int(be16(b[2:]))
		if id == 0 && count == 0 {
			return true
		}
		b = b[4:]
		if count == 0 {
			m.withdraw(id)
			continue
		}
		if options {
			if len(b) < 2 {
				return false
			}
			scopes := int(be16(b))
			if scopes > count {
				return false
			}
			b = b[2:]
		}
		fields, rest, whole := fields10(b, count)
		if !whole {
			return false
		}
		m.learn(id, &template{fields: fields, options: options})
		b = rest
	}
	return true
}

// fields10 reads count field specifiers of IPFIX (RFC 7011, section 3.2).
func fields10(b []byte, count int) (fields []field, rest []byte, whole bool) {
	if count*4 > len(b) {
		return nil, nil, false
	}
	fields = make([]field, 0, count)
	for range count {
		if len(b) < 4 {
			return nil, nil, false
		}
		f := field{be16(b), be16(b[2:])}
		b = b[4:]
		if f.element&reversed != 0 {
			if len(b) < 4 {
				return nil, nil, false
			}
			if be32(b) != reversePEN {
				f.element = skipped
			}
			b = b[4:]
		}
		fields = append(fields, f)
	}
	return fields, b, true
}

// withdraw forgets a template, or all of a kind (RFC 7011, section 8.1). Over UDP
// withdrawals mean nothing (section 8.4): anyone could forge them.
func (m *message) withdraw(id uint16) {
	c, ex := m.collector, m.exporter
	if !c.o.Stream {
		c.stats.TemplatesRefused++
		return
	}
	if id == setTemplates10 || id == setOptions10 {
		ex.own.templates.Each(func(key templateKey, t **template) bool {
			if key.sessionKey != m.session.key || (*t).options != (id == setOptions10) {
				return true
			}
			*ex.own.fields -= len((*t).fields)
			c.stats.TemplatesWithdrawn++
			return false
		})
		return
	}
	if ex.own.drop(templateKey{m.session.key, id}) {
		c.stats.TemplatesWithdrawn++
	}
}
