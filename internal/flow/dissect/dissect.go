// Package dissect says what a flow speaks, by its content, and reads names,
// versions and fingerprints from it.
//
// An Engine looks at the first payloads of each flow until it knows, or has seen
// enough to know that it never will. What it keeps meanwhile is a State, bounded in
// size and given back at the end; what it learnt is Facts.
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
	// Done knows enough: Inspect need not be called again.
	Done
)

// Tuple is what tells a flow from others, as the initiator sees it.
type Tuple struct {
	Src, Dst         packet.Addr
	SrcPort, DstPort uint16
	Protocol         uint8
}
