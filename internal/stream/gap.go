package stream

import "fmt"

// Cause says why offsets are gone.
type Cause string

// Causes of gaps.
const (
	// CauseRemoved: retention, or a person, removed them.
	CauseRemoved Cause = "removed"
	// CauseDamaged: what is stored there is not what was written.
	CauseDamaged Cause = "damaged"
	// CauseUnreadable: the disk does not give them back.
	CauseUnreadable Cause = "unreadable"
	// CauseLost: they were there once, and something other than retention took them.
	CauseLost Cause = "lost"
)

// Causes are all of them, for whoever counts by cause.
func Causes() []Cause { return []Cause{CauseRemoved, CauseDamaged, CauseUnreadable, CauseLost} }

// Gap is a range of offsets that a reader passed over. It travels as an error in
// place of an entry, and reading goes on behind it.
type Gap struct { //nolint:errname // what is told of it is its range, not that something failed
	From, To Offset // To is not part of it
	Cause    Cause
	// Reason says for people why, and is what a subscriber is told.
	Reason string
	// Place says where in the log's files, for whoever runs the hub; it may be empty.
	Place string
}

// Error names the range and the reason.
func (g *Gap) Error() string {
	if g.Place == "" {
		return fmt.Sprintf("offsets %d to %d are gone: %s", g.From, g.To-1, g.Reason)
	}
	return fmt.Sprintf("offsets %d to %d are gone: %s (%s)", g.From, g.To-1, g.Reason, g.Place)
}
