// Package dissect says what a flow speaks, by its content, and reads names,
// versions and fingerprints from it.
//
// An Engine looks at the first payloads of each flow until it knows, or has seen
// enough to know that it never will. What it keeps meanwhile is a State, bounded in
// size and given back at the end; what it learnt is Facts.
//
// Of a TCP connection the same is learnt however its two sides' bytes were cut into
// segments: signatures and readers see a direction's bytes only up to places that
// depend on the bytes and on whose turn it was (see turn.go). What cuts still decide
// is where an Engine gives up: after MaxPayloads packets without a name, or 32 of a
// flow that it reads. So the promise holds for connections whose beginning comes in
// at most MaxPayloads packets, and not for Entropy and Lengths, which are of packets.
package dissect

import "github.com/amoskys/amoskys/internal/flow/packet"

// Direction says who sent a packet of a flow.
type Direction uint8

// The directions.
const (
	FromInitiator Direction = iota
	FromResponder
)

// Verdict says whether an Engine wants more of a flow.
type Verdict uint8

// The verdicts.
const (
	// More wants the next payload too.
	More Verdict = iota
	// Enough knows what is worth telling now, and wants more all the same: a
	// question of DNS was answered, and others may follow.
	Enough
	// Done knows enough: Inspect need not be called again.
	Done
)

// Tuple is what tells a flow from others, as the initiator sees it.
type Tuple struct {
	Src, Dst         packet.Addr
	SrcPort, DstPort uint16
	Protocol         uint8
}
