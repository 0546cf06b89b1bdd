package admit

// window covers the sequences in (top-WindowSize, top]. Everything in stored is
// also in claimed.
type window struct {
	top             uint64
	claimed, stored bitmap
}

// bitmap has one bit for each sequence of a window, at sequence mod WindowSize.
type bitmap [WindowSize / 64]uint64

func (b *bitmap) has(sequence uint64) bool {
	return b[sequence/64%uint64(len(b))]>>(sequence%64)&1 == 1
}
func (b *bitmap) set(sequence uint64)   { b[sequence/64%uint64(len(b))] |= 1 << (sequence % 64) }
func (b *bitmap) clear(sequence uint64) { b[sequence/64%uint64(len(b))] &^= 1 << (sequence % 64) }

func (w *window) covers(sequence uint64) bool {
	return sequence <= w.top && w.top-sequence < WindowSize
}

// advance moves the window so that it covers sequence, unless that lies behind it.
func (w *window) advance(sequence uint64) {
	if sequence <= w.top {
		return
	}
	if ahead := sequence - w.top; ahead >= WindowSize {
		w.claimed, w.stored = bitmap{}, bitmap{}
	} else {
		for i := range ahead { // not up to sequence, which may be the last number
			w.claimed.clear(sequence - i)
			w.stored.clear(sequence - i)
		}
	}
	w.top = sequence
}

func (w *window) claim(sequence uint64) Verdict {
	w.advance(sequence)
	switch {
	case !w.covers(sequence):
		return Stale
	case w.claimed.has(sequence):
		return Duplicate
	}
	w.claimed.set(sequence)
	return New
}

func (w *window) store(sequence uint64) {
	w.advance(sequence)
	if w.covers(sequence) {
		w.claimed.set(sequence)
		w.stored.set(sequence)
	}
}

func (w *window) release(sequence uint64) {
	if w.covers(sequence) {
		w.claimed.clear(sequence)
	}
}
