package enroll

import (
	"crypto/x509"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestReach(t *testing.T) {
	loopback := []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("::1")}
	own := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fe80::1"), netip.MustParseAddr("192.0.2.5")}
	for name, tc := range map[string]struct {
		l          Listening
		addr, note string
	}{
		"an address that is certain": {
			Listening{Cert: &x509.Certificate{DNSNames: []string{"localhost", "hub1"}, IPAddresses: append(loopback, net.ParseIP("192.0.2.5"))}, Addrs: own},
			"192.0.2.5:5000", "",
		},
		"a name": {
			Listening{Cert: &x509.Certificate{DNSNames: []string{"localhost", "hub1", "hub1.example.org"}, IPAddresses: loopback}, Addrs: own},
			"hub1.example.org:5000", "certs renew eventbus --host 192.0.2.5, and use --hub 192.0.2.5:5000",
		},
		"IPv6 alone": {
			Listening{Cert: &x509.Certificate{DNSNames: []string{"hub1"}}, Addrs: []netip.Addr{netip.MustParseAddr("2001:db8::1")}},
			"hub1:5000", "--hub [2001:db8::1]:5000",
		},
		"nothing known":    {Listening{Name: "vm"}, "vm:5000", "cannot be known"},
		"on loopback":      {Listening{Host: "127.0.0.1", Name: "vm", Addrs: own}, "127.0.0.1:5000", "set server.host"},
		"on all addresses": {Listening{Host: "0.0.0.0", Name: "vm"}, "vm:5000", "cannot be known"},
	} {
		tc.l.Port = 5000
		addr, note := tc.l.Reach()
		if addr != tc.addr || (tc.note == "") != (note == "") || !strings.Contains(note, tc.note) {
			t.Errorf("%s: %s, %q; want %s, %q", name, addr, note, tc.addr, tc.note)
		}
	}
}
