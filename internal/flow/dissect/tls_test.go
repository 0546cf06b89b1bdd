package dissect

import (
	"crypto/tls"
	"testing"
)

func TestTLSHandshakes(t *testing.T) {
	for _, c := range []struct {
		name        string
		version     uint16
		want        string
		certificate bool
	}{
		{"1.2 shows its certificate", tls.VersionTLS12, "1.2", true},
		{"1.3 hides it", tls.VersionTLS13, "1.3", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			messages := recordTLS(t, &tls.Config{ServerName: "www.example.com", NextProtos: []string{"h2", "http/1.1"}}, c.version)
			for _, size := range []int{1 << 16, 500, 90} {
				f := play(New(Options{}), tcpTuple(443), messages, size)
				if f == nil || f.TLS == nil || f.App != "tls" {
					t.Fatalf("segments of %d: %+v", size, f)
				}
				got := f.TLS
				if got.SNI != "www.example.com" || got.Version != c.want || len(got.ALPN) != 2 || got.Cipher == "" || got.JA4 == "" || len(got.JA3) != 32 {
					t.Errorf("segments of %d: %+v", size, got)
				}
				if c.certificate && (got.Subject != "CN=www.example.com,O=Example" || !got.SelfSigned || len(got.Names) != 2 || len(got.SHA256) != 64) {
					t.Errorf("segments of %d: certificate %+v", size, got)
				}
			}
		})
	}
}

// TestRecordBehindTheEnd: a handshake record that ends behind what is read of a stream keeps
// nobody at it.
func TestRecordBehindTheEnd(t *testing.T) {
	t.Parallel()
	record := func(kind byte, size int, rest ...byte) []byte {
		b := append([]byte{22, 3, 3, byte(size >> 8), byte(size), kind, 0, byte((size - 4) >> 8), byte(size - 4)}, rest...)
		return append(b, make([]byte, size+5-len(b))...)
	}
	hello := append(append([]byte{3, 3}, make([]byte, 32)...), 0, 0x13, 0x01, 0)
	for name, content := range map[string][]byte{
		"one long hello":     record(2, 17000, hello...),
		"a certificate":      append(record(2, 60, hello...), record(11, 17000)...),
		"a message of none":  append(record(2, 60, hello...), append([]byte{22, 3, 3, 0xff, 0xff, 22}, make([]byte, 20000)...)...),
		"hello of a client":  record(1, 17000, hello...),
		"only heads of them": append([]byte{22, 3, 3, 0x48, 0, 1, 0, 0x47, 0xfc}, make([]byte, 20000)...),
	} {
		for _, dir := range []Direction{FromInitiator, FromResponder} {
			for _, size := range []int{1400, 16384, 600} {
				facts := play(New(Options{}), tcpTuple(443), []message{{dir, content}}, size) // returns
				if facts == nil {
					t.Errorf("%s: no facts", name)
				}
			}
		}
	}
}
