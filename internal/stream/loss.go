package stream

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNoLoss says that a log has no open loss of an id.
var ErrNoLoss = errors.New("no such open loss")

// Loss is a range of the log that is gone without retention having removed it. It
// stays on record until somebody accepts it.
type Loss struct {
	ID   uint64 // never given twice in one log
	From Offset
	To   Offset // where the log goes on; none of what is between can be read
	// Unknown says that fewer offsets than these may have held events: how far the log
	// reached is not known.
	Unknown  bool
	Noticed  time.Time
	Accepted time.Time // zero while it is open
	Reason   string    // for people
}

// Losses are what a log has lost.
type Losses interface {
	// AcceptLosses takes note of open losses, all when there are no ids: Stat does not
	// show them any more, readers are still told that the range is lost. One id that is
	// none of an open loss is ErrNoLoss, and then nothing is accepted.
	AcceptLosses(ctx context.Context, ids []uint64) ([]Loss, error)
}

// String names the range and the reason.
func (l Loss) String() string {
	switch {
	case l.Unknown || l.To == l.From:
		return fmt.Sprintf("what began at offset %d, how much is not known: %s", l.From, l.Reason)
	case l.To == l.From+1:
		return fmt.Sprintf("offset %d: %s", l.From, l.Reason)
	}
	return fmt.Sprintf("offsets %d to %d: %s", l.From, l.To-1, l.Reason)
}
