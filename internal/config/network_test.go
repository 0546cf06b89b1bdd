package config_test

import (
	"testing"

	"github.com/amoskys/amoskys/internal/config"
)

func TestParseNetwork(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"192.0.2.1", "192.0.2.1/32"},
		{"::ffff:192.0.2.1", "192.0.2.1/32"},
		{"fe80::1%eth0", "fe80::1/128"},
		{"192.0.2.17/28", "192.0.2.16/28"},
		{"2001:db8::1/32", "2001:db8::/32"},
		{"192.0.2.0/33", ""},
		{"gate", ""},
		{"", ""},
	} {
		p, err := config.ParseNetwork(tt.text)
		if (err != nil) != (tt.want == "") || err == nil && p.String() != tt.want {
			t.Errorf("%q: %s, %v; want %q", tt.text, p, err, tt.want)
		}
	}
}
