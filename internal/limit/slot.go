package limit

import (
	"container/list"
	"time"
)

// Slot is one that is taken.
type Slot struct {
	of      *Slots
	holder  *holder
	since   time.Time
	giveWay func()
	resting bool
	place   *list.Element // in one of the holder's lists, nil when it gives way to nobody
	gone    bool          // released, or given to another
}

// Release gives the slot back. It may be called twice, and after GiveWay.
func (t *Slot) Release() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if !t.gone {
		t.of.remove(t)
	}
}

// Keep makes the slot the holder's until Release. It reports false when the slot
// has been given to another.
func (t *Slot) Keep() (ok bool) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.gone {
		return false
	}
	t.unlist()
	t.of.settle(t.holder)
	return true
}

// Rest says that the slot's holder waits for something to do, so that this one
// gives way before others of its key, and the longest resting one first.
func (t *Slot) Rest() { t.relist(true) }

// Work says that the slot's holder is at work again.
func (t *Slot) Work() { t.relist(false) }

// Move gives the slot to another key, which has proven to be behind it. On
// ErrShare it stays where it was.
func (t *Slot) Move(key string, known bool, most int) error {
	s := t.of
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.gone || t.holder.key == key && t.holder.known == known {
		return nil
	}
	h := s.holderOf(Claim{Key: key, Known: known})
	if h != t.holder && most > 0 && h.count >= most {
		s.settle(h)
		return ErrShare
	}
	listed := t.place != nil
	s.remove(t)
	t.gone, t.holder = false, s.holderOf(Claim{Key: key, Known: known})
	s.put(t)
	if !listed {
		t.unlist()
	}
	return nil
}

func (t *Slot) relist(resting bool) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.resting == resting {
		return
	}
	listed := t.place != nil
	t.unlist()
	t.resting = resting
	if listed {
		t.list()
		t.of.settle(t.holder)
	}
}

// list puts the slot among those that give way. Its place in the order is that of
// its age, but for resting ones, which are ordered by when they began to rest.
func (t *Slot) list() {
	if t.giveWay == nil {
		return
	}
	if t.resting {
		t.place = t.holder.resting.PushBack(t)
		return
	}
	l := &t.holder.working
	for e := l.Back(); e != nil; e = e.Prev() {
		if !e.Value.(*Slot).since.After(t.since) {
			t.place = l.InsertAfter(t, e)
			return
		}
	}
	t.place = l.PushFront(t)
}

func (t *Slot) unlist() {
	if t.place == nil {
		return
	}
	t.holder.working.Remove(t.place)
	t.holder.resting.Remove(t.place)
	t.place = nil
}
