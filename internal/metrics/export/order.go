package export

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// The log of the database may hold a sample twice: one that was killed reads the last
// seconds of the hub's log again, and writes them again. And some samples come late. A
// receiver that takes none out of order answers either with 400 to the whole request that
// holds it, so the first are not sent again, and the others go in requests of their own.

// series is what is known of one.
type series struct {
	recent
	labels  labels.Labels
	segment int
	left    bool // it is not sent
}

// order is how a sample stands to those of its series that came before.
type order int

const (
	inOrder order = iota
	late
	again // it is one of them
)

// recent are the times of the last samples of a series.
type recent struct {
	newest int64    // ms
	times  []uint32 // the lower half of each, in the order in which they came; newest is one
}

// Bounds of what is remembered of a series: so many times whatever they are, and so many
// while they are not older than that, before the newest. A database that was killed goes
// back by 20 s.
const (
	recentLeast = 8
	recentMost  = 64
	recentFor   = 60_000 // ms
)

// take notes the time of a sample, in milliseconds, and says how it stands to those before.
func (r *recent) take(at int64) order {
	switch {
	case len(r.times) == 0:
		r.newest = at
	case at > r.newest:
		r.newest = at
	case r.newest-at < math.MaxUint32 && slices.Contains(r.times, uint32(at)):
		return again
	default:
		r.keep(at)
		return late
	}
	r.keep(at)
	return inOrder
}

// keep adds a time, and forgets the oldest where there are too many.
func (r *recent) keep(at int64) {
	old := func() bool { return uint32(r.newest)-r.times[0] > recentFor }
	for len(r.times) >= recentMost || len(r.times) >= recentLeast && old() {
		r.times = slices.Delete(r.times, 0, 1)
	}
	r.times = append(r.times, uint32(at))
}
