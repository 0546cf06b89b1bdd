package dissect

// maxHeld is how many segments a direction keeps that came before their turn.
const maxHeld = 6

type heldSegment struct {
	seq  uint32
	data []byte // from a pool
}

// stream puts the beginning of one direction of a TCP connection in order.
//
// Whoever reads looks at view, which is all bytes from the first on. As long as that
// is one segment, view lies in the packet; keep copies what a later segment must
// extend. The first copy of a byte counts (as most receivers have it); a later one
// with other content changes nothing.
type stream struct {
	view    []byte
	buf     []byte // from a pool; view lies in it unless nil
	held    []heldSegment
	first   uint32 // sequence number of view[0]
	started bool   // first is known
	sure    bool   // by a SYN
	broken  bool   // no more can be added: a hole, or no room
	unread  bool   // nobody reads it any more
	pos     uint8  // the signature to be tried next
	shown   int    // how much of view signatures and readers saw
	at      int64  // when view grew last, Unix nanoseconds
	high    uint32 // sequence number behind what came, once nobody reads it
}

func (st *stream) begin(seq uint32) {
	if len(st.view) == 0 {
		st.first, st.started, st.sure = seq, true, true
	}
}

// agree takes the number up to which the other side has what this one sent. Where
// nothing came yet, and the number is far from where the stream was said to begin, a
// SYN with another number was not the one that counted: one of two answers, or of
// somebody else.
func (st *stream) agree(ack uint32) {
	away := int64(int32(ack - st.first))
	if st.started && len(st.view) == 0 && len(st.held) == 0 && (away > maxStream || away < -maxStream) {
		st.first = ack
	}
}

// ended says that nothing will be added to view.
func (st *stream) ended() bool { return st.broken || len(st.view) >= maxStream }

// add takes a segment and reports whether view grew.
func (st *stream) add(p *pool, seq uint32, b []byte, wire uint32) bool {
	if st.unread || st.ended() {
		return false
	}
	if !st.started {
		st.first, st.started = seq, true
	}
	at := int64(int32(seq - st.first)) // where b lies from the start
	have := int64(len(st.view))
	switch {
	case at > have:
		st.hold(p, seq, b)
		return st.resync(p)
	case at < 0 && !st.sure && have+int64(len(b)) <= maxStream && at+int64(len(b)) >= 0:
		return st.prepend(p, seq, b[:-at])
	case at < 0 && at+int64(len(b)) <= have, at+int64(len(b)) <= have:
		return false
	}
	b = b[have-at:]
	cut := uint32(len(b)) < wire && have == at // the capture kept less than there was
	if have == 0 && st.buf == nil {
		st.view = b
		if len(b) > maxStream {
			st.view = b[:maxStream]
		}
	} else if !st.extend(p, b) {
		return len(st.view) > int(have)
	}
	st.broken = st.broken || cut
	st.unhold(p)
	return true
}

// further says whether a segment that ends at a sequence number is new, where nothing
// is kept any more.
func (st *stream) further(end uint32) bool {
	if st.started && int32(end-st.high) <= 0 {
		return false
	}
	st.started, st.high = true, end
	return true
}

// extend appends to view, in a buffer of its own.
func (st *stream) extend(p *pool, b []byte) bool {
	if !st.own(p, len(st.view)+len(b)) {
		st.broken = true
		return false
	}
	b = b[:min(len(b), maxStream-len(st.buf))]
	st.buf = append(st.buf, b...)
	st.view = st.buf
	return true
}

// own makes view lie in a buffer with room for n bytes.
func (st *stream) own(p *pool, n int) bool {
	n = min(n, maxStream)
	if st.buf != nil && cap(st.buf) >= n {
		return true
	}
	bigger := p.take(n)
	if bigger == nil {
		return false
	}
	bigger = append(bigger, st.view...)
	if st.buf != nil {
		p.give(st.buf)
	}
	st.buf, st.view = bigger, bigger
	return true
}

// prepend puts bytes in front: the first segment seen was not the first sent.
func (st *stream) prepend(p *pool, seq uint32, b []byte) bool {
	n, old := len(b), len(st.view)
	if !st.own(p, n+old) {
		st.broken = true
		return false
	}
	st.buf = st.buf[:n+old]
	copy(st.buf[n:], st.buf[:old])
	copy(st.buf, b)
	st.view, st.first = st.buf, seq
	st.shown, st.pos = 0, 0
	return true
}

// hold keeps a segment whose turn has not come.
func (st *stream) hold(p *pool, seq uint32, b []byte) {
	if len(st.held) >= maxHeld || len(b) > largeBuffer || int32(seq-st.first) > maxStream {
		return
	}
	data := p.take(len(b))
	if data == nil {
		return
	}
	st.held = append(st.held, heldSegment{seq, append(data, b...)})
}

// resync begins with what is held, if three segments came and what should have come
// first did not: the capture lacks it. Behind bytes that were read, it ends the
// stream.
func (st *stream) resync(p *pool) bool {
	if len(st.held) < 3 || len(st.view) > 0 && len(st.held) < maxHeld {
		return false
	}
	if len(st.view) > 0 {
		st.broken = true
		return true
	}
	lowest := st.held[0].seq
	for _, h := range st.held {
		if int32(h.seq-lowest) < 0 {
			lowest = h.seq
		}
	}
	st.first, st.sure = lowest, true
	st.unhold(p)
	return len(st.view) > 0
}

// unhold adds what was held and has its turn now.
func (st *stream) unhold(p *pool) {
	for again := true; again && len(st.held) > 0; {
		again = false
		for i, h := range st.held {
			at, have := int(int32(h.seq-st.first)), len(st.view)
			if at > have {
				continue
			}
			if at >= 0 && at+len(h.data) > have && !st.ended() {
				st.extend(p, h.data[have-at:])
			}
			p.give(h.data)
			st.held = append(st.held[:i], st.held[i+1:]...)
			again = true
			break
		}
	}
}

// keep copies view out of the packet, which will be gone.
func (st *stream) keep(p *pool) {
	if st.unread {
		st.release(p)
		st.view = nil
		return
	}
	if len(st.view) > 0 && st.buf == nil && !st.own(p, len(st.view)) {
		st.broken, st.view = true, nil
	}
}

func (st *stream) release(p *pool) {
	if st.buf != nil {
		p.give(st.buf)
		st.buf = nil
	}
	for _, h := range st.held {
		p.give(h.data)
	}
	st.held = nil
	st.view = nil
}
