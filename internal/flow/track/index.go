package track

// index finds a flow's record by its key: open addressing with linear probing, one
// word a place, so that most look-ups touch one cache line beside the record's own.
// A place holds the key's hash in its upper half and the record's number in its
// lower; a number is never 0, so a place of 0 is free. It grows by the hashes it
// holds, and removes by moving what follows back, so there are no tombstones.
type index struct {
	places []uint64
	mask   uint32
	used   int
}

const leastPlaces = 1 << 10

func newIndex() index {
	return index{places: make([]uint64, leastPlaces), mask: leastPlaces - 1}
}

func place(hash, number uint32) uint64 { return uint64(hash)<<32 | uint64(number) }

// put adds a number that is not in it.
func (x *index) put(hash, number uint32) {
	if x.used*4 >= len(x.places)*3 {
		x.grow()
	}
	x.used++
	x.settle(place(hash, number))
}

func (x *index) settle(p uint64) {
	at := uint32(p>>32) & x.mask
	for x.places[at] != 0 {
		at = (at + 1) & x.mask
	}
	x.places[at] = p
}

func (x *index) grow() {
	old := x.places
	x.places = make([]uint64, 2*len(old))
	x.mask = uint32(len(x.places) - 1)
	for _, p := range old {
		if p != 0 {
			x.settle(p)
		}
	}
}

// remove takes a number out that is in it.
func (x *index) remove(hash, number uint32) {
	want := place(hash, number)
	at := hash & x.mask
	for x.places[at] != want {
		at = (at + 1) & x.mask
	}
	x.used--
	for next := (at + 1) & x.mask; x.places[next] != 0; next = (next + 1) & x.mask {
		// What lies between its own place and next may move back to at, unless its own
		// place lies behind at.
		home := uint32(x.places[next]>>32) & x.mask
		if (next-home)&x.mask >= (next-at)&x.mask {
			x.places[at] = x.places[next]
			at = next
		}
	}
	x.places[at] = 0
}
