package play

import (
	"crypto/hmac"
	"math"
	"net/netip"
	"time"

	"github.com/amoskys/amoskys/internal/snmp/ber"
)

// Bits of msgFlags (RFC 3412, section 6.4).
const (
	flagAuth    = 1
	flagPrivacy = 2
	flagReport  = 4
)

// Last number but one of the counters that reports hold (RFC 3414, section 5).
const (
	unsupportedLevels = 1
	notInTimeWindows  = 2
	unknownUsers      = 3
	unknownEngines    = 4
	wrongDigests      = 5
	decryptionErrors  = 6
)

// timeWindow is how far a message's time may be off (RFC 3414, section 3.2).
const timeWindow = 150 * time.Second

// security is what a scribe needs for version 3.
type security struct {
	pdu  []byte
	salt uint64
}

// secured is a message of version 3 as it came. What it refers to belongs to the
// datagram.
type secured struct {
	id          int64
	flags       byte
	engine      []byte
	boots, time int64
	user        []byte
	digest      []byte
	salt        []byte
	data        []byte // the scoped PDU, perhaps encrypted
}

// answerUser answers a message of version 3 (RFC 3414, section 3.2).
func (s *scribe) answerUser(datagram, body []byte, local netip.Addr) (*Device, []byte) {
	m, ok := parseSecured(body)
	if !ok {
		s.responder.Malformed.Add(1)
		return nil, nil
	}
	d := s.responder.findEngine(local, m.engine)
	if d == nil {
		s.responder.Unknown.Add(1)
		return nil, nil
	}
	if string(m.engine) != string(d.Engine) {
		return d, s.report(d, m, nil, unknownEngines)
	}
	keys := d.keysOf(m.user)
	switch {
	case keys == nil:
		return d, s.report(d, m, nil, unknownUsers)
	case m.flags&(flagAuth|flagPrivacy) != keys.flags:
		return d, s.report(d, m, nil, unsupportedLevels)
	case !keys.authentic(datagram, m.digest):
		return d, s.report(d, m, nil, wrongDigests)
	case keys.flags&flagAuth != 0 && !d.inTime(m):
		return d, s.report(d, m, keys, notInTimeWindows)
	}
	scoped := m.data
	if keys.flags&flagPrivacy != 0 {
		encrypted, _, _ := ber.Take(m.data, ber.OctetString)
		scoped = keys.decrypt(encrypted, m.boots, m.time, m.salt)
	}
	q, ok := s.parseScoped(scoped)
	if !ok {
		if keys.flags&flagPrivacy != 0 {
			return d, s.report(d, m, nil, decryptionErrors)
		}
		s.responder.Malformed.Add(1)
		return nil, nil
	}
	q.version = 3
	pdu, ok := s.reply(d, &q)
	if !ok {
		return nil, nil
	}
	return d, s.secured(d, m, keys, pdu)
}

func parseSecured(body []byte) (secured, bool) {
	var m secured
	global, body, ok := ber.Take(body, ber.Sequence)
	if !ok {
		return m, false
	}
	if m.id, global, ok = ber.TakeInteger(global); !ok {
		return m, false
	}
	if _, global, ok = ber.TakeInteger(global); !ok {
		return m, false
	}
	flags, global, ok := ber.Take(global, ber.OctetString)
	if !ok || len(flags) != 1 {
		return m, false
	}
	m.flags = flags[0]
	if model, _, okModel := ber.TakeInteger(global); !okModel || model != 3 {
		return m, false
	}
	parameters, body, ok := ber.Take(body, ber.OctetString)
	if !ok {
		return m, false
	}
	m.data = body
	if parameters, _, ok = ber.Take(parameters, ber.Sequence); !ok {
		return m, false
	}
	if m.engine, parameters, ok = ber.Take(parameters, ber.OctetString); !ok {
		return m, false
	}
	if m.boots, parameters, ok = ber.TakeInteger(parameters); !ok {
		return m, false
	}
	if m.time, parameters, ok = ber.TakeInteger(parameters); !ok {
		return m, false
	}
	if m.user, parameters, ok = ber.Take(parameters, ber.OctetString); !ok {
		return m, false
	}
	if m.digest, parameters, ok = ber.Take(parameters, ber.OctetString); !ok {
		return m, false
	}
	m.salt, _, ok = ber.Take(parameters, ber.OctetString)
	return m, ok && (m.flags&flagPrivacy == 0 || len(m.salt) == 8)
}

// parseScoped reads an unencrypted scoped PDU.
func (s *scribe) parseScoped(b []byte) (request, bool) {
	var q request
	b, _, ok := ber.Take(b, ber.Sequence)
	if !ok {
		return q, false
	}
	for range 2 { // contextEngineID, contextName
		if _, b, ok = ber.Take(b, ber.OctetString); !ok {
			return q, false
		}
	}
	return q, s.parse(&q, b)
}

// now is the time of the device's engine, in seconds.
func (d *Device) now() int64 {
	return min(int64(time.Since(d.started)/time.Second)+1+d.skew.Load(), math.MaxInt32)
}

func (d *Device) inTime(m secured) bool {
	off := time.Duration(m.time-d.now()) * time.Second
	return m.boots == int64(d.Boots) && off.Abs() <= timeWindow
}

// report writes a report: keys are given where it is authenticated.
func (s *scribe) report(d *Device, m secured, keys *userKeys, counter uint32) []byte {
	if m.flags&flagReport == 0 {
		return nil
	}
	variable := newEntry([]uint32{1, 3, 6, 1, 6, 3, 15, 1, 1, counter, 0}, []byte{ber.Counter32, 1, 1})
	pdu := s.pdu(ber.Report, 0, 0, 0, variable.pair)
	return s.secured(d, m, keys, pdu)
}

// secured writes a message of version 3 that answers m, secured with keys if there
// are some.
func (s *scribe) secured(d *Device, m secured, keys *userKeys, pdu []byte) []byte {
	flags := byte(0)
	if keys != nil {
		flags = keys.flags & m.flags
		if pdu[0] == ber.Report {
			flags &^= flagPrivacy
		}
	}
	scoped := ber.AppendValue(nil, ber.OctetString, d.Engine)
	scoped = append(ber.AppendValue(scoped, ber.OctetString, nil), pdu...)
	scoped = ber.AppendValue(nil, ber.Sequence, scoped)
	boots, seconds := int64(d.Boots), d.now()
	var salt []byte
	if flags&flagPrivacy != 0 {
		s.secure.salt++
		scoped, salt = keys.encrypt(scoped, boots, seconds, s.secure.salt)
		scoped = ber.AppendValue(nil, ber.OctetString, scoped)
	}
	digest := 0
	if flags&flagAuth != 0 {
		digest = keys.digestSize
	}

	parameters := ber.AppendValue(nil, ber.OctetString, d.Engine)
	parameters = ber.AppendInteger(parameters, ber.Integer, boots)
	parameters = ber.AppendInteger(parameters, ber.Integer, seconds)
	parameters = ber.AppendValue(parameters, ber.OctetString, m.user)
	parameters = ber.AppendValue(parameters, ber.OctetString, make([]byte, digest))
	fromEnd := len(scoped) + len(salt) + 2 + digest // of the digest, from the end of the message
	parameters = ber.AppendValue(parameters, ber.OctetString, salt)
	parameters = ber.AppendValue(nil, ber.Sequence, parameters)

	global := ber.AppendInteger(nil, ber.Integer, m.id)
	global = ber.AppendInteger(global, ber.Integer, maxDatagram)
	global = ber.AppendValue(global, ber.OctetString, []byte{flags})
	global = ber.AppendInteger(global, ber.Integer, 3)

	body := ber.AppendInteger(nil, ber.Integer, 3)
	body = ber.AppendValue(body, ber.Sequence, global)
	body = ber.AppendValue(body, ber.OctetString, parameters)
	body = append(body, scoped...)
	message := ber.AppendValue(nil, ber.Sequence, body)
	if digest > 0 {
		at := len(message) - fromEnd
		copy(message[at:at+digest], keys.sign(message))
	}
	return message
}

// keysOf are the keys of a user; nil for one who is not known.
func (d *Device) keysOf(user []byte) *userKeys {
	for i := range d.keys {
		if d.keys[i].user == string(user) {
			return &d.keys[i]
		}
	}
	return nil
}

// authentic checks the digest of a message, which is part of it and is left zeroed.
func (k *userKeys) authentic(datagram, digest []byte) bool {
	if k.flags&flagAuth == 0 {
		return true
	}
	if len(digest) != k.digestSize {
		return false
	}
	told := append([]byte(nil), digest...)
	clear(digest)
	message, _, _ := ber.Take(datagram, ber.Sequence)
	whole := datagram[:cap(datagram)-cap(message)+len(message)]
	return hmac.Equal(told, k.sign(whole))
}
