package bpf

import (
	"cmp"
	"slices"
)

// block is where the edge leads.
func (e edge) block() *block { return e.from.to[e.side] }

// edgeTree says which edges each way to an edge goes over: its dominators.
// Each has one that is the last before it, so that they make trees.
type edgeTree struct {
	count int
	// last is, by number, the number of the last dominator, or -1.
	last  []int
	depth []int
	all   []*block
}

// number counts the edges of tests that hold first, in the order of the
// blocks.
func (t *edgeTree) number(e edge) int { return e.side*t.count + e.from.id }

func (t *edgeTree) edge(n int) edge { return edge{from: t.all[n%t.count], side: n / t.count} }

// build finds the dominators of all edges. The blocks' predecessors are known.
func (t *edgeTree) build(o *optimizer) {
	t.count, t.all = len(o.blocks), o.blocks
	t.last = slices.Grow(t.last[:0], 2*t.count)[:2*t.count]
	t.depth = slices.Grow(t.depth[:0], 2*t.count)[:2*t.count]
	for l := o.root.level; l > 0; l-- {
		for _, b := range o.levels[l] {
			above := -1
			for n, e := range b.in {
				if n == 0 {
					above = t.number(e)
				} else {
					above = t.meet(above, t.number(e))
				}
			}
			depth := 0
			if above >= 0 {
				depth = t.depth[above] + 1
			}
			for side := range b.to {
				n := t.number(edge{b, side})
				t.last[n], t.depth[n] = above, depth
			}
		}
	}
}

// meet is the last edge that dominates both, or -1.
func (t *edgeTree) meet(a, b int) int {
	for a != b {
		switch {
		case a < 0 || b < 0:
			return -1
		case t.depth[a] > t.depth[b]:
			a = t.last[a]
		case t.depth[b] > t.depth[a]:
			b = t.last[b]
		default:
			a, b = t.last[a], t.last[b]
		}
	}
	return a
}

// appendAbove appends the edge and its dominators, in the order of their
// numbers.
func (t *edgeTree) appendAbove(list []edge, e edge) []edge {
	for n := t.number(e); n >= 0; n = t.last[n] {
		list = append(list, t.edge(n))
	}
	slices.SortFunc(list, func(a, b edge) int { return cmp.Compare(t.number(a), t.number(b)) })
	return list
}

// dominance answers whether each way to a block goes through another one,
// while tests are pulled up.
//
// libpcap computes the answers for all blocks after each change, in one sweep
// in the order of the levels as they were before the changes. A block whose
// predecessors all come later in that order passes for dominated by every
// block. To make the same programs, the answers here are those; but only what
// is asked for is computed.
type dominance struct {
	root *block
	// of is the block that is asked about, in query number query.
	of    *block
	query int
}

// begin prepares for questions about the program as it is. The blocks'
// predecessors are known.
func (d *dominance) begin(o *optimizer) {
	d.root = o.root
	for _, b := range o.blocks {
		b.preds, b.live = b.preds[:0], false
	}
	d.root.live = true
	for _, level := range slices.Backward(o.levels) {
		for _, b := range level {
			for _, to := range b.to {
				if to == nil {
					continue
				}
				to.live = to.live || b.live
				if !to.isReturn() {
					to.preds = append(to.preds, b)
				}
			}
		}
	}
}

// ask chooses the block that dominates is about.
func (d *dominance) ask(b *block) {
	d.of = b
	d.query++
}

// dominates reports whether each way to c goes through the block asked about.
func (d *dominance) dominates(c *block) bool {
	if c != d.of && !d.before(c) {
		return false
	}
	for _, p := range c.preds {
		if p.place > c.place && p != d.of && !d.before(p) {
			return false
		}
	}
	return true
}

// before reports the same without the edges that lead back in the order, and
// without c itself.
func (d *dominance) before(c *block) bool {
	switch {
	case c == d.root:
		return false
	case c.level > d.of.level:
		return !c.live
	case c.asked == d.query:
		return c.answer
	}
	answer := true
	for _, p := range c.preds {
		if p.place < c.place && p != d.of && !d.before(p) {
			answer = false
			break
		}
	}
	c.asked, c.answer = d.query, answer
	return answer
}

// lead makes an edge lead to a block.
func (o *optimizer) lead(e edge, to *block) {
	old := e.block()
	if !old.isReturn() {
		if n := slices.Index(old.preds, e.from); n >= 0 {
			old.preds = slices.Delete(old.preds, n, n+1)
		}
	}
	e.from.to[e.side] = to
	if !to.isReturn() {
		to.preds = append(to.preds, e.from)
	}
}
