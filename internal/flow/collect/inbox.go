package collect

import (
	"net/netip"
	"time"
)

// maxInbox is how many bytes of datagrams wait to be worked off, at most. A letter counts
// as much more than its bytes as it takes beside them.
const (
	maxInbox   = 8 << 20
	letterSize = 128
)

// letter is a datagram that waits.
type letter struct {
	from netip.AddrPort
	came time.Time
	data []byte
}

func (l *letter) cost() int { return len(l.data) + letterSize }

// line is what waits of one exporter, or of all that are not proven together.
type line struct {
	of      netip.Addr
	waiting []letter
	held    int // bytes
}

// inbox holds datagrams between who reads the socket and who works them off, which may
// be slower: nobody can read what the kernel had to drop, nor from whom it was. The lines
// take turns, and where there is no room, the longest loses what came last: who sends
// more than can be worked off loses of its own alone.
type inbox struct {
	lines   map[netip.Addr]*line
	turns   []*line // those in which something waits
	held    int     // bytes
	dropped uint64
}

// put adds a datagram to a line, or drops one for want of room.
func (x *inbox) put(of netip.Addr, l letter) {
	own := x.lines[of]
	for x.held+l.cost() > maxInbox {
		longest := own
		for _, other := range x.turns {
			if longest == nil || other.held > longest.held {
				longest = other
			}
		}
		x.dropped++
		if longest == nil || longest == own {
			return
		}
		x.shorten(longest)
	}
	if own == nil {
		own = &line{of: of}
		x.lines[of] = own
		x.turns = append(x.turns, own)
	}
	own.waiting = append(own.waiting, l)
	own.held += l.cost()
	x.held += l.cost()
}

// shorten drops what came last of a line, which keeps its turn unless nothing is left.
func (x *inbox) shorten(l *line) {
	last := len(l.waiting) - 1
	x.account(l, &l.waiting[last])
	l.waiting[last] = letter{}
	l.waiting = l.waiting[:last]
	if last > 0 {
		return
	}
	delete(x.lines, l.of)
	for i, other := range x.turns {
		if other == l {
			x.turns = append(x.turns[:i], x.turns[i+1:]...)
			return
		}
	}
}

func (x *inbox) account(l *line, gone *letter) {
	l.held -= gone.cost()
	x.held -= gone.cost()
}

// take gives the oldest datagram of the line whose turn it is.
func (x *inbox) take() (l letter, waits bool) {
	if len(x.turns) == 0 {
		return letter{}, false
	}
	first := x.turns[0]
	x.turns = x.turns[1:]
	l = first.waiting[0]
	x.account(first, &l)
	first.waiting[0] = letter{}
	if first.waiting = first.waiting[1:]; len(first.waiting) > 0 {
		x.turns = append(x.turns, first)
	} else {
		delete(x.lines, first.of)
	}
	return l, true
}
