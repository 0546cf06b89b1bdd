package snmp

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
)

// seeds are whole messages in hexadecimal, a file each, spaces and lines free.
func seeds(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/messages/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatal("no seeds", err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if all[filepath.Base(file)], err = hex.DecodeString(strings.Join(strings.Fields(string(text)), "")); err != nil {
			t.Fatal(file, err)
		}
	}
	return all
}

// FuzzAnswer has any datagram come as an answer: what passes inspection is decoded by
// the library without a panic, and a walk over it hands on increasing variables.
func FuzzAnswer(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		m, err := inspect(datagram)
		if err != nil {
			return
		}
		if m.length > len(datagram) {
			t.Fatalf("a message of %d octets in a datagram of %d", m.length, len(datagram))
		}
		datagram = datagram[:m.length]
		for _, c := range []Credential{
			{Community: "public"},
			{Version: V3, User: "monitor", Auth: MD5, AuthPassword: "authent1cation", Privacy: DES, PrivacyPassword: "pr1vacy pr1vacy"},
			{Version: V3, User: "aes", Auth: SHA256, AuthPassword: "authent1cation", Privacy: AES, PrivacyPassword: "pr1vacy pr1vacy"},
			{Version: V3, User: "open"},
		} {
			if (m.version == 3) == (c.version() == V3) {
				decodeAny(t, c, m, datagram)
			}
		}
	})
}

// decodeAny decodes a message as the Client does, which forgives panics of what was
// encrypted: no inspection sees into that.
func decodeAny(t *testing.T, c Credential, m message, datagram []byte) {
	t.Helper()
	defer func() {
		if cause := recover(); cause != nil && !m.encrypted {
			t.Fatalf("the library: %v", cause)
		}
	}()
	library := &gosnmp.GoSNMP{Timeout: time.Second}
	open(library, c)
	answer, err := library.SnmpDecodePacket(append([]byte(nil), datagram...))
	if err != nil {
		return
	}
	variables, err := judge(answer)
	if err != nil {
		return
	}
	w := &walk{root: "1.3", last: "1.3", limits: Limits{}.withDefaults()}
	last := "1.3"
	_ = w.take(variables, func(v Variable) error {
		if CompareOIDs(v.OID, last) <= 0 {
			t.Errorf("%s was handed on behind %s", v.OID, last)
		}
		last = v.OID
		_ = v.Text()
		return nil
	})
}

// FuzzParseOID holds that what is accepted is written in the one form there is.
func FuzzParseOID(f *testing.F) {
	for _, text := range []string{"1.3.6.1", ".1.3.6.1.2.1.4294967295", "1", "1.40", "2.39.0", "", "1..3", "1.3.4294967296", "1.03.6", "+1.3"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		oid, err := ParseOID(text)
		if err != nil {
			return
		}
		again, err := ParseOID(oid)
		arcs, ok := Arcs(oid)
		if err != nil || again != oid || !ok || len(arcs) < 2 {
			t.Errorf("%q became %q, then %q, %v", text, oid, again, err)
		}
	})
}
