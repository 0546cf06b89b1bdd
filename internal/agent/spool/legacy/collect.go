package legacy

import (
	"bytes"
	"slices"
)

// collector builds batches from the frames of one segment.
type collector struct {
	r        *reading
	producer [16]byte
	offs     []int64 // of events that are in no batch yet
	events   [][]byte
	gaps     []gap  // between events that are in no batch yet
	next     uint64 // sequence of the batch that comes next; 0 when not known
}

// gap is what could not be read.
type gap struct {
	off   int64
	bytes []byte
}

// skip implements scan.
func (c *collector) skip(off int64, damaged []byte) {
	c.r.damage(len(damaged))
	c.gaps = append(c.gaps, gap{off, damaged})
}

func (c *collector) visit(f frame) {
	switch f.typ {
	case frameEvent:
		c.offs = append(c.offs, f.off)
		c.events = append(c.events, f.payload)
	case frameSeal:
		if mark, ok := decodeSeal(f.payload); ok {
			c.seal(mark)
		}
	}
}

// seal turns the events before it into its batch. Events from before the batch
// began have lost their own seal.
func (c *collector) seal(mark seal) {
	before, _ := slices.BinarySearch(c.offs, int64(mark.off))
	if before > 0 {
		c.unsealed(mark.seq, before)
	}
	n := len(c.offs) - before
	if n > 0 {
		c.add(c.producer, mark.seq, c.events[before:])
	}
	c.r.Highest = max(c.r.Highest, mark.seq)
	if mark.seq > c.r.Acked+1 {
		c.r.Lost += c.lostBefore(int64(mark.off))
	}
	if lost := int(mark.count) - n; lost > 0 && mark.seq > c.r.Acked {
		c.r.Lost += lost
	}
	c.offs, c.events, c.gaps, c.next = c.offs[:0], c.events[:0], nil, mark.seq+1
}

// unsealed takes the first events, whose seals are lost, before the batch next. If
// only one seal is missing they have its number, and those before the first gap have it
// anyway. Of others nobody knows which batch they are of: they get another producer id,
// so that none is taken for a repeat of another.
func (c *collector) unsealed(next uint64, count int) {
	known := count
	if c.next == 0 || c.next+1 != next {
		known = min(count, c.beforeGap())
	}
	if known > 0 {
		c.add(c.producer, c.next, c.events[:known])
	}
	if known == count || next-1 <= c.r.Acked {
		return
	}
	c.add(newProducer(), next-1, c.events[known:count])
}

// beforeGap is how many events are surely of the batch that comes next.
func (c *collector) beforeGap() int {
	switch {
	case c.next == 0:
		return 0
	case len(c.gaps) == 0:
		return len(c.offs)
	}
	n, _ := slices.BinarySearch(c.offs, c.gaps[0].off)
	return n
}

// lostBefore is how many events the gaps before an offset held at least, where a
// batch begins: so what is before it ends in a seal.
func (c *collector) lostBefore(off int64) (atLeast int) {
	for _, g := range c.gaps {
		if g.off >= off {
			break
		}
		b := g.bytes[:min(int64(len(g.bytes)), off-g.off)]
		if g.off+int64(len(b)) == off {
			b = b[:max(0, len(b)-frameBytes-sealBytes)]
		}
		atLeast += eventsIn(b)
	}
	return atLeast
}

// add hands over a batch that is not acknowledged. Sequences ascend; one that does
// not was made up by damage and is passed over.
func (c *collector) add(producer [16]byte, seq uint64, events [][]byte) {
	if seq <= c.r.Acked || c.r.last > 0 && seq <= c.r.last || c.r.err != nil {
		return
	}
	c.r.last, c.r.Highest = seq, max(c.r.Highest, seq)
	c.r.Held += len(events)
	c.r.err = c.r.visit(Batch{Producer: producer, Sequence: seq, Events: events})
}

// finish keeps what follows the last seal: events that were never handed out, and
// counts what is lost there. torn is what the file ends with.
func (c *collector) finish(torn []byte) {
	for _, g := range c.gaps {
		c.r.Lost += eventsIn(g.bytes)
	}
	c.r.Lost += eventsIn(torn)
	if len(torn) > 0 && len(bytes.Trim(torn, "\x00")) == 0 {
		c.r.damage(len(torn)) // what a crash tears is not zero: the disk has lost it
	}
	if c.next <= c.r.Acked { // those of an acknowledged batch that has lost its seal
		n := c.beforeGap()
		c.r.damaged = c.r.damaged || n > 0
		c.events = c.events[n:]
	}
	c.r.Held += len(c.events)
	for _, e := range c.events {
		c.r.Loose = append(c.r.Loose, slices.Clone(e))
	}
}
