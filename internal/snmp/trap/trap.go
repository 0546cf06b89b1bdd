// Package trap reads traps and informs of SNMPv1, v2c and v3 (RFC 1157, 3416 and 3414), and
// writes what confirms an inform. It opens no socket: whoever listens hands it datagrams.
//
// Anybody can send a datagram, so all is bounded, and nobody who has not proven who he is
// can cause work: passwords are stretched once, when a Reader is made.
package trap

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gosnmp/gosnmp"

	"github.com/amoskys/amoskys/internal/snmp"
)

// Why a datagram is no trap.
var (
	// ErrMalformed is a datagram that is no well-formed trap or inform.
	ErrMalformed = errors.New("no well-formed trap or inform")
	// ErrNoCredential is a message of SNMPv3 that no credential opens.
	ErrNoCredential = errors.New("a message of SNMPv3 that none of the credentials opens")
	// ErrReplayed is a message of SNMPv3 that was taken before, or is too old.
	ErrReplayed = errors.New("a message of SNMPv3 that came before, or is from before what its sender sent last")
)

// Bounds of what is kept of a trap.
const (
	// MaxValues is how many variables a Trap holds at most.
	MaxValues = 64
	// maxText is how long the text of a value is at most, in bytes.
	maxText = 256
)

// Trap is one trap or inform. Its zero value is none: the message asked for our engine.
type Trap struct {
	// OID says which it is, without a leading dot; empty is no trap at all. Those of SNMPv1
	// have the one that RFC 3584, section 3.1, gives them.
	OID string
	// Name is that of traps of standard MIBs; empty for others.
	Name string
	// Inform says that the sender waits for a confirmation.
	Inform bool
	// Agent is the address that the trap names where it may differ from the sender's: of a
	// device behind a proxy. It proves nothing.
	Agent netip.Addr
	// Engine is that of the sender, of a trap of SNMPv3.
	Engine []byte
	// Uptime is sysUpTime of the sender, 0 where it does not say.
	Uptime time.Duration
	Values []Value
	// LeftOut is how many values were too many.
	LeftOut int
	// Version is "1", "2c" or "3".
	Version string
	// Verified says that SNMPv3 proved who has sent it.
	Verified bool
}

// Value is one variable of a trap, as text of a bounded length.
type Value struct {
	OID  string
	Type snmp.Type
	Text string
}

// Value returns the text of the first variable below an object, such as ifIndex.
func (t *Trap) Value(object string) string {
	i := slices.IndexFunc(t.Values, func(v Value) bool {
		return v.OID == object || len(v.OID) > len(object) && v.OID[:len(object)+1] == object+"."
	})
	if i < 0 {
		return ""
	}
	return t.Values[i].Text
}

// OIDs in traps (RFC 3418, RFC 3584).
const (
	oidSysUpTime   = "1.3.6.1.2.1.1.3.0"
	oidTrapOID     = "1.3.6.1.6.3.1.1.4.1.0"
	oidTraps       = "1.3.6.1.6.3.1.1.5"
	oidTrapAddress = "1.3.6.1.6.3.18.1.3.0"
)

// readTrap makes a trap of a message.
func readTrap(p *gosnmp.SnmpPacket) (Trap, error) {
	t := Trap{Version: map[gosnmp.SnmpVersion]string{gosnmp.Version1: "1", gosnmp.Version2c: "2c", gosnmp.Version3: "3"}[p.Version]}
	switch p.PDUType {
	case gosnmp.Trap:
		t.OID = oidTraps + "." + strconv.Itoa(p.GenericTrap+1)
		if p.GenericTrap < 0 || p.GenericTrap >= 6 { // enterpriseSpecific
			t.OID = bare(p.Enterprise) + ".0." + strconv.Itoa(p.SpecificTrap)
		}
		t.Uptime = time.Duration(p.Timestamp) * 10 * time.Millisecond
		t.Agent, _ = netip.ParseAddr(p.AgentAddress)
	case gosnmp.InformRequest:
		t.Inform = true
	case gosnmp.SNMPv2Trap:
	default:
		return Trap{}, ErrMalformed
	}
	for i := range p.Variables {
		t.note(&p.Variables[i])
	}
	if t.Agent.IsUnspecified() {
		t.Agent = netip.Addr{}
	}
	if t.OID == "" {
		return Trap{}, fmt.Errorf("%w: it does not say which", ErrMalformed)
	}
	t.Name = nameOf(t.OID)
	return t, nil
}

// note takes one variable.
func (t *Trap) note(v *gosnmp.SnmpPDU) {
	oid := bare(v.Name)
	switch oid {
	case oidSysUpTime:
		if ticks, ok := v.Value.(uint32); ok {
			t.Uptime = time.Duration(ticks) * 10 * time.Millisecond
		}
		return
	case oidTrapOID:
		if text, ok := v.Value.(string); ok && len(text) <= maxText {
			t.OID = bare(text)
		}
		return
	case oidTrapAddress:
		if text, ok := v.Value.(string); ok {
			t.Agent, _ = netip.ParseAddr(text)
		}
	}
	if len(t.Values) == MaxValues {
		t.LeftOut++
		return
	}
	t.Values = append(t.Values, Value{OID: oid, Type: snmp.Type(v.Type), Text: textOf(v)})
}

func bare(oid string) string { return strings.TrimPrefix(oid, ".") }

// textOf writes a value for people, at a bounded length.
func textOf(v *gosnmp.SnmpPDU) string {
	text := ""
	switch x := v.Value.(type) {
	case []byte:
		text = snmp.Variable{Type: snmp.OctetString, Value: x[:min(len(x), maxText)]}.Text()
	case string:
		text = bare(x)
	case nil:
	default:
		text = fmt.Sprint(x)
	}
	if len(text) > maxText {
		text = text[:maxText]
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
