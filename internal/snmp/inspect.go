package snmp

import (
	"errors"
	"math"

	"github.com/amoskys/amoskys/internal/snmp/ber"
)

// Bits of msgFlags (RFC 3412, section 6.4).
const (
	flagAuth    = 0x01
	flagPrivacy = 0x02
)

// maxEngineID is the length of the longest engine id, in octets (RFC 3411, section 5,
// SnmpEngineID).
const maxEngineID = 32

// errNotSNMP is the verdict on bytes that are no well-formed message.
var errNotSNMP = errors.New("not a well-formed SNMP message")

// message is what can be seen of one without its keys.
type message struct {
	length    int    // in octets; what follows in the datagram is no part of it
	version   int64  // 0 is 1, 1 is 2c, 3 is 3
	id        int64  // request-id of versions 1 and 2c, msgID of version 3
	engine    []byte // msgAuthoritativeEngineID
	user      []byte
	encrypted bool
	pdu       byte   // tag of the PDU, unless it is encrypted
	report    []byte // encoded OID of the only variable of an unencrypted report
	variables int
	unread    int // of the variables, those whose value was not well-formed
}

// inspect takes a message apart far enough to know that it is whole, that every
// length fits, and what it answers. It accepts only what the library decodes without
// reading past an end. The library refuses a whole message for one value that it cannot
// read: in messages of versions 1 and 2c, which nothing proves, inspect makes a NULL of it.
func inspect(datagram []byte) (message, error) {
	var m message
	body, rest, ok := ber.Take(datagram, ber.Sequence)
	if !ok {
		return m, errNotSNMP
	}
	m.length = len(datagram) - len(rest)
	if m.version, body, ok = ber.TakeInteger(body); !ok {
		return m, errNotSNMP
	}
	switch m.version {
	case 0, 1:
		if _, body, ok = ber.Take(body, ber.OctetString); !ok || !m.readPDU(body, true) {
			return m, errNotSNMP
		}
	case 3:
		if !m.readHeader(body) {
			return m, errNotSNMP
		}
	default:
		return m, errNotSNMP
	}
	return m, nil
}

// readHeader reads a message of version 3 behind its version: global data, security
// parameters of the user-based model, scoped PDU (RFC 3412, section 6; RFC 3414,
// section 2.4).
func (m *message) readHeader(b []byte) bool {
	global, b, ok := ber.Take(b, ber.Sequence)
	if !ok {
		return false
	}
	if m.id, global, ok = ber.TakeInteger(global); !ok {
		return false
	}
	if _, global, ok = ber.TakeInteger(global); !ok { // msgMaxSize
		return false
	}
	flags, global, ok := ber.Take(global, ber.OctetString)
	if !ok || len(flags) != 1 {
		return false
	}
	if model, _, okModel := ber.TakeInteger(global); !okModel || model != 3 {
		return false
	}
	security, b, ok := ber.Take(b, ber.OctetString)
	if !ok || !m.readSecurity(security, flags[0]) {
		return false
	}
	if len(b) > 0 && b[0] == ber.OctetString {
		m.encrypted = true
		_, rest, okData := ber.Take(b, ber.OctetString)
		return okData && len(rest) == 0
	}
	scoped, rest, ok := ber.Take(b, ber.Sequence)
	if !ok || len(rest) != 0 {
		return false
	}
	for range 2 { // contextEngineID, contextName
		if _, scoped, ok = ber.Take(scoped, ber.OctetString); !ok {
			return false
		}
	}
	return m.readPDU(scoped, false)
}

func (m *message) readSecurity(b []byte, flags byte) bool {
	b, rest, ok := ber.Take(b, ber.Sequence)
	if !ok || len(rest) != 0 {
		return false
	}
	if m.engine, b, ok = ber.Take(b, ber.OctetString); !ok || len(m.engine) > maxEngineID {
		return false
	}
	for range 2 { // boots, time
		var n int64
		if n, b, ok = ber.TakeInteger(b); !ok || n < 0 || n > math.MaxInt32 {
			return false
		}
	}
	if m.user, b, ok = ber.Take(b, ber.OctetString); !ok {
		return false
	}
	digest, b, ok := ber.Take(b, ber.OctetString)
	if !ok || flags&flagAuth != 0 && len(digest) < 12 {
		return false
	}
	salt, b, ok := ber.Take(b, ber.OctetString)
	return ok && len(b) == 0 && (flags&flagPrivacy == 0 || len(salt) == 8)
}

// readPDU reads an unencrypted PDU, which is all that is left of b. Those of versions
// 1 and 2c carry the id by which an answer is known.
func (m *message) readPDU(b []byte, identified bool) bool {
	if len(b) == 0 {
		return false
	}
	m.pdu = b[0]
	if m.pdu < ber.GetRequest || m.pdu > ber.Report || m.pdu == ber.TrapV1 { // another shape
		return false
	}
	b, rest, ok := ber.Take(b, m.pdu)
	if !ok || len(rest) != 0 {
		return false
	}
	var id int64
	if id, b, ok = ber.TakeInteger(b); !ok {
		return false
	}
	if identified {
		m.id = id
	}
	for range 2 { // error-status and error-index, or non-repeaters and max-repetitions
		if _, b, ok = ber.TakeInteger(b); !ok {
			return false
		}
	}
	list, rest, ok := ber.Take(b, ber.Sequence)
	if !ok || len(rest) != 0 {
		return false
	}
	return m.readVariables(list)
}

func (m *message) readVariables(list []byte) bool {
	var first []byte
	for len(list) > 0 {
		var pair []byte
		var ok bool
		if pair, list, ok = ber.Take(list, ber.Sequence); !ok {
			return false
		}
		name, value, ok := ber.Take(pair, ber.ObjectID)
		if !ok || len(name) == 0 || len(value) == 0 {
			return false
		}
		content, rest, whole := ber.Take(value, value[0])
		if !whole || len(rest) != 0 {
			return false
		}
		if m.version != 3 && !decodes(value[0], content) {
			value[0] = ber.Null
			m.unread++
		}
		if m.variables == 0 {
			first = name
		}
		m.variables++
	}
	if m.pdu == ber.Report && m.variables == 1 {
		m.report = first
	}
	return true
}

// decodes says whether the library reads the content of a value.
func decodes(tag byte, content []byte) bool {
	switch tag {
	case ber.Integer, ber.Unsigned32:
		return len(content) >= 1 && len(content) <= 8
	case ber.IPAddress:
		return len(content) == 0 || len(content) == 4 || len(content) == 16
	case ber.ObjectID:
		var arcs [ber.MaxArcs]uint32
		_, ok := ber.Arcs(arcs[:0], content)
		return ok || len(content) == 0
	case ber.Opaque:
		return decodesOpaque(content)
	default:
		return true
	}
}

// decodesOpaque is decodes of octets that may be a number with a point, as NET-SNMP has it:
// the tag of an extension, that of the number, its length and its octets (IEEE 754).
func decodesOpaque(content []byte) bool {
	if len(content) < 3 || content[0] != 0x9f {
		return len(content) > 0
	}
	switch Type(content[1]) {
	case Float:
		return len(content) == 3+4 && content[2] == 4
	case Double:
		return len(content) == 3+8 && content[2] == 8
	default:
		return true
	}
}
