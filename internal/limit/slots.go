package limit

import (
	"container/heap"
	"errors"
	"sync"
	"time"
)

// Reasons for which a slot is refused.
var (
	// ErrFull says that all slots are taken by others who need not give way.
	ErrFull = errors.New("there is no room")
	// ErrShare says that the key holds as many as one key may.
	ErrShare = errors.New("too many at a time from one")
)

// SlotOptions say how slots are shared. Zero fields bound nothing.
type SlotOptions struct {
	// Slots is how many there are.
	Slots int
	// Share is what a known key holds in safety: only what it has beyond that gives
	// way to others.
	Share int
	// Reserved slots are for known keys alone.
	Reserved int
	// Grace is the age at which a slot gives way to one of the same key, or of a
	// key that has no fewer: that of a client which had its time.
	Grace time.Duration
	// WorkGrace is Grace for slots that do not rest; 0 is the same.
	WorkGrace time.Duration
	Now       func() time.Time // time.Now
}

// Slots shares a number of slots among keys. While some are free everybody may
// have them. When none is, this table says whose makes room, always its longest
// resting one, else its oldest:
//
//	who asks   whose slot it takes
//	known      the key that has most, if that is more than the asking one would
//	           have; else the unknown key that has most
//	unknown    the key that has most, if that is more than the asking one would
//	           have; known keys count only with more than their share
//	anybody    the same, if it has as many as the asking one would have and the
//	           slot is older than Grace; else its own that is older than Grace
//
// Whoever finds none is refused.
type Slots struct {
	o SlotOptions

	mu      sync.Mutex // guards what follows, and all of holders and their slots
	taken   int
	unknown int                // slots of unknown keys
	byKey   map[string]*holder // those that hold one at least
	most    [2]holders         // unknown and known ones
}

// NewSlots returns slots of which none is taken.
func NewSlots(o SlotOptions) *Slots {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Slots{o: o, byKey: map[string]*holder{}}
}

// Claim is who asks for a slot.
type Claim struct {
	Key   string
	Known bool
	// Most bounds how many the key may hold; 0 is as many as there are.
	Most int
	// GiveWay is called when the slot has been given to another, which happens once
	// at most, from another goroutine, and never after Release. It must not block.
	// Without it the slot is the holder's until Release.
	GiveWay func()
}

// Take takes a slot. The error is ErrFull or ErrShare.
func (s *Slots) Take(c Claim) (*Slot, error) {
	s.mu.Lock()
	h := s.holderOf(c)
	if c.Most > 0 && h.count >= c.Most {
		s.settle(h)
		s.mu.Unlock()
		return nil, ErrShare
	}
	var loser *Slot
	if s.isFull(h) {
		if loser = s.victim(h); loser == nil {
			s.settle(h)
			s.mu.Unlock()
			return nil, ErrFull
		}
		s.remove(loser)
	}
	slot := &Slot{of: s, holder: h, since: s.o.Now(), giveWay: c.GiveWay}
	s.put(slot)
	s.mu.Unlock()
	if loser != nil {
		loser.giveWay()
	}
	return slot, nil
}

// Taken returns how many slots are taken.
func (s *Slots) Taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// Held returns how many slots a key holds.
func (s *Slots) Held(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.byKey[key]; h != nil {
		return h.count
	}
	return 0
}

func (s *Slots) isFull(h *holder) bool {
	if s.o.Slots <= 0 {
		return false
	}
	return s.taken >= s.o.Slots || !h.known && s.strangersHaveTheirs()
}

func (s *Slots) strangersHaveTheirs() bool { return s.unknown >= s.o.Slots-s.o.Reserved }

// victim returns the slot that makes room for one of h, or nil.
func (s *Slots) victim(h *holder) *Slot {
	u, k := s.most[0].first(), s.most[1].first()
	if k != nil && !h.known && (k.count <= s.o.Share || s.strangersHaveTheirs()) {
		k = nil // it is safe from strangers, or they may have no more in all
	}
	v := larger(u, k)
	switch {
	case v == nil:
		return nil
	case h.known && u != nil && (v == u || v.count <= h.count+1):
		return u.next()
	case v != h && (v.count > h.count+1 || v.count > h.count && s.aged(v.next())):
		return v.next()
	}
	if own := h.next(); own != nil && s.aged(own) {
		return own
	}
	return nil
}

// aged says that a slot has had its time.
func (s *Slots) aged(t *Slot) bool {
	grace := s.o.Grace
	if !t.resting && s.o.WorkGrace > 0 {
		grace = s.o.WorkGrace
	}
	return grace > 0 && s.o.Now().Sub(t.since) >= grace
}

func larger(a, b *holder) *holder {
	if a == nil || b != nil && b.count > a.count {
		return b
	}
	return a
}

// holderOf finds a key's holder, or makes one, and notes whether it is known.
func (s *Slots) holderOf(c Claim) *holder {
	h := s.byKey[c.Key]
	if h == nil {
		h = &holder{key: c.Key, known: c.Known, at: -1}
		s.byKey[c.Key] = h
		return h
	}
	if h.known != c.Known {
		s.pull(h)
		if h.known = c.Known; c.Known {
			s.unknown -= h.count
		} else {
			s.unknown += h.count
		}
		s.settle(h)
	}
	return h
}

func (s *Slots) put(t *Slot) {
	h := t.holder
	s.byKey[h.key] = h
	t.list()
	h.count++
	s.taken++
	if !h.known {
		s.unknown++
	}
	s.settle(h)
}

func (s *Slots) remove(t *Slot) {
	h := t.holder
	t.unlist()
	t.gone = true
	h.count--
	s.taken--
	if !h.known {
		s.unknown--
	}
	s.settle(h)
}

// settle puts a holder where its count belongs, and forgets it when it has none.
func (s *Slots) settle(h *holder) {
	switch {
	case h.count == 0:
		s.pull(h)
		delete(s.byKey, h.key)
	case h.at < 0:
		heap.Push(s.heapOf(h), h)
	default:
		heap.Fix(s.heapOf(h), h.at)
	}
}

func (s *Slots) pull(h *holder) {
	if h.at >= 0 {
		heap.Remove(s.heapOf(h), h.at)
	}
}

func (s *Slots) heapOf(h *holder) *holders {
	if h.known {
		return &s.most[1]
	}
	return &s.most[0]
}
