package packet_test

import (
	"net/netip"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

func TestAddr(t *testing.T) {
	for _, c := range []struct {
		ip          string
		is4, toMany bool
	}{
		{"192.0.2.1", true, false},
		{"0.0.0.0", true, false},
		{"223.255.255.255", true, false},
		{"224.0.0.1", true, true},
		{"239.255.255.255", true, true},
		{"240.0.0.1", true, false},
		{"255.255.255.254", true, false},
		{"255.255.255.255", true, true},
		{"::", false, false},
		{"2001:db8::ffff:e000:1", false, false},
		{"::fffe:e000:1", false, false},
		{"fe80::1", false, false},
		{"ff02::1", false, true},
	} {
		ip := netip.MustParseAddr(c.ip)
		a := packet.Addr(ip.As16())
		if a.Is4() != c.is4 || a.ToMany() != c.toMany || a.IP() != ip {
			t.Errorf("%s: Is4 %t, ToMany %t, IP %s", c.ip, a.Is4(), a.ToMany(), a.IP())
		}
		if c.is4 && (packet.Addr4(ip.As4()) != a || a.As4() != ip.As4()) {
			t.Errorf("%s is mapped to %v, and back to %v", c.ip, packet.Addr4(ip.As4()), a.As4())
		}
	}
}
