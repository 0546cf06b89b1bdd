package spool

import (
	"cmp"
	"slices"
	"time"
)

// collector queues the batches of one segment.
type collector struct {
	s    *Spool
	r    *recovery
	seg  *segment
	gap  int    // damaged bytes since the last batch
	next uint64 // sequence of the batch that comes next
}

// skip implements scan.
func (c *collector) skip(damaged []byte) {
	c.r.damage(c.s, len(damaged))
	c.gap += len(damaged)
}

// visit takes one frame. A batch that cannot be read is known by its head, so what it
// costs is too.
func (c *collector) visit(f frame) {
	if f.typ != frameBatch || f.seq > maxSequence {
		c.r.damage(c.s, int(f.end-f.off))
		return
	}
	c.missed(f.seq)
	c.next = f.seq + 1
	c.r.highest = max(c.r.highest, f.seq)
	if f.seq <= c.r.acked {
		return
	}
	if f.rotten || f.count == 0 {
		c.r.damage(c.s, len(f.payload))
		c.r.rotten[f.seq] = int(f.count)
		return
	}
	c.add(f)
}

// missed counts the batches whose frames the gap before the next one took: each held
// an event at least.
func (c *collector) missed(next uint64) {
	if c.gap > 0 && next > c.next {
		first := max(c.next, c.r.acked+1)
		if next > first {
			c.r.lost += int(min(next-first, uint64(c.gap/headBytes+1)))
		}
	}
	c.gap = 0
}

// add queues a batch that is not acknowledged. Sequences ascend; one that does
// not was made up by damage and is passed over.
func (c *collector) add(f frame) {
	q := c.s.queue
	if len(q) > 0 && f.seq <= q[len(q)-1].seq {
		return
	}
	delete(c.r.rotten, f.seq)
	c.s.queue = append(q, batch{seg: c.seg, seq: f.seq, off: f.off, end: f.end, count: int(f.count), found: true})
	c.seg.waiting++
	c.s.stats.Events += uint64(f.count)
}

// finish looks at what the file ends with. A frame that a crash tore is of a batch
// whose events are still in the journal, which is read later.
func (c *collector) finish(torn []byte) {
	end := tornEnd{seq: c.next, count: 1, size: len(torn)}
	switch h, ok := decodeHead(torn); {
	case len(torn) == 0:
		return
	case allZero(torn): // what a crash tears is not zero: the disk has lost it
		c.r.damage(c.s, len(torn))
		return
	case ok && h.typ == frameBatch && h.seq <= maxSequence:
		end.seq, end.count = h.seq, int(h.count)
		c.r.highest = max(c.r.highest, h.seq)
	}
	if end.seq <= c.r.acked {
		return
	}
	c.r.rotten[end.seq] = end.count
	c.r.torn = append(c.r.torn, end)
}

// tornEnd is what a segment ends with, when that is no whole frame.
type tornEnd struct {
	seq   uint64 // of the batch
	count int    // of its events, at least
	size  int
}

// loadJournal takes what the journal holds and no segment does.
func (s *Spool) loadJournal(r *recovery) error {
	content, err := s.openJournal()
	if err != nil {
		return err
	}
	sealed := map[uint64]bool{}
	for _, b := range s.queue {
		sealed[b.seq] = true
	}
	stale := func(seq uint64) bool {
		_, rotten := r.rotten[seq]
		return sealed[seq] || seq <= r.highest && !rotten
	}
	bySeq := map[uint64]*looseBatch{}
	tail := scan(content, 0, func(f frame) {
		switch {
		case f.typ != frameEvent || f.seq > maxSequence:
			r.damage(s, int(f.end-f.off))
		case !stale(f.seq):
			b := bySeq[f.seq]
			if b == nil {
				b = &looseBatch{seq: f.seq}
				bySeq[f.seq] = b
			}
			b.take(s, r, f)
		}
	}, func(damaged []byte) { r.damage(s, len(damaged)) })
	if torn := content[tail:]; allZero(torn) {
		r.damage(s, len(torn))
	}
	s.takeLoose(r, bySeq)
	return nil
}

// take adds an event, unless it is there already.
func (b *looseBatch) take(s *Spool, r *recovery, f frame) {
	if f.count < b.next {
		return
	}
	b.next = f.count + 1
	if f.rotten {
		r.damage(s, len(f.payload))
		b.lost++
		return
	}
	b.events = append(b.events, slices.Clone(f.payload))
}

// takeLoose keeps the journal's batches in order. There is one, unless the journal
// could not be emptied.
func (s *Spool) takeLoose(r *recovery, bySeq map[uint64]*looseBatch) {
	for _, b := range bySeq {
		delete(r.rotten, b.seq)
		r.highest = max(r.highest, b.seq)
		if len(b.events) == 0 {
			r.lost += b.lost
			continue
		}
		r.loose = append(r.loose, *b)
	}
	slices.SortFunc(r.loose, func(a, b looseBatch) int { return cmp.Compare(a.seq, b.seq) })
	for _, end := range r.torn {
		if _, lost := r.rotten[end.seq]; lost {
			r.damage(s, end.size)
		}
	}
}

// adopt seals what the journal holds, each batch under the number that it may have
// been handed out with, and with its events alone. A number that others have passed
// is another's by now, and the producer id is new then.
func (s *Spool) adopt(r *recovery) error {
	for i, l := range r.loose {
		s.nextSeq = l.seq
		if n := len(s.queue); n > 0 && l.seq <= s.queue[n-1].seq {
			s.nextSeq = r.highest + 1
			r.highest++
		}
		s.opened(l.events, time.Time{})
		s.stats.Events += uint64(len(l.events))
		s.journal.kept = i < len(r.loose)-1
		s.seal()
		s.queue[len(s.queue)-1].ours = false
		if s.journal.kept && s.owed != nil {
			return s.stats.LastError
		}
	}
	s.journal.kept = false
	s.nextSeq = r.highest + 1
	if len(r.loose) == 0 {
		return s.journal.empty()
	}
	return nil
}
