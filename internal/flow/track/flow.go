// Package track makes flows of packets: one record for both directions of a
// conversation, from its first packet until it ends, is idle too long, or must make
// room.
package track

import (
	"github.com/amoskys/amoskys/internal/flow/dissect"
)

// Side is what one end of a flow sent.
type Side struct {
	Packets, Bytes, Payload uint64 // Bytes are those of IP packets
	Retransmissions         uint32
	Flags                   uint8 // TCP flags seen
}

// End says why a flow ended.
type End uint8

// The reasons, and the word of each in events.
const (
	Alive    End = iota
	Finished     // "fin"
	Reset        // "reset"
	Idle         // "idle"
	Evicted      // "evicted"
	Shutdown     // "shutdown"
)

// Flow is what is told of a conversation. Who is told must not keep it: it is used
// again for another.
type Flow struct {
	dissect.Tuple // as the initiator sees it
	CommunityID   string
	First, Last   int64 // Unix nanoseconds
	Out, In       Side  // sent by the initiator; sent by the responder
	RTT           int64 // nanoseconds, 0 if unknown
	State         string
	End           End
	ClosedBy      dissect.Direction
	OneSided      bool
	Midstream     bool
	Interface     uint16
	VLAN          uint16
	Facts         *dissect.Facts
}
