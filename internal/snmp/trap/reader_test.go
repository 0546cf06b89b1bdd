package trap

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gosnmp/gosnmp"

	"github.com/amoskys/amoskys/internal/snmp"
)

// Objects in traps about links (RFC 2863).
const (
	oidIfIndex = "1.3.6.1.2.1.2.2.1.1"
	oidIfDescr = "1.3.6.1.2.1.2.2.1.2"
)

// monitor is the user of SNMPv3 in tests.
func monitor() snmp.Credential {
	return snmp.Credential{
		Version: snmp.V3, User: "monitor", Auth: snmp.SHA256, AuthPassword: "authpassword", Privacy: snmp.AES, PrivacyPassword: "privpassword",
	}
}

func testReader() *Reader {
	return NewReader([]snmp.Credential{monitor()}, "test", func() time.Time { return time.Unix(1_700_000_000, 0) }, State{})
}

// linkDown are the variables of a trap about a link.
func linkDown() []gosnmp.SnmpPDU {
	return []gosnmp.SnmpPDU{
		{Name: "." + oidSysUpTime, Type: gosnmp.TimeTicks, Value: uint32(12345)},
		{Name: "." + oidTrapOID, Type: gosnmp.ObjectIdentifier, Value: "." + oidTraps + ".3"},
		{Name: "." + oidIfIndex + ".7", Type: gosnmp.Integer, Value: 7},
		{Name: "." + oidIfDescr + ".7", Type: gosnmp.OctetString, Value: []byte("Gi7")},
	}
}

// message makes a message as a device of this version sends it: a trap by its own clock, an
// inform by that of testReader.
func message(t testing.TB, version gosnmp.SnmpVersion, kind gosnmp.PDUType, engine string) []byte {
	t.Helper()
	boots, seconds := uint32(3), uint32(99)
	if engine == testReader().engine {
		boots = uint32(testReader().boots)
	}
	return messageAt(t, version, kind, engine, boots, seconds)
}

// messageAt is message by the clock of an engine.
func messageAt(t testing.TB, version gosnmp.SnmpVersion, kind gosnmp.PDUType, engine string, boots, seconds uint32) []byte {
	t.Helper()
	p := &gosnmp.SnmpPacket{Version: version, Community: "any", PDUType: kind, RequestID: 5, MsgID: 6, MsgMaxSize: 65507, Variables: linkDown()}
	switch {
	case kind == gosnmp.Trap:
		p.SnmpTrap = gosnmp.SnmpTrap{Enterprise: ".1.3.6.1.4.1.9.1.1", AgentAddress: "192.0.2.9", GenericTrap: 2, Timestamp: 12345}
		p.Variables = linkDown()[2:]
	case version == gosnmp.Version3:
		auth, privacy, flags := usm(monitor())
		p.SecurityModel, p.MsgFlags, p.ContextEngineID = gosnmp.UserSecurityModel, flags, engine
		if kind == gosnmp.InformRequest {
			p.MsgFlags |= gosnmp.Reportable
		}
		sp := &gosnmp.UsmSecurityParameters{
			UserName: "monitor", AuthoritativeEngineID: engine, AuthoritativeEngineBoots: boots, AuthoritativeEngineTime: seconds,
			AuthenticationProtocol: auth, AuthenticationPassphrase: "authpassword", PrivacyProtocol: privacy, PrivacyPassphrase: "privpassword",
		}
		if err := sp.InitSecurityKeys(); err != nil {
			t.Fatal(err)
		}
		p.SecurityParameters = sp
		if err := sp.InitPacket(p); err != nil {
			t.Fatal(err)
		}
	}
	b, err := p.MarshalMsg()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func trapSeeds(t testing.TB) []string {
	t.Helper()
	return []string{
		string(message(t, gosnmp.Version1, gosnmp.Trap, "")), string(message(t, gosnmp.Version2c, gosnmp.SNMPv2Trap, "")),
		string(message(t, gosnmp.Version2c, gosnmp.InformRequest, "")), string(message(t, gosnmp.Version3, gosnmp.SNMPv2Trap, deviceEngine)),
		string(message(t, gosnmp.Version3, gosnmp.InformRequest, testReader().engine)),
	}
}

const deviceEngine = "\x80\x00\x1f\x88\x04switch"

// TestTraps: what each version says comes out the same, and is confirmed where it has to
// be.
func TestTraps(t *testing.T) {
	for _, tt := range []struct {
		name    string
		version gosnmp.SnmpVersion
		kind    gosnmp.PDUType
		engine  string
		want    string
		replies bool
	}{
		{"trap of v1", gosnmp.Version1, gosnmp.Trap, "", "1", false},
		{"trap of v2c", gosnmp.Version2c, gosnmp.SNMPv2Trap, "", "2c", false},
		{"inform of v2c", gosnmp.Version2c, gosnmp.InformRequest, "", "2c", true},
		{"trap of v3", gosnmp.Version3, gosnmp.SNMPv2Trap, deviceEngine, "3", false},
		{"inform of v3", gosnmp.Version3, gosnmp.InformRequest, testReader().engine, "3", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, reply, err := testReader().Decode(message(t, tt.version, tt.kind, tt.engine))
			if err != nil {
				t.Fatal(err)
			}
			want := []Value{{oidIfIndex + ".7", snmp.Integer, "7"}, {oidIfDescr + ".7", snmp.OctetString, "Gi7"}}
			if got.Name != LinkDown || got.Version != tt.want || got.Uptime != 123450*time.Millisecond || (reply != nil) != tt.replies || got.Inform != tt.replies {
				t.Errorf("%+v, reply %x", got, reply)
			}
			if diff := cmp.Diff(want, got.Values); diff != "" {
				t.Error(diff)
			}
			if tt.replies {
				checkReply(t, tt.version, reply)
			}
		})
	}
}

// checkReply reads a confirmation as its sender does.
func checkReply(t *testing.T, version gosnmp.SnmpVersion, reply []byte) {
	t.Helper()
	var p *gosnmp.SnmpPacket
	var err error
	if version == gosnmp.Version3 {
		u := newUser(monitor())
		p, err = unmarshalAs(&u, testReader().engine, reply)
	} else {
		p, err = (&gosnmp.GoSNMP{Version: version}).SnmpDecodePacket(reply)
	}
	if err != nil {
		t.Fatal(err)
	}
	if p.PDUType != gosnmp.GetResponse || p.RequestID != 5 || p.Error != gosnmp.NoError || len(p.Variables) != 4 {
		t.Errorf("reply %+v", p)
	}
}

// TestStrangers: what no credential opens is no trap, nor is anything else.
func TestStrangers(t *testing.T) {
	r := NewReader([]snmp.Credential{{Version: snmp.V3, User: "monitor", Auth: snmp.SHA256, AuthPassword: "wrongpassword", Privacy: snmp.AES, PrivacyPassword: "privpassword"}}, "test", time.Now, State{})
	if _, _, err := r.Decode(message(t, gosnmp.Version3, gosnmp.SNMPv2Trap, deviceEngine)); err == nil {
		t.Error("a wrong password opens")
	}
	// A message without proof, in the name of a user who has a password.
	plain := &gosnmp.SnmpPacket{
		Version: gosnmp.Version3, PDUType: gosnmp.SNMPv2Trap, SecurityModel: gosnmp.UserSecurityModel, MsgMaxSize: 65507, Variables: linkDown(),
		SecurityParameters: &gosnmp.UsmSecurityParameters{UserName: "monitor", AuthoritativeEngineID: deviceEngine, AuthenticationProtocol: gosnmp.NoAuth, PrivacyProtocol: gosnmp.NoPriv},
	}
	b, err := plain.MarshalMsg()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := testReader().Decode(b); err == nil {
		t.Error("a message without proof is taken")
	}
	for _, b := range [][]byte{nil, []byte("hello"), message(t, gosnmp.Version2c, gosnmp.GetRequest, "")} {
		if got, reply, err := testReader().Decode(b); err == nil || reply != nil || got.OID != "" {
			t.Errorf("%.20x: %+v", b, got)
		}
	}
}

// TestEngine: who asks for our engine, as senders of informs do first, is told.
func TestEngine(t *testing.T) {
	ask := &gosnmp.SnmpPacket{
		Version: gosnmp.Version3, PDUType: gosnmp.GetRequest, SecurityModel: gosnmp.UserSecurityModel, MsgFlags: gosnmp.Reportable, MsgMaxSize: 65507, MsgID: 9,
		SecurityParameters: &gosnmp.UsmSecurityParameters{AuthenticationProtocol: gosnmp.NoAuth, PrivacyProtocol: gosnmp.NoPriv},
	}
	b, err := ask.MarshalMsg()
	if err != nil {
		t.Fatal(err)
	}
	got, reply, err := testReader().Decode(b)
	if err != nil || got.OID != "" || reply == nil {
		t.Fatalf("%+v, %x, %v", got, reply, err)
	}
	h, ok := peek(reply)
	if !ok || h.engine != testReader().engine {
		t.Errorf("engine %x", h.engine)
	}
}

// TestInformToAnother: an inform for an engine that is not ours is no trap, and its sender is
// told who we are.
func TestInformToAnother(t *testing.T) {
	got, reply, err := testReader().Decode(message(t, gosnmp.Version3, gosnmp.InformRequest, deviceEngine))
	if err != nil || got.OID != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	if h, ok := peek(reply); !ok || h.engine != testReader().engine || h.id != 6 || h.reportable {
		t.Errorf("reply %+v", h)
	}
}

func FuzzTrap(f *testing.F) {
	for _, s := range trapSeeds(f) {
		f.Add([]byte(s))
	}
	r := testReader()
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := r.Decode(b)
		if err != nil {
			return
		}
		if len(got.Values) > MaxValues {
			t.Fatalf("%d values", len(got.Values))
		}
	})
}

// TestKeys: our keys are those that the library makes, which hashes a megabyte for each.
func TestKeys(t *testing.T) {
	for _, a := range []snmp.Auth{snmp.MD5, snmp.SHA512} {
		for _, p := range []snmp.Privacy{snmp.DES, snmp.AES256, snmp.AES256Cisco} {
			c := snmp.Credential{Version: snmp.V3, User: "u", Auth: a, AuthPassword: "authpassword", Privacy: p, PrivacyPassword: "privpassword1"}
			auth, privacy, _ := usm(c)
			sp := &gosnmp.UsmSecurityParameters{
				UserName: "u", AuthoritativeEngineID: deviceEngine, AuthenticationProtocol: auth, AuthenticationPassphrase: c.AuthPassword,
				PrivacyProtocol: privacy, PrivacyPassphrase: c.PrivacyPassword,
			}
			if err := sp.InitSecurityKeys(); err != nil {
				t.Fatal(err)
			}
			u := newUser(c)
			gotAuth, gotPrivacy := u.authKey(deviceEngine), u.privacyKey(deviceEngine)
			want := sp.PrivacyKey[:min(len(sp.PrivacyKey), privacySize(p))] // DES takes 16 of what there is
			if !bytes.Equal(gotAuth, sp.SecretKey) || !bytes.Equal(gotPrivacy, want) {
				t.Errorf("%s %s: %x %x, want %x %x", a, p, gotAuth, gotPrivacy, sp.SecretKey, want)
			}
		}
	}
}
