package flow

import (
	"testing"

	"github.com/amoskys/amoskys/internal/flow/track"
)

// TestUnlike: who sends from a port that a scan of this host has is not hidden by it.
func TestUnlike(t *testing.T) {
	for name, c := range map[string]struct {
		protocol uint8
		echo     uint16
		out      track.Side
		hidden   bool
	}{
		"a SYN":                {protoTCP, 0, track.Side{Packets: 1, Bytes: 40}, true},
		"a SYN and its reset":  {protoTCP, 0, track.Side{Packets: 2, Bytes: 80}, true},
		"a request over TCP":   {protoTCP, 0, track.Side{Packets: 4, Bytes: 300, Payload: 100}, false},
		"a question over UDP":  {protoUDP, 0, track.Side{Packets: 2, Bytes: 200, Payload: 144}, true},
		"a talk over UDP":      {protoUDP, 0, track.Side{Packets: 5, Bytes: 300, Payload: 160}, false},
		"a load over UDP":      {protoUDP, 0, track.Side{Packets: 2, Bytes: 2800, Payload: 2744}, false},
		"an echo request":      {1, 7, track.Side{Packets: 3, Bytes: 108, Payload: 24}, true},
		"a long echo request":  {1, 7, track.Side{Packets: 3, Bytes: 3000, Payload: 2916}, false},
		"another ICMP message": {1, 0, track.Side{Packets: 3, Bytes: 3000, Payload: 2916}, true}, // and of no scan
	} {
		var f track.Flow
		f.Protocol, f.EchoID, f.Out = c.protocol, c.echo, c.out
		if got := unlike(&f); (got == "") != c.hidden {
			t.Errorf("%s: %q", name, got)
		}
	}
}
