package dissect

// maxSpans is how many pieces an assembler keeps apart. Browsers cut a ClientHello
// in QUIC into a dozen, shuffled.
const maxSpans = 32

type span struct{ from, to int }

// assembler puts together bytes that come in pieces with their places. The first
// copy of a byte counts.
type assembler struct {
	buf   []byte // from a pool
	spans []span // sorted, apart from one another
}

// add takes a piece; what lies beyond maxStream or in one span too many is left out.
func (a *assembler) add(p *pool, at int, b []byte) {
	if at < 0 || at+len(b) > maxStream || len(b) == 0 {
		return
	}
	if a.buf == nil || at+len(b) > cap(a.buf) {
		bigger := p.take(max(at+len(b), cap(a.buf)))
		if bigger == nil {
			return
		}
		bigger = bigger[:cap(bigger)]
		copy(bigger, a.buf)
		a.release(p)
		a.buf = bigger
	}
	merged := span{at, at + len(b)}
	i := 0
	for i < len(a.spans) && a.spans[i].to < merged.from {
		i++
	}
	j := i
	for j < len(a.spans) && a.spans[j].from <= merged.to {
		j++
	}
	if i == j && len(a.spans) >= maxSpans {
		return
	}
	next := at
	for _, s := range a.spans[i:j] { // Only gaps are written.
		if s.from > next {
			copy(a.buf[next:s.from], b[next-at:])
		}
		next = max(next, s.to)
	}
	if next < at+len(b) {
		copy(a.buf[next:at+len(b)], b[next-at:])
	}
	if i < j {
		merged.from = min(merged.from, a.spans[i].from)
		merged.to = max(merged.to, a.spans[j-1].to)
	}
	rest := append([]span{merged}, a.spans[j:]...)
	a.spans = append(a.spans[:i], rest...)
}

// prefix is what is there without a gap from the start.
func (a *assembler) prefix() []byte {
	if len(a.spans) == 0 || a.spans[0].from != 0 {
		return nil
	}
	return a.buf[:a.spans[0].to]
}

func (a *assembler) release(p *pool) {
	if a.buf != nil {
		p.give(a.buf)
		a.buf = nil
	}
}
