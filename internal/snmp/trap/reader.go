package snmp

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gosnmp/gosnmp"

	"github.com/amoskys/amoskys/internal/snmp"
)

var (
	errNotTrap      = errors.New("no well-formed trap or inform")
	errNoCredential = errors.New("a message of SNMPv3 that none of the credentials opens")
)

// Bounds of what is kept of a trap.
const (
	maxTrapValues    = 64
	maxTrapValueText = 256
)

// OIDs of traps (RFC 3418, RFC 3584).
const (
	oidSysUpTime        = "1.3.6.1.2.1.1.3.0"
	oidSnmpTrapOID      = "1.3.6.1.6.3.1.1.4.1.0"
	oidSnmpTraps        = "1.3.6.1.6.3.1.1.5"
	oidTrapAddress      = "1.3.6.1.6.3.18.1.3.0"
	oidUnknownEngineIDs = "1.3.6.1.6.3.15.1.1.4.0"
)

// trapReader decodes messages with gosnmp. Each message is read with parameters of its
// own, since those of SNMPv3 belong to one engine.
type trapReader struct {
	users  map[string][]user // of SNMPv3, by name
	engine string            // our own, to which informs are sent
	began  time.Time
	now    func() time.Time

	mu      sync.Mutex // guards what follows
	unknown uint32     // usmStatsUnknownEngineIDs
}

// newTrapReader reads with the credentials of SNMPv3 among users. seed makes the id of
// our engine, which has to stay the same (RFC 3411, section 5).
func newTrapReader(users []credential, seed string, now func() time.Time) *trapReader {
	r := &trapReader{users: map[string][]user{}, now: now, began: now()}
	for i := range users {
		if c := users[i].Credential; c.Version == snmp.V3 {
			r.users[c.User] = append(r.users[c.User], newUser(c))
		}
	}
	sum := sha256.Sum256([]byte("amoskys snmp engine\x00" + seed))
	// Enterprise 32473 is for examples (RFC 5612); 5 says that octets follow.
	r.engine = string(append(binary.BigEndian.AppendUint32(nil, 0x80000000|32473), append([]byte{5}, sum[:12]...)...))
	return r
}

// decode reads a message. reply is what is sent back, nil for nothing; where the trap has
// no OID the message only asked for our engine.
func (r *trapReader) decode(b []byte) (t trap, reply []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil { // gosnmp, of a message that it did not expect
			t, reply, err = trap{}, nil, fmt.Errorf("%w: %v", errNotTrap, cause)
		}
	}()
	version, engine, user, ok := peek(b)
	if !ok {
		return trap{}, nil, errNotTrap
	}
	if version == 3 {
		return r.decodeV3(b, engine, user)
	}
	x := &gosnmp.GoSNMP{Version: gosnmp.SnmpVersion(version)}
	p, err := x.UnmarshalTrap(b, false)
	if err != nil {
		return trap{}, nil, fmt.Errorf("%w: %w", errNotTrap, err)
	}
	if t, err = readTrap(p); err != nil {
		return trap{}, nil, err
	}
	if t.inform {
		reply, err = confirm(p)
	}
	return t, reply, err
}

// decodeV3 reads a message of SNMPv3, or answers one that asks for our engine.
func (r *trapReader) decodeV3(b []byte, engine, name string) (trap, []byte, error) {
	if len(engine) < 5 { // RFC 3411: it is none; RFC 3414, section 3.2, 3b
		reply, err := r.report(b)
		return trap{}, reply, err
	}
	for i := range r.users[name] {
		c := &r.users[name][i]
		p, err := unmarshalAs(c, engine, append([]byte(nil), b...)) // gosnmp blanks the digest in it
		if err != nil {
			continue
		}
		t, err := readTrap(p)
		if err != nil {
			return trap{}, nil, err
		}
		t.verified = c.Auth != snmp.NoAuth
		if !t.inform {
			t.engine = []byte(engine) // of an inform it is ours
			return t, nil, nil
		}
		if engine != r.engine {
			return trap{}, nil, errNotTrap
		}
		reply, err := confirm(p)
		return t, reply, err
	}
	return trap{}, nil, errNoCredential
}

// unmarshalAs reads a message that names an engine with one credential.
func unmarshalAs(c *user, engine string, b []byte) (*gosnmp.SnmpPacket, error) {
	auth, privacy, flags := usm(c.Credential)
	sp := &gosnmp.UsmSecurityParameters{
		UserName: c.User, AuthoritativeEngineID: engine, AuthenticationProtocol: auth, AuthenticationPassphrase: c.AuthPassword,
		PrivacyProtocol: privacy, PrivacyPassphrase: c.PrivacyPassword,
	}
	sp.SecretKey = c.authKey(engine)
	if c.Auth != snmp.NoAuth && !proves(c.hash, sp.SecretKey, b) {
		return nil, errNoCredential // before what takes long: see privacyKey
	}
	sp.PrivacyKey = c.privacyKey(engine)
	x := &gosnmp.GoSNMP{Version: gosnmp.Version3, SecurityModel: gosnmp.UserSecurityModel, MsgFlags: flags, SecurityParameters: sp}
	p, err := x.UnmarshalTrap(b, true)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read message: %w", err)
	case p.MsgFlags&gosnmp.AuthPriv != flags:
		return nil, errNoCredential // sent in the clear, though it should not be, or unproven
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

// report answers who asks for our engine, as senders of informs do first (RFC 3414,
// section 4).
func (r *trapReader) report(b []byte) ([]byte, error) {
	x := &gosnmp.GoSNMP{
		Version: gosnmp.Version3, SecurityModel: gosnmp.UserSecurityModel,
		SecurityParameters: &gosnmp.UsmSecurityParameters{AuthoritativeEngineID: r.engine, AuthenticationProtocol: gosnmp.NoAuth, PrivacyProtocol: gosnmp.NoPriv},
	}
	p, err := x.UnmarshalTrap(b, false)
	if err != nil || p.MsgFlags&gosnmp.Reportable == 0 {
		return nil, errNotTrap
	}
	r.mu.Lock()
	r.unknown++
	n := r.unknown
	r.mu.Unlock()
	sp := &gosnmp.UsmSecurityParameters{
		AuthoritativeEngineID: r.engine, AuthoritativeEngineBoots: 1, AuthoritativeEngineTime: uint32(r.now().Sub(r.began) / time.Second),
		AuthenticationProtocol: gosnmp.NoAuth, PrivacyProtocol: gosnmp.NoPriv,
	}
	p.PDUType, p.MsgFlags, p.SecurityParameters = gosnmp.Report, gosnmp.NoAuthNoPriv, sp
	p.ContextEngineID = r.engine
	p.Variables = []gosnmp.SnmpPDU{{Name: "." + oidUnknownEngineIDs, Type: gosnmp.Counter32, Value: n}}
	return marshal(p)
}

// confirm is the answer to an inform: the same variables (RFC 3416, section 4.2.7).
func confirm(p *gosnmp.SnmpPacket) ([]byte, error) {
	answer := *p
	answer.PDUType, answer.Error, answer.ErrorIndex = gosnmp.GetResponse, gosnmp.NoError, 0
	answer.MsgFlags &^= gosnmp.Reportable
	return marshal(&answer)
}

func marshal(p *gosnmp.SnmpPacket) ([]byte, error) {
	b, err := p.MarshalMsg()
	if err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	return b, nil
}

// readTrap makes a trap of a message; those of SNMPv1 get the OID that RFC 3584, section
// 3.1, gives them.
func readTrap(p *gosnmp.SnmpPacket) (trap, error) {
	t := trap{version: map[gosnmp.SnmpVersion]string{gosnmp.Version1: "1", gosnmp.Version2c: "2c", gosnmp.Version3: "3"}[p.Version]}
	switch p.PDUType {
	case gosnmp.Trap:
		t.oid = oidSnmpTraps + "." + strconv.Itoa(p.GenericTrap+1)
		if p.GenericTrap < 0 || p.GenericTrap >= 6 { // enterpriseSpecific
			t.oid = bare(p.Enterprise) + ".0." + strconv.Itoa(p.SpecificTrap)
		}
		t.uptime = time.Duration(p.Timestamp) * 10 * time.Millisecond
		t.agent, _ = netip.ParseAddr(p.AgentAddress)
	case gosnmp.InformRequest:
		t.inform = true
	case gosnmp.SNMPv2Trap:
	default:
		return trap{}, errNotTrap
	}
	for i := range p.Variables {
		t.note(&p.Variables[i])
	}
	if t.agent.IsUnspecified() {
		t.agent = netip.Addr{}
	}
	if t.oid == "" {
		return trap{}, fmt.Errorf("%w: it does not say which", errNotTrap)
	}
	t.name = trapName(t.oid)
	return t, nil
}

// note takes one variable.
func (t *trap) note(v *gosnmp.SnmpPDU) {
	oid := bare(v.Name)
	switch oid {
	case oidSysUpTime:
		if ticks, ok := v.Value.(uint32); ok {
			t.uptime = time.Duration(ticks) * 10 * time.Millisecond
		}
		return
	case oidSnmpTrapOID:
		if text, ok := v.Value.(string); ok && len(text) <= maxTrapValueText {
			t.oid = bare(text)
		}
		return
	case oidTrapAddress:
		if text, ok := v.Value.(string); ok {
			t.agent, _ = netip.ParseAddr(text)
		}
	}
	if len(t.values) == maxTrapValues {
		t.leftOut++
		return
	}
	t.values = append(t.values, trapValue{oid, valueText(v)})
}

func bare(oid string) string { return strings.TrimPrefix(oid, ".") }

// valueText writes a value for people, at a bounded length.
func valueText(v *gosnmp.SnmpPDU) string {
	text := ""
	switch x := v.Value.(type) {
	case []byte:
		text = snmp.Variable{Type: snmp.OctetString, Value: x[:min(len(x), maxTrapValueText)]}.Text()
	case string:
		text = bare(x)
	case nil:
	default:
		text = fmt.Sprint(x)
	}
	if len(text) > maxTrapValueText {
		text = text[:maxTrapValueText]
	}
	return strings.ToValidUTF8(strings.Map(printable, text), "·")
}

// printable keeps what a terminal shows as it is.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r == utf8.RuneError {
		return ' '
	}
	return r
}

// peek reads version, engine and user from the head of a message, as far as there are
// any, without trusting it further.
func peek(b []byte) (version int, engine, user string, ok bool) {
	body, ok := within(&b, 0x30)
	if !ok {
		return 0, "", "", false
	}
	v, ok := within(&body, 0x02)
	if !ok || len(v) != 1 {
		return 0, "", "", false
	}
	switch v[0] {
	case 0, 1:
		return int(v[0]), "", "", true
	case 3:
	default:
		return 0, "", "", false
	}
	if _, ok = within(&body, 0x30); !ok { // global data
		return 0, "", "", false
	}
	security, ok := within(&body, 0x04)
	if !ok {
		return 0, "", "", false
	}
	usmBody, ok := within(&security, 0x30)
	if !ok {
		return 0, "", "", false
	}
	id, ok := within(&usmBody, 0x04)
	if !ok || len(id) > 32 {
		return 0, "", "", false
	}
	for range 2 { // boots, time
		if _, ok = within(&usmBody, 0x02); !ok {
			return 0, "", "", false
		}
	}
	name, ok := within(&usmBody, 0x04)
	return 3, string(id), string(name), ok
}

// within takes the content of the value at the front of b, of this tag, and moves b on.
func within(b *[]byte, tag byte) ([]byte, bool) {
	in := *b
	if len(in) < 2 || in[0] != tag {
		return nil, false
	}
	n, head := int(in[1]), 2
	if n > 0x80 && n <= 0x83 {
		octets := n & 0x7f
		if len(in) < 2+octets {
			return nil, false
		}
		n = 0
		for _, x := range in[2 : 2+octets] {
			n = n<<8 | int(x)
		}
		head += octets
	} else if n >= 0x80 {
		return nil, false
	}
	if n > len(in)-head {
		return nil, false
	}
	*b = in[head+n:]
	return in[head : head+n], true
}
