package live

import (
	"cmp"
	"container/heap"
	"math"
	"slices"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// place is where an event stands in the order of answers: by its own time, as what
// a host sent late did not happen late, and of equal times by the log.
type place struct {
	time   int64
	offset uint64
}

func (p place) compare(other place) int {
	return cmp.Or(cmp.Compare(p.time, other.time), cmp.Compare(p.offset, other.offset))
}

// isBehind says that an event at another place comes on a later page.
func (p place) isBehind(other place) bool { return other.compare(p) < 0 }

// placeOf returns where the event of an offset stands; 0 is before all. Behind one
// that is not kept any more, what came before it is gone too: no page follows.
func placeOf(views []blockView, offset uint64) place {
	if offset == 0 {
		return place{math.MaxInt64, math.MaxUint64}
	}
	for i := range views {
		entries := views[i].entries
		at, found := slices.BinarySearchFunc(entries, offset, func(e entry, offset uint64) int { return cmp.Compare(e.offset, offset) })
		if found {
			return place{entries[at].time, offset}
		}
	}
	return place{math.MinInt64, offset}
}

// hit is an event that was found.
type hit struct {
	place
	view *blockView
	i    int
}

// hits are the newest found so far, the oldest of them on top of a heap.
type hits []hit

func (h hits) Len() int           { return len(h) }
func (h hits) Less(i, j int) bool { return h[i].compare(h[j].place) < 0 }
func (h hits) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *hits) Push(x any) { *h = append(*h, x.(hit)) } //nolint:forcetypeassert // keep pushes hits

// Pop implements heap.Interface; nothing calls it, as the oldest is replaced.
func (h *hits) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// keep takes a hit, if it is among the newest limit ones.
func (h *hits) keep(one hit, limit int) {
	switch {
	case len(*h) < limit:
		heap.Push(h, one)
	case (*h)[0].compare(one.place) < 0:
		(*h)[0] = one
		heap.Fix(h, 0)
	}
}

// stored returns the events of a page, newest first.
func (s *search) stored() []*pb.StoredEvent {
	slices.SortFunc(s.hits, func(a, b hit) int { return b.compare(a.place) })
	events := make([]*pb.StoredEvent, min(len(s.hits), s.limit))
	for i := range events {
		h := s.hits[i]
		events[i] = h.view.stored(&h.view.entries[h.i])
	}
	return events
}
