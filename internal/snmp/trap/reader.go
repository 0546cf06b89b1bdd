package trap

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/ber"
)

// Reader decodes messages with gosnmp. Each message is read with parameters of its own,
// since those of SNMPv3 belong to one engine. It is safe for concurrent use.
type Reader struct {
	users  map[string][]user // of SNMPv3, by name
	engine string            // our own, to which informs are sent
	boots  int64             // of our engine
	began  time.Time
	now    func() time.Time
	clocks clocks

	mu      sync.Mutex // guards what follows
	unknown uint32     // usmStatsUnknownEngineIDs
	untimed uint32     // usmStatsNotInTimeWindows
}

// NewReader reads with the credentials of SNMPv3 among those given; the others are left
// out, as versions 1 and 2c prove nothing. seed makes the id of our engine, which has to
// stay the same (RFC 3411, section 5). before is the State of the Reader before this one; who
// reads keeps that of this one from the start on, so that our engine never starts twice with
// the same boots.
func NewReader(credentials []snmp.Credential, seed string, now func() time.Time, before State) *Reader {
	r := &Reader{users: map[string][]user{}, now: now, began: now(), boots: nextBoots(before.Boots, now())}
	r.clocks.restore(before)
	for _, c := range credentials {
		if c.Version == snmp.V3 {
			r.users[c.User] = append(r.users[c.User], newUser(c))
		}
	}
	sum := sha256.Sum256([]byte("amoskys snmp engine\x00" + seed))
	// Enterprise 32473 is for examples (RFC 5612); 5 says that octets follow.
	r.engine = string(append(binary.BigEndian.AppendUint32(nil, 0x80000000|32473), append([]byte{5}, sum[:12]...)...))
	return r
}

// nextBoots are one more than before, and at least the minutes since 1970, so that they go up
// too where the State was lost. A clock that is wrong does no harm.
func nextBoots(before int64, now time.Time) int64 {
	return min(max(before+1, now.Unix()/60, 1), mostBoots-1)
}

// State is what the next Reader has to remember.
func (r *Reader) State() State {
	s := r.clocks.state(r.engine)
	s.Boots = r.boots
	return s
}

// Changes goes up when State has changed.
func (r *Reader) Changes() uint64 { return r.clocks.changes() }

// time is snmpEngineTime of our engine, in seconds.
func (r *Reader) time() int64 { return max(0, int64(r.now().Sub(r.began)/time.Second)) }

// Decode reads a message, which it does not keep. reply is what is sent back, nil for
// nothing; where the trap has no OID the message only asked for our engine, or its time. The
// error wraps ErrMalformed, ErrNoCredential or ErrReplayed; an inform that comes again is
// confirmed all the same, as its sender may not have heard that it came.
func (r *Reader) Decode(b []byte) (t Trap, reply []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil { // gosnmp, of a message that it did not expect
			t, reply, err = Trap{}, nil, fmt.Errorf("%w: %v", ErrMalformed, cause)
		}
	}()
	h, ok := peek(b)
	if !ok {
		return Trap{}, nil, ErrMalformed
	}
	if h.version == 3 {
		return r.decodeV3(b, h)
	}
	x := &gosnmp.GoSNMP{Version: gosnmp.SnmpVersion(h.version)}
	p, err := x.UnmarshalTrap(b, false)
	if err != nil {
		return Trap{}, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if t, err = readTrap(p); err != nil {
		return Trap{}, nil, err
	}
	if t.Inform {
		reply, err = confirm(p)
	}
	return t, reply, err
}

// decodeV3 reads a message of SNMPv3, or answers one that asks for our engine.
func (r *Reader) decodeV3(b []byte, h head) (Trap, []byte, error) {
	if h.reportable && h.engine != r.engine { // RFC 3414, section 3.2, 3b: an inform, or the question who we are
		reply, err := r.report(h)
		return Trap{}, reply, err
	}
	for i := range r.users[h.user] {
		c := &r.users[h.user][i]
		p, err := unmarshalAs(c, h.engine, append([]byte(nil), b...)) // gosnmp blanks the digest in it
		if err != nil {
			continue
		}
		if h.engine == r.engine {
			return r.ours(p, h, c, fingerprintOf(b))
		}
		t, err := readTrap(p)
		switch {
		case err != nil:
			return Trap{}, nil, err
		case t.Inform: // which does not want to know who we are
			return Trap{}, nil, ErrMalformed
		}
		if t.Verified = c.Auth != snmp.NoAuth; t.Verified && !r.clocks.accept(h.engine, h.boots, h.seconds, fingerprintOf(b), r.now()) {
			return Trap{}, nil, ErrReplayed
		}
		t.Engine = []byte(h.engine) // of an inform it is ours
		return t, nil, nil
	}
	return Trap{}, nil, ErrNoCredential
}

// ours reads an opened message to our engine: an inform. One that was sent with another time
// than ours is answered with that, and sent again then (RFC 3414, section 3.2, 7a).
func (r *Reader) ours(p *gosnmp.SnmpPacket, h head, c *user, sum fingerprint) (Trap, []byte, error) {
	proven := c.Auth != snmp.NoAuth
	if early := r.time() - h.seconds; proven && (h.boots != r.boots || early > window || early < -window) {
		if !h.reportable {
			return Trap{}, nil, ErrReplayed
		}
		reply, err := r.untimely(p)
		return Trap{}, reply, err
	}
	t, err := readTrap(p)
	switch {
	case err != nil:
		return Trap{}, nil, err
	case !t.Inform: // a trap bears its sender's engine
		return Trap{}, nil, ErrMalformed
	}
	t.Verified = proven
	reply, err := r.confirmV3(p)
	if err == nil && proven && !r.clocks.once(h.engine, h.boots, h.seconds, sum) {
		return Trap{}, reply, ErrReplayed
	}
	return t, reply, err
}

// unmarshalAs reads a message that names an engine with one credential.
func unmarshalAs(c *user, engine string, b []byte) (*gosnmp.SnmpPacket, error) {
	auth, privacy, flags := usm(c.Credential)
	sp := &gosnmp.UsmSecurityParameters{
		UserName: c.User, AuthoritativeEngineID: engine, AuthenticationProtocol: auth, AuthenticationPassphrase: c.AuthPassword,
		PrivacyProtocol: privacy, PrivacyPassphrase: c.PrivacyPassword,
	}
	sp.SecretKey = c.authKey(engine)
	if c.Auth != snmp.NoAuth && !proves(c.hash, c.digest, sp.SecretKey, b) {
		return nil, ErrNoCredential // before what takes long: see privacyKey
	}
	sp.PrivacyKey = c.privacyKey(engine)
	x := &gosnmp.GoSNMP{Version: gosnmp.Version3, SecurityModel: gosnmp.UserSecurityModel, MsgFlags: flags, SecurityParameters: sp}
	p, err := x.UnmarshalTrap(b, true)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read message: %w", err)
	case p.MsgFlags&gosnmp.AuthPriv != flags:
		return nil, ErrNoCredential // sent in the clear, though it should not be, or unproven
	default:
		return p, nil
	}
}

// usm gives the protocols of a credential as gosnmp calls them.
func usm(c snmp.Credential) (gosnmp.SnmpV3AuthProtocol, gosnmp.SnmpV3PrivProtocol, gosnmp.SnmpV3MsgFlags) {
	auths := map[snmp.Auth]gosnmp.SnmpV3AuthProtocol{
		snmp.NoAuth: gosnmp.NoAuth, snmp.MD5: gosnmp.MD5, snmp.SHA: gosnmp.SHA, snmp.SHA224: gosnmp.SHA224,
		snmp.SHA256: gosnmp.SHA256, snmp.SHA384: gosnmp.SHA384, snmp.SHA512: gosnmp.SHA512,
	}
	privacies := map[snmp.Privacy]gosnmp.SnmpV3PrivProtocol{
		snmp.NoPrivacy: gosnmp.NoPriv, snmp.DES: gosnmp.DES, snmp.AES: gosnmp.AES, snmp.AES192: gosnmp.AES192,
		snmp.AES256: gosnmp.AES256, snmp.AES192Cisco: gosnmp.AES192C, snmp.AES256Cisco: gosnmp.AES256C,
	}
	flags := gosnmp.NoAuthNoPriv
	switch {
	case c.Privacy != snmp.NoPrivacy:
		flags = gosnmp.AuthPriv
	case c.Auth != snmp.NoAuth:
		flags = gosnmp.AuthNoPriv
	}
	return auths[c.Auth], privacies[c.Privacy], flags
}

// head is what stands in front of a message, as far as there is any.
type head struct {
	version        int   // 0 is SNMPv1, 1 is v2c, 3 is v3
	id             int64 // msgID
	reportable     bool  // the sender wants to be told what is wrong
	engine, user   string
	boots, seconds int64
}

// peek reads the head of a message without trusting it further.
func peek(b []byte) (head, bool) {
	body, _, ok := ber.Take(b, ber.Sequence)
	if !ok {
		return head{}, false
	}
	version, body, ok := ber.TakeInteger(body)
	h := head{version: int(version)}
	switch {
	case !ok:
		return head{}, false
	case version == 0 || version == 1:
		return h, true
	case version != 3:
		return head{}, false
	}
	global, body, ok := ber.Take(body, ber.Sequence)
	if ok {
		h.id, h.reportable, ok = globalData(global)
	}
	if ok {
		body, _, ok = ber.Take(body, ber.OctetString)
	}
	if ok {
		body, _, ok = ber.Take(body, ber.Sequence)
	}
	var id, name []byte
	if ok {
		id, body, ok = ber.Take(body, ber.OctetString)
	}
	for _, into := range []*int64{&h.boots, &h.seconds} {
		if ok {
			*into, body, ok = ber.TakeInteger(body)
		}
	}
	if ok {
		name, _, ok = ber.Take(body, ber.OctetString)
	}
	h.engine, h.user = string(id), string(name)
	return h, ok && len(id) <= maxID && len(name) <= maxID && h.boots >= 0 && h.seconds >= 0 && h.boots <= math.MaxInt32 && h.seconds <= math.MaxInt32
}

// maxID is how long an engine's id and a user's name are at most, in octets (SnmpEngineID,
// RFC 3411, section 5; usmUserName, RFC 3414, section 5).
const maxID = 32

// globalData reads msgID and the flag that asks for reports (RFC 3412, section 6).
func globalData(b []byte) (id int64, reportable, ok bool) {
	const flagReportable = 0x04
	if id, b, ok = ber.TakeInteger(b); !ok || id < 0 || id > math.MaxInt32 {
		return 0, false, false
	}
	if _, b, ok = ber.TakeInteger(b); !ok { // msgMaxSize
		return 0, false, false
	}
	flags, _, ok := ber.Take(b, ber.OctetString)
	return id, ok && len(flags) == 1 && flags[0]&flagReportable != 0, ok
}
