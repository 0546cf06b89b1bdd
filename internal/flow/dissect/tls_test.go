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
