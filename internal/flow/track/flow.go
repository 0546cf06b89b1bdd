// Package track makes flows of packets: one record for both directions of a
// conversation, from its first packet until it ends, is idle too long, or must make
// room.
package track

import (
	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
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

// String is the word of the reason in events; empty while the flow goes on.
func (e End) String() string {
	return [...]string{"", "fin", "reset", "idle", "evicted", "shutdown"}[e]
}

// Flow is what is told of a conversation. Who is told must not keep it: it is used
// again for another.
type Flow struct {
	dissect.Tuple // as the initiator sees it
	// ID is what the Community ID is made of. That is a hash, which costs more than all
	// else of a flow: who tells the flow to others makes it, and nobody else.
	ID          entity.FlowID
	First, Last int64 // Unix nanoseconds
	Out, In     Side  // sent by the initiator; sent by the responder
	RTT         int64 // nanoseconds, 0 if unknown
	// State is that of TCP, in the words of Zeek's conn_state; see (*hot).state.
	State string
	End   End
	// Closed says that a side of TCP closed or reset it, and ClosedBy who did first.
	Closed    bool
	ClosedBy  dissect.Direction
	OneSided  bool // only one direction was seen of a protocol that answers
	Midstream bool // the capture began after the connection had
	Interface uint16
	VLAN      uint16 // the innermost
	// EchoID is the id of an exchange of ICMP, such as a ping; 0 in other flows.
	EchoID uint16
	// Tunnels are the headers around the first packet, outermost first; the slice is
	// the Table's.
	Tunnels []packet.Tunnel
	// OuterSrc and OuterDst are the addresses of the outermost IP header around the first
	// packet, zero without one; OuterAt is how many of Tunnels are around it.
	OuterSrc, OuterDst packet.Addr
	OuterAt            uint8
	SrcMAC, DstMAC     packet.MAC
	// Facts are what is known of the content by now; nil where that is nothing.
	Facts *dissect.Facts
}

// ICMP returns type and code of an ICMP flow: of the question where there is one.
// Its ports are then the types of both directions, or type and code.
func (f *Flow) ICMP() (kind, code uint8, is bool) {
	if f.Protocol != protoICMP && f.Protocol != protoICMPv6 {
		return 0, 0, false
	}
	if _, paired := Counterpart(f.Protocol, uint8(f.SrcPort)); paired {
		return uint8(f.SrcPort), 0, true
	}
	return uint8(f.SrcPort), uint8(f.DstPort), true
}
