package snmp

import (
	"testing"

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
