package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store/vlogs"
	"github.com/amoskys/amoskys/internal/stream"
)

// A storage node that is slow keeps what it was given in a queue for up to a minute
// (-insert.maxQueueDuration of VictoriaLogs v1.52.1), though whoever gave it has hung up. So
// rows of an insertion that was given up may land when what lies behind the place was
// deleted and given again: they are there twice then. No answer of the node tells, so for a
// while after an insertion was given up each barrier counts what the cluster holds, and
// where that is not what was stored the rows from there on are deleted and read again.

// lateFor is how long what was given up may land: the node's queue twice.
const lateFor = 2 * time.Minute

// givenUp is what may land late. The mutex of view guards it: who notes it is waited for by
// the holder of that of Ingest.
type givenUp struct {
	since time.Time     // when it was given up last, zero: nothing was
	from  stream.Offset // where the place was when it was given up first
}

// errLate says that the cluster holds other rows than were stored.
var errLate = errors.New("the cluster holds other events than were stored, as an insertion that was given up was made all the same: they are deleted and read again")

// isGivenUp reports whether an insertion that ended so may be made all the same.
func isGivenUp(err error) bool {
	return errors.Is(err, vlogs.ErrAway) || errors.Is(err, vlogs.ErrBroken)
}

// noteGivenUp notes that an insertion behind the place may be made late.
func (in *Ingest) noteGivenUp() {
	if !in.o.Refill {
		return // rows of a process of ours end with it
	}
	in.view.Lock()
	defer in.view.Unlock()
	late := &in.view.late
	if late.since.IsZero() || in.view.place.Offset < late.from {
		late.from = in.view.place.Offset
	}
	late.since = in.o.now()
}

// givenUp is what may land late now; its time is zero where nothing may.
func (in *Ingest) givenUp() givenUp {
	in.view.Lock()
	defer in.view.Unlock()
	return in.view.late
}

// lookForLate counts what the cluster holds, for as long as something may land late. The
// caller holds mu and gate, behind a barrier; p is the place that is to be.
func (in *Ingest) lookForLate(ctx context.Context, p *Place) error {
	late := in.givenUp()
	if late.since.IsZero() {
		return nil
	}
	want := uint64(0)
	for _, n := range p.Days {
		want += n
	}
	have, err := in.count(ctx, "*")
	if err != nil {
		return fmt.Errorf("look whether an insertion that was given up was made: %w", err)
	}
	in.view.Lock()
	if in.view.late == late && in.o.now().Sub(late.since) > lateFor {
		in.view.late = givenUp{} // nothing comes any more: what differs now is looked at once
	}
	in.view.Unlock()
	if have == want {
		return nil
	}
	in.o.Logger.WarnContext(ctx, "the store's cluster holds other events than were stored", obs.KeyEvents, have, "stored", want, obs.KeyOffset, late.from)
	return errLate
}
