package track

// tick is time as timers count it: 2^26 ns, about 67 ms, since the table began. It
// wraps around after nine years, so that two are compared by their difference.
type tick uint32

const (
	tickShift  = 26
	wheelSlots = 1 << 10 // about 69 s
)

// wheel holds records by when to look at them next. A packet moves nothing: it
// notes when it came, and who looks at a record too early puts it back for later.
// What is due farther away than the wheel reaches is looked at once a round.
type wheel struct {
	heads [wheelSlots]uint32
}

// put adds a record to be looked at when due, which is after now.
func (w *wheel) put(r *records, n uint32, now, due tick) {
	if due-now-1 >= 1<<31 { // It is past, or now.
		due = now + 1
	}
	if due-now >= wheelSlots {
		due = now + wheelSlots - 1
	}
	slot := uint16(due % wheelSlots)
	c := r.cold(n)
	c.slot, c.earlier, c.later = slot, 0, w.heads[slot]
	if c.later != 0 {
		r.cold(c.later).earlier = n
	}
	w.heads[slot] = n
}

// remove takes a record out.
func (w *wheel) remove(r *records, n uint32) {
	c := r.cold(n)
	if c.earlier != 0 {
		r.cold(c.earlier).later = c.later
	} else {
		w.heads[c.slot] = c.later
	}
	if c.later != 0 {
		r.cold(c.later).earlier = c.earlier
	}
}

// waiting lists the records that nobody has answered, the oldest first.
type waiting struct{ oldest, newest uint32 }

func (w *waiting) append(r *records, n uint32) {
	c := r.cold(n)
	c.older, c.newer = w.newest, 0
	if w.newest != 0 {
		r.cold(w.newest).newer = n
	} else {
		w.oldest = n
	}
	w.newest = n
}

func (w *waiting) remove(r *records, n uint32) {
	c := r.cold(n)
	if c.older != 0 {
		r.cold(c.older).newer = c.newer
	} else {
		w.oldest = c.newer
	}
	if c.newer != 0 {
		r.cold(c.newer).older = c.older
	} else {
		w.newest = c.older
	}
}
