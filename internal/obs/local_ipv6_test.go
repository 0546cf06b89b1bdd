package obs

import (
	"net"
	"testing"
)

func TestOnlyIPv6(t *testing.T) {
	six, four := &net.IPNet{IP: net.ParseIP("::1")}, &net.IPNet{IP: net.ParseIP("127.0.0.1")}
	for _, test := range []struct {
		has  []net.Addr
		want bool
	}{{nil, false}, {[]net.Addr{six}, true}, {[]net.Addr{four, six}, false}} {
		if got := onlyIPv6(test.has); got != test.want {
			t.Errorf("%v: %t", test.has, got)
		}
	}
}
