package config

import "testing"

func TestSet(t *testing.T) {
	edits := []Edit{{"hub", "host", "hub1"}, {"hub", "port", "5443"}}
	for name, tc := range map[string]struct{ before, want string }{
		"empty":      {"", "hub:\n  port: 5443\n  host: hub1\n"},
		"as written": {"a:\n  host: x\nhub: # ours\n  # where\n  host: localhost # here\n  port: 5000\n\nz:\n  port: 1\n", "a:\n  host: x\nhub: # ours\n  # where\n  host: hub1\n  port: 5443\n\nz:\n  port: 1\n"},
		"in part":    {"hub:\n  proxy: none\nz:\n  host: y\n", "hub:\n  port: 5443\n  host: hub1\n  proxy: none\nz:\n  host: y\n"},
		"no section": {"a:\n  host: x\n", "a:\n  host: x\n\nhub:\n  port: 5443\n  host: hub1\n"},
	} {
		if got := string(Set([]byte(tc.before), edits...)); got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, tc.want)
		}
	}
	if got := string(Set(nil, Edit{"hub", "host", "2001:db8::1"}, Edit{"node", "agents", "[proc, synth]"})); got != "hub:\n  host: \"2001:db8::1\"\n\nnode:\n  agents: [proc, synth]\n" {
		t.Errorf("quoted: %s", got)
	}
}
