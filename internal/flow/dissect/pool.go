package dissect

// Sizes of the buffers of a pool, bytes.
const (
	tinyBuffer  = firstKept
	smallBuffer = 2 << 10
	largeBuffer = maxStream
)

// pool lends buffers of three sizes to States, and knows who has how much. Where there is
// no room for one more, it is taken from who has had buffers for longest, among those of
// the kind of flow that has most of them: whoever sends the beginnings of many flows takes
// room from these alone, and a flow that is told within a moment is told in a flood too.
//
//	kind                   who can make many
//	datagrams              whoever forges addresses
//	TCP, one side spoke    the same, where the capture sees no answers
//	TCP                    whoever gets an answer
type pool struct {
	tiny, small, large [][]byte
	out, room          int
	starved            uint64
	user               *State // of the call that is under way
	kinds              [poolKinds]holders
}

const poolKinds = 3

// holders are States of a kind that have buffers, the one that took its first before the
// others in front.
type holders struct {
	oldest, newest *State
	out            int // bytes
}

// holding is the place of a State among holders.
type holding struct {
	older, newer *State
	out          int // bytes; it is in a list while there are any
	kind         uint8
}

// use says whose buffers are taken and given from now on.
func (p *pool) use(s *State) { p.user = s }

// take returns an empty buffer with room for n bytes, at most largeBuffer, or nil.
func (p *pool) take(n int) []byte {
	size, list := tinyBuffer, &p.tiny
	switch {
	case n > smallBuffer:
		size, list = largeBuffer, &p.large
	case n > tinyBuffer:
		size, list = smallBuffer, &p.small
	}
	if n > size || !p.makeRoom(size) {
		p.starved++
		return nil
	}
	p.out += size
	p.lend(size)
	if k := len(*list); k > 0 {
		b := (*list)[k-1]
		*list = (*list)[:k-1]
		return b
	}
	return make([]byte, 0, size)
}

func (p *pool) give(b []byte) {
	switch cap(b) {
	case tinyBuffer:
		p.tiny = append(p.tiny, b[:0])
	case smallBuffer:
		p.small = append(p.small, b[:0])
	case largeBuffer:
		p.large = append(p.large, b[:0])
	default:
		return
	}
	p.out -= cap(b)
	p.lend(-cap(b))
}

// lend notes that the user has so many bytes more.
func (p *pool) lend(size int) {
	s := p.user
	if s == nil {
		return
	}
	h := &s.holding
	if h.out == 0 {
		h.kind = s.kind()
		p.kinds[h.kind].enlist(s)
	}
	h.out += size
	p.kinds[h.kind].out += size
	if h.out == 0 {
		p.kinds[h.kind].strike(s)
	}
}

// makeRoom takes buffers back until there is room for a size, and reports whether there
// is.
func (p *pool) makeRoom(size int) bool {
	for p.out+size > p.room {
		victim := p.victim()
		if victim == nil {
			return false
		}
		p.starved++
		user := p.user
		p.user = victim
		victim.settle()
		victim.release(p)
		victim.done = true
		p.user = user
	}
	return true
}

// victim is who is to give its buffers back, nil if nobody but the user has any.
func (p *pool) victim() *State {
	var from *holders
	for i := range p.kinds {
		if k := &p.kinds[i]; k.oldest != nil && (from == nil || k.out > from.out) && (k.oldest != p.user || k.newest != p.user) {
			from = k
		}
	}
	if from == nil {
		return nil
	}
	if from.oldest == p.user {
		return p.user.holding.newer
	}
	return from.oldest
}

// kind is which of the kinds of flows a State is of.
func (s *State) kind() uint8 {
	switch {
	case s.tuple.Protocol != ipTCP:
		return 0
	case !s.streams[0].started || !s.streams[1].started:
		return 1
	}
	return 2
}

func (l *holders) enlist(s *State) {
	h := &s.holding
	h.older, h.newer = l.newest, nil
	if l.newest != nil {
		l.newest.holding.newer = s
	} else {
		l.oldest = s
	}
	l.newest = s
}

func (l *holders) strike(s *State) {
	h := &s.holding
	if h.older != nil {
		h.older.holding.newer = h.newer
	} else {
		l.oldest = h.newer
	}
	if h.newer != nil {
		h.newer.holding.older = h.older
	} else {
		l.newest = h.older
	}
	h.older, h.newer = nil, nil
}
