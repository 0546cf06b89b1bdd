package play

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/snmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	r, err := Parse(strings.NewReader(strings.Join([]string{
		"1.3.6.1.2.1.1.5.0|4|a|b", "1.3.6.1.2.1.1.1.0|4x|6162", "", "# nothing", "1.3.6.1.2.1.1.9.0|64e|\\xc0\\xa8\\x00\\x01\r",
		"1.3.6.1.2.1.1.10.0|4e|\\n\\x00\\\\", "1.3.6.1.2.1.1.5.0|4|too late", "1.3.6.1.2.1.1.6.0|2|-5", "1.3.6.1.2.1.1.8.0|70|18446744073709551615",
		"no line", "1.3.6.1|99|x", "1.3.6.1.3|2|many", "1.3.6.1.<IP>|2|1", "1.3.6.1.4|65|-1", "1.3.6.1.5|64|1.2.3", "1.3.6.1.6|4e|\\q", "1.3.6.1.7|4xx|00",
	}, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = r.Walk(t.Context(), "1.3.6.1", func(v snmp.Variable) error {
		got = append(got, v.OID+" "+v.Type.String()+" "+v.Text())
		return nil
	})
	want := []string{
		"1.3.6.1.2.1.1.1.0 OCTET STRING ab", "1.3.6.1.2.1.1.5.0 OCTET STRING a|b", "1.3.6.1.2.1.1.6.0 INTEGER -5",
		"1.3.6.1.2.1.1.8.0 Counter64 18446744073709551615", "1.3.6.1.2.1.1.9.0 IpAddress 192.168.0.1", "1.3.6.1.2.1.1.10.0 OCTET STRING 0a:00:5c",
	}
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %v\n%s", err, strings.Join(got, "\n"))
	}
	if r.Skipped != 8 || len(r.Faults) != 8 || !strings.HasPrefix(r.Faults[0].Error(), "line 10: ") {
		t.Errorf("%d lines were left out: %v", r.Skipped, r.Faults)
	}
}

// FuzzParse holds that what was read is written and read again as the same.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.snmprec")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(bytes.NewReader(text))
		if err != nil {
			return
		}
		var once, twice bytes.Buffer
		if err := r.Write(&once); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(bytes.NewReader(once.Bytes()))
		if err != nil || again.Skipped != 0 {
			t.Fatalf("%v: %v in %q", err, again.Faults, once.String())
		}
		if err := again.Write(&twice); err != nil || !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Errorf("%v: %q, then %q", err, once.String(), twice.String())
		}
	})
}

// FuzzRequest has any datagram come as a question.
func FuzzRequest(f *testing.F) {
	d := NewDevice("public", load(f, "1.3.6.1.2.1.1.5.0|4|sw-1\n1.3.6.1.2.1.2.2.1.10.1|65|7\n"))
	d.Users = []snmp.Credential{{User: "monitor"}, {User: "auth", Auth: snmp.MD5, AuthPassword: "authent1cation"}}
	d.Break(Faults{EndlessBelow: "1.3.6.1.2.1.9"})
	r, err := New(d)
	if err != nil {
		f.Fatal(err)
	}
	files, err := filepath.Glob("../testdata/messages/*.hex")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		b, err := unescape(hexEscapes(string(text)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s := &scribe{responder: r}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		_, answer := s.answer(append([]byte(nil), datagram...), netip.Addr{})
		if len(answer) > maxDatagram {
			t.Errorf("an answer of %d octets", len(answer))
		}
	})
}

func hexEscapes(text string) string {
	digits := strings.Join(strings.Fields(text), "")
	var b strings.Builder
	for i := 0; i+1 < len(digits); i += 2 {
		b.WriteString("\\x" + digits[i:i+2])
	}
	return b.String()
}

// load reads a recording in which there is no fault.
func load(t testing.TB, text string) *Record {
	t.Helper()
	r, err := Text(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
