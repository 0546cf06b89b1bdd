package snmp

import (
	"os"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/trap"
)

// monitor is the user of SNMPv3 in tests.
func monitor() snmp.Credential {
	return snmp.Credential{
		Version: snmp.V3, User: "monitor", Auth: snmp.SHA256, AuthPassword: "authpassword", Privacy: snmp.AES, PrivacyPassword: "privpassword",
	}
}

// linkDown is a trap or inform of v2c about a link.
func linkDown(t testing.TB, kind gosnmp.PDUType) []byte {
	t.Helper()
	p := &gosnmp.SnmpPacket{
		Version: gosnmp.Version2c, Community: "any", PDUType: kind, RequestID: 5, MsgID: 6, MsgMaxSize: 65507,
		Variables: []gosnmp.SnmpPDU{
			{Name: ".1.3.6.1.2.1.1.3.0", Type: gosnmp.TimeTicks, Value: uint32(12345)},
			{Name: ".1.3.6.1.6.3.1.1.4.1.0", Type: gosnmp.ObjectIdentifier, Value: ".1.3.6.1.6.3.1.1.5.3"},
			{Name: "." + oidIfIndex + ".7", Type: gosnmp.Integer, Value: 7},
			{Name: "." + oidIfDescr + ".7", Type: gosnmp.OctetString, Value: []byte("Gi7")},
		},
	}
	b, err := p.MarshalMsg()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTrapWithoutAnInterface: not every device says which interface it speaks of.
func TestTrapWithoutAnInterface(t *testing.T) {
	t.Parallel()
	got, _ := (&received{Trap: trap.Trap{Name: trap.LinkDown}}).describe("sw1", "")
	if got != "an interface of sw1 is down, it says" {
		t.Errorf("told as %q", got)
	}
}

// TestLargeTrapMemoryRests: what was large is not written again at once, and at the end it is.
func TestLargeTrapMemoryRests(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	k := trapKeeper{dir: t.TempDir(), kept: true, change: 7, at: now, rest: time.Minute}
	r := trap.NewReader(nil, "test", func() time.Time { return now }, trap.State{})
	written := func(keep func(*trap.Reader, time.Time) error, after time.Duration) bool {
		t.Helper()
		if err := keep(r, now.Add(after)); err != nil {
			t.Fatal(err)
		}
		b, err := readState(k.dir, trapsFile)
		if err != nil {
			t.Fatal(err)
		}
		if b != nil {
			if err := os.Remove(k.dir + "/" + trapsFile); err != nil {
				t.Fatal(err)
			}
		}
		return b != nil
	}
	if written(k.keepDue, 59*time.Second) || !written(k.keepDue, time.Minute) {
		t.Error("it is not written after its rest")
	}
	k.change, k.rest = 7, time.Hour
	if !written(k.keep, 2*time.Minute) {
		t.Error("it is not written at the end")
	}
}
