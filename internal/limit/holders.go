package limit

import "container/list"

// holder is a key with its slots.
type holder struct {
	key     string
	known   bool
	count   int
	at      int       // place in its heap, -1 outside
	working list.List // of *Slot, oldest first: those that may give way
	resting list.List // of *Slot, longest resting first
}

// next returns the slot that would give way first, or nil.
func (h *holder) next() *Slot {
	for _, l := range []*list.List{&h.resting, &h.working} {
		if e := l.Front(); e != nil {
			return e.Value.(*Slot)
		}
	}
	return nil
}

// holders is a heap: first is who has most, and of equal ones whose next slot is
// the oldest.
type holders []*holder

// first returns who has most of those that have a slot which gives way, or nil.
func (h holders) first() *holder {
	if len(h) == 0 {
		return nil
	}
	if h[0].next() != nil {
		return h[0]
	}
	var best *holder
	for _, one := range h {
		if one.next() != nil {
			best = larger(best, one)
		}
	}
	return best
}

func (h holders) Len() int { return len(h) }

func (h holders) Less(i, j int) bool {
	if h[i].count != h[j].count {
		return h[i].count > h[j].count
	}
	a, b := h[i].next(), h[j].next()
	return a != nil && (b == nil || a.since.Before(b.since))
}

func (h holders) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push is heap.Interface's.
func (h *holders) Push(x any) {
	one := x.(*holder)
	one.at = len(*h)
	*h = append(*h, one)
}

// Pop is heap.Interface's.
func (h *holders) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	last.at = -1
	return last
}
