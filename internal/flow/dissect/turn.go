package dissect

// What is learnt of a TCP connection must not depend on how its bytes were cut into
// segments, and neither signatures nor readers can be trusted to keep to that by
// themselves: there are hundreds. So they are shown a direction's bytes only at
// places that segments do not decide:
//
//	a look is due                           and shows
//	where the bytes themselves say that     as many bytes
//	something ends that a reader waits for
//	else at firstLook bytes, and each time  as many bytes
//	that lookGrowth times as many came
//	when the other side goes on             all bytes until then (a turn ended)
//	when nothing can follow: at the end     all bytes, and says that they are final
//	of the flow, behind a hole, after
//	MaxPayloads or maxReading packets
//
// Between looks bytes are only kept. The first three rows are the same however the two
// sides' bytes were cut, as long as the sides took turns in the same order; of the
// last, the numbers of packets are what remains (see the package comment). The first row
// is for speed: most hellos and heads of messages come whole in one packet, and are then
// read in it, without a copy.
const (
	firstLook  = 16
	lookGrowth = 4 // so that maxNaming and maxStream are places, too
)

// nextLook is the first place behind what was shown, bytes.
func nextLook(shown int) int {
	n := firstLook
	for n <= shown {
		n *= lookGrowth
	}
	return n
}

// nextPlace is where the next look at a direction is due by its bytes.
func (e *Engine) nextPlace(s *State, dir Direction) int {
	st := &s.streams[dir]
	if s.reading && !s.tls.started {
		if ends := e.tables.protocols[s.app].ends; ends != nil {
			if at := min(ends(st.view, st.shown), maxStream); at > st.shown {
				return at
			}
		}
	}
	return nextLook(st.shown)
}

// seen is what of a direction was shown.
func (st *stream) seen() []byte { return st.view[:min(st.shown, len(st.view))] }

// segment goes on with a TCP flow of which dir got new bytes.
func (e *Engine) segment(s *State, dir Direction) {
	e.show(s, 1-dir, len(s.streams[1-dir].view), false) // Its turn ended.
	st := &s.streams[dir]
	for n := e.nextPlace(s, dir); n <= len(st.view) && !s.done && !st.unread; n = e.nextPlace(s, dir) {
		e.show(s, dir, n, n == maxStream)
	}
	if st.broken {
		e.show(s, dir, len(st.view), true)
	}
	switch {
	case s.done || s.unnamed:
	case s.reading && s.payloads >= maxReading:
		e.showRest(s)
		s.done = true
	case !s.reading && s.payloads >= MaxPayloads:
		e.showRest(s)
		s.settle()
		e.startReading(s)
	}
}

// show shows the first n bytes of a direction to whoever looks for a name, or reads.
func (e *Engine) show(s *State, dir Direction, n int, final bool) {
	st := &s.streams[dir]
	if s.done || st.unread || len(st.view) == 0 || n <= st.shown && !final {
		return
	}
	st.shown = max(st.shown, n)
	if s.reading {
		e.read(s, dir, final)
		return
	}
	e.name(s, dir, final)
	if s.app != none {
		e.startReading(s)
		return
	}
	if s.streams[0].pos == exhausted && s.streams[1].pos == exhausted && !s.likely() {
		for i := range s.streams { // Nobody can name it any more.
			s.streams[i].high = s.streams[i].first + uint32(len(s.streams[i].view))
			s.streams[i].unread = true
		}
		s.unnamed = true
	}
}

// startReading begins with what was shown to name the flow, if its protocol is read
// at all; the side that spoke first comes first.
func (e *Engine) startReading(s *State) {
	s.reading = s.app != none && e.tables.protocols[s.app].read != nil
	s.done = !s.reading
	first := FromInitiator
	if s.lengths[0] < 0 {
		first = FromResponder
	}
	for _, dir := range [...]Direction{first, 1 - first} {
		s.streams[dir].sure = true // Nothing is put in front of what is read.
		if len(s.streams[dir].seen()) > 0 {
			e.read(s, dir, s.streams[dir].ended() && s.streams[dir].shown == len(s.streams[dir].view))
		}
	}
}

// showRest shows everything, and that nothing follows.
func (e *Engine) showRest(s *State) {
	for dir := range s.streams {
		e.show(s, Direction(dir), len(s.streams[dir].view), true)
	}
}

// finish decides by what there is: whoever waited for more now knows that none comes.
func (s *State) finish(e *Engine) {
	for i := range s.streams {
		if st := &s.streams[i]; len(st.view) == 0 && len(st.held) > 0 && !st.unread {
			st.first = st.held[0].seq
			st.unhold(&e.pool)
			s.payloads = max(s.payloads, 1)
		}
	}
	e.showRest(s)
	if !s.reading && !s.done {
		s.settle()
		e.startReading(s)
	}
	if s.reading {
		e.showRest(s)
	}
}

// read shows what was seen of a direction to the reader of the flow's protocol, or,
// once it changed over, of TLS.
func (e *Engine) read(s *State, dir Direction, final bool) {
	if s.done || s.streams[dir].unread {
		return
	}
	st := &s.streams[dir]
	if s.tls.started {
		s.done = e.readInner(s, dir, final) == Done
		return
	}
	r := &e.reading
	*r = reading{e: e, s: s, dir: dir, b: st.seen(), at: st.at, final: final}
	if e.tables.protocols[s.app].read(r) == Done {
		s.done = true
	}
	if s.tls.started && !s.done { // It changed over: what follows is TLS.
		for d := range s.streams {
			s.done = s.done || e.readInner(s, Direction(d), final && Direction(d) == dir) == Done
		}
	}
}

// readInner reads TLS that began within another protocol. What is no TLS ends it.
func (e *Engine) readInner(s *State, dir Direction, final bool) Verdict {
	st := &s.streams[dir]
	b, base := st.seen(), s.tls.base[dir]
	if len(b) <= base {
		return More
	}
	if b[base] != recordHandshake {
		return Done
	}
	r := &e.reading
	*r = reading{e: e, s: s, dir: dir, b: b, at: st.at, final: final}
	return r.tlsFrom(base)
}
