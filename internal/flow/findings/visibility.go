package findings

import (
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// visibility is what flows tell of how well a capture sees: connections of which both
// directions were seen, and such that must have had two and showed one. What is older
// counts ever less.
type visibility struct {
	both, single float64
}

// fade is how much of a count is left after each connection: about the last 200 count.
const fade = 0.995

// see notes a flow.
func (v *visibility) see(f *track.Flow) {
	if f.Protocol != protoTCP || toMany(f) {
		return
	}
	switch {
	case f.Out.Packets > 0 && f.In.Packets > 0:
		v.both, v.single = v.both*fade+1, v.single*fade
	case f.Out.Packets > 1 && f.Out.Flags&packet.ACK != 0, f.In.Packets > 1 && f.In.Flags&packet.ACK != 0:
		v.both, v.single = v.both*fade, v.single*fade+1
	}
}

// oneWay reports whether only one direction of connections is seen: what looks
// unanswered then says nothing.
func (v *visibility) oneWay() bool { return v.single >= 8 && v.both < v.single/20 }
