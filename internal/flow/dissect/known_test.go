package dissect

import (
	"testing"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// playAsked is play in segments of one size, with Known asked after each.
func playAsked(e *Engine, t Tuple, messages []message, size int, ask func(*Facts)) *Facts {
	s := e.Begin(t)
	var seq [2]uint32
	for i, m := range messages {
		for len(m.data) > 0 {
			n := min(size, len(m.data))
			p := packet.Packet{Protocol: t.Protocol, Seq: seq[m.dir], Payload: m.data[:n:n], PayloadBytes: uint32(n), Time: int64(i) * 1e6}
			seq[m.dir] += uint32(n)
			m.data = m.data[n:]
			e.Inspect(s, m.dir, &p)
			ask(e.Known(s))
		}
	}
	return e.End(s)
}

// TestKnown: who asks in the middle, however often, does not make a conversation
// unknown, and nearly always is told what it is before its end. Few protocols are sure
// only when nothing follows.
func TestKnown(t *testing.T) {
	e, before, all := New(Options{}), 0, 0
	for _, c := range conversations() {
		whole := 0
		for _, m := range c.say {
			whole = max(whole, len(m.data))
		}
		for _, size := range []int{whole, (whole + 1) / 2, (whole + 3) / 4} {
			if c.tuple.Protocol != ipTCP && size != whole {
				continue // datagrams are not cut
			}
			var last *Facts
			f := playAsked(e, c.tuple, c.say, size, func(known *Facts) { last = known })
			want := play(e, c.tuple, c.say, 1<<16)
			if f == nil || f.App != want.App || last != nil && last.App != f.App {
				t.Errorf("%s in segments of %d: %+v, known before its end %+v, want %s", c.app, size, f, last, want.App)
			}
			if all++; last != nil {
				before++
			}
		}
	}
	if before < all*9/10 {
		t.Errorf("%d of %d were known before their end", before, all)
	}
}
