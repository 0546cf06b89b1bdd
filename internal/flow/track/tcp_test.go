package track

import "testing"

// TestRetransmissions: what was sent again is told from what came late.
func TestRetransmissions(t *testing.T) {
	for name, tt := range map[string]struct {
		packets string
		want    uint32
	}{
		"none":             {"> A 101 10\n> A 111 10", 0},
		"again":            {"> A 101 10\n> A 101 10", 1},
		"late":             {"> A 101 10\n> A 121 10\n> A 111 10\n> A 131 10", 0},
		"late, then again": {"> A 101 10\n> A 121 10\n> A 111 10\n> A 111 10", 1},
		"two holes":        {"> A 101 10\n> A 121 10\n> A 141 10\n> A 111 10\n> A 131 10\n> A 111 10", 1},
		"middle of a hole": {"> A 101 10\n> A 201 10\n> A 151 10\n> A 111 40\n> A 161 40\n> A 151 10", 1},
		"partly new":       {"> A 101 10\n> A 106 10\n> A 116 10", 1},
		"keep-alive":       {"> A 101 10\n> A 110\n> A 110 1", 0},
		"the question":     {"> S 100\n> A 101 10", 1},
		"the end":          {"> A 101 10\n> FA 111\n> FA 111", 1},
		"the end with one": {"> A 101 10\n> FA 111 1\n> FA 111 1", 1},
		"the end, late":    {"> A 101 10\n> A 113 0\n> FA 111 1", 0},
		"far away":         {"> A 101 10\n> A 3000000000 10\n> A 3000000010 10", 0},
	} {
		f := run(Options{}, script(t, handshake+tt.packets)...).ended[0]
		if f.Out.Retransmissions != tt.want || f.In.Retransmissions != 0 {
			t.Errorf("%s: %d and %d", name, f.Out.Retransmissions, f.In.Retransmissions)
		}
	}
	wraps := "> S 4294967280\n< SA 300\n> A 4294967281\n> A 4294967281 10\n> A 5 10\n> A 4294967291 10\n> A 4294967291 10\n> A 15 5"
	if f := run(Options{}, script(t, wraps)...).ended[0]; f.Out.Retransmissions != 1 {
		t.Errorf("around the end of numbers: %d", f.Out.Retransmissions)
	}
}
