package trap

import (
	"crypto/rand"
	"fmt"

	"github.com/gosnmp/gosnmp"
)

// What a report says (RFC 3414, section 5).
const (
	oidNotInTimeWindows = "1.3.6.1.6.3.15.1.1.2.0" // usmStatsNotInTimeWindows
	oidUnknownEngineIDs = "1.3.6.1.6.3.15.1.1.4.0" // usmStatsUnknownEngineIDs
)

// report tells a sender of informs our engine, as it asks first, or when it takes us for
// another (RFC 3414, section 4). Nothing of its message is opened for that, so that the number
// of its request is not known, and is 0 (RFC 3412, section 7.1, 3c).
func (r *Reader) report(h head) ([]byte, error) {
	r.mu.Lock()
	r.unknown++
	n := r.unknown
	r.mu.Unlock()
	return marshal(&gosnmp.SnmpPacket{
		Version: gosnmp.Version3, MsgID: uint32(h.id), MsgMaxSize: maxMessage, MsgFlags: gosnmp.NoAuthNoPriv, SecurityModel: gosnmp.UserSecurityModel,
		SecurityParameters: &gosnmp.UsmSecurityParameters{
			AuthoritativeEngineID: r.engine, AuthoritativeEngineBoots: uint32(r.boots), AuthoritativeEngineTime: uint32(r.time()),
			AuthenticationProtocol: gosnmp.NoAuth, PrivacyProtocol: gosnmp.NoPriv,
		},
		ContextEngineID: r.engine, PDUType: gosnmp.Report,
		Variables: []gosnmp.SnmpPDU{{Name: "." + oidUnknownEngineIDs, Type: gosnmp.Counter32, Value: n}},
	})
}

// maxMessage is how large a message we take, in octets (RFC 3417, section 3.2).
const maxMessage = 65_507

// confirm is the answer to an inform: the same variables (RFC 3416, section 4.2.7).
func confirm(p *gosnmp.SnmpPacket) ([]byte, error) {
	answer := *p
	answer.PDUType, answer.Error, answer.ErrorIndex = gosnmp.GetResponse, gosnmp.NoError, 0
	answer.MsgFlags &^= gosnmp.Reportable
	return marshal(&answer)
}

// confirmV3 is confirm with the time of our engine, and a salt of its own: two messages that
// share one tell what they have in common.
func (r *Reader) confirmV3(p *gosnmp.SnmpPacket) ([]byte, error) {
	answer := *p
	var err error
	if answer.SecurityParameters, err = r.security(p); err != nil {
		return nil, err
	}
	return confirm(&answer)
}

// untimely tells the sender of a proven message what time it is here. That is proven too, and
// not encrypted.
func (r *Reader) untimely(p *gosnmp.SnmpPacket) ([]byte, error) {
	security, err := r.security(p)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.untimed++
	n := r.untimed
	r.mu.Unlock()
	return marshal(&gosnmp.SnmpPacket{
		Version: gosnmp.Version3, MsgID: p.MsgID, MsgMaxSize: maxMessage, MsgFlags: gosnmp.AuthNoPriv, SecurityModel: gosnmp.UserSecurityModel,
		SecurityParameters: security, ContextEngineID: r.engine, PDUType: gosnmp.Report, RequestID: p.RequestID,
		Variables: []gosnmp.SnmpPDU{{Name: "." + oidNotInTimeWindows, Type: gosnmp.Counter32, Value: n}},
	})
}

// security are the parameters with which a message is answered.
func (r *Reader) security(p *gosnmp.SnmpPacket) (*gosnmp.UsmSecurityParameters, error) {
	from, is := p.SecurityParameters.(*gosnmp.UsmSecurityParameters)
	if !is {
		return nil, ErrMalformed
	}
	s := &gosnmp.UsmSecurityParameters{
		UserName: from.UserName, AuthoritativeEngineID: r.engine, AuthoritativeEngineBoots: uint32(r.boots), AuthoritativeEngineTime: uint32(r.time()),
		AuthenticationProtocol: from.AuthenticationProtocol, AuthenticationPassphrase: from.AuthenticationPassphrase, SecretKey: from.SecretKey,
		PrivacyProtocol: from.PrivacyProtocol, PrivacyPassphrase: from.PrivacyPassphrase, PrivacyKey: from.PrivacyKey,
		PrivacyParameters: make([]byte, saltSize),
	}
	_, _ = rand.Read(s.PrivacyParameters) // It never fails.
	return s, nil
}

// saltSize is that of a message, in octets (RFC 3414, section 8.1.1.1; RFC 3826, section
// 3.1.2.1).
const saltSize = 8

func marshal(p *gosnmp.SnmpPacket) ([]byte, error) {
	b, err := p.MarshalMsg()
	if err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	return b, nil
}
