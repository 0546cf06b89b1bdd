package dissect

import (
	"math/rand/v2"
	"testing"
)

// TestRandomPayloads: bytes without meaning are no protocol. Of 100,000 flows on any
// ports at most 5 may be named with certainty by chance.
func TestRandomPayloads(t *testing.T) {
	const flows, allowed = 100_000, 5
	r := rand.New(rand.NewPCG(7, 11))
	e := New(Options{})
	data := make([]byte, 1400)
	named := map[string]int{}
	total := 0
	for i := range flows {
		tuple := Tuple{SrcPort: uint16(r.Uint32()), DstPort: uint16(r.Uint32()), Protocol: ipTCP}
		if i%2 == 0 {
			tuple.Protocol = ipUDP
		}
		if i%4 == 0 { // Ports on which something is usual.
			tuple.DstPort = uint16(r.Uint32N(1024))
		}
		var messages []message
		for k := range 1 + r.IntN(3) {
			n := 1 + r.IntN(200)
			for j := range n {
				data[j] = byte(r.Uint32())
			}
			messages = append(messages, message{Direction(k % 2), append([]byte(nil), data[:n]...)})
		}
		if f := play(e, tuple, messages, 1<<16); f != nil && f.App != "" && f.Confidence == 1 {
			named[f.App]++
			total++
		}
	}
	if total > allowed {
		t.Errorf("%d of %d named: %v", total, flows, named)
	}
	if s := e.Stats(); s.Flows != 0 || s.Buffered != 0 {
		t.Errorf("something is still held: %+v", s)
	}
}
