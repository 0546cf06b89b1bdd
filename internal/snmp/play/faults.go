package play

import "time"

// Faults are the ways in which devices behave badly. OIDs are written without a
// leading dot.
type Faults struct {
	// DropFirst is how many requests are not answered at first, DropEvery leaves
	// every nth one unanswered after them.
	DropFirst, DropEvery int64
	// Delay is how late answers leave.
	Delay time.Duration
	// SilentAbove and TooBigAbove are how many rows a GETBULK may ask for; for
	// more there is no answer, or a tooBig. 0 is any number, -1 none at all.
	SilentAbove, TooBigAbove int
	// NamesAbove is the same for the names in a GET: more are answered by tooBig.
	NamesAbove int
	// SilentBelow is a table of which nothing is answered.
	SilentBelow string
	// LoopBelow is a table in which what follows is always its first variable.
	LoopBelow string
	// EndlessBelow is a table that goes on for ever.
	EndlessBelow string
	// OtherAddress has answers leave from the socket of SendFromElsewhere.
	OtherAddress bool
	// Duplicates is how often an answer is sent once more.
	Duplicates int
	// Garbage is how many datagrams of garbage go before an answer; OnlyGarbage
	// keeps the answer back.
	Garbage     int
	OnlyGarbage bool
	// WrongID has answers carry the id of another request.
	WrongID bool
}

// above reports whether n is more than a limit of Faults.
func above(n, limit int) bool {
	return limit < 0 || limit > 0 && n > limit
}
