package bpf

import "slices"

// The optimiser is the one of McCanne and Jacobson ("The BSD Packet Filter: A
// New Architecture for User-level Packet Capture", USENIX 1993) as libpcap has
// it grown: values are numbered, so that two loads of the same bytes are known
// to be equal; a jump goes past each test whose outcome is known on the way to
// it; tests of the same value are brought together; and what nobody reads is
// taken out.
//
// What it takes out decides about packets that are cut short, as a load beyond
// the end of a packet refuses it. To select what tcpdump selects, it does the
// same steps in the same order; the tests compare the programs.

// optimizer works on the blocks of one program.
type optimizer struct {
	root   *block
	blocks []*block // by id
	// levels are the blocks by how many tests may follow them; within a level
	// those found last come first.
	levels [][]*block
	edges  edgeTree
	above  dominance
	// passed is room for the edges that redirect looks at.
	passed []edge
	values values
	// round is compared with block.seen.
	round int
	// changed is set by whatever changes the program; simplified by what does
	// more than to redirect jumps, which alone might go on for ever.
	changed, simplified bool
}

// mostRounds bounds rounds that only redirect jumps.
const mostRounds = 100

// optimize replaces the program that begins with *first by one that selects
// the same packets.
func optimize(first **block) error {
	o := &optimizer{root: *first}
	o.number()
	if err := o.run(false); err != nil {
		return err
	}
	if err := o.run(true); err != nil {
		return err
	}
	o.mergeEqual()
	o.trimRoot()
	*first = o.root
	return nil
}

// number gives the blocks their ids, depth first and where a test holds first.
func (o *optimizer) number() {
	o.round++
	var visit func(b *block)
	visit = func(b *block) {
		if b == nil || b.seen == o.round {
			return
		}
		b.seen = o.round
		b.id = len(o.blocks)
		o.blocks = append(o.blocks, b)
		visit(b.to[onTrue])
		visit(b.to[onFalse])
	}
	visit(o.root)
}

// run optimises until nothing changes. alter is false in the first run, which
// redirects jumps, and true in the second, which replaces instructions.
func (o *optimizer) run(alter bool) error {
	for idle := 0; ; {
		o.changed, o.simplified = false, false
		o.findLevels()
		o.findUses()
		if err := o.pass(alter); err != nil {
			return err
		}
		if !o.changed {
			return nil
		}
		if o.simplified {
			idle = 0
		} else if idle++; idle >= mostRounds {
			return nil
		}
	}
}

// pass goes over all blocks once.
func (o *optimizer) pass(alter bool) error {
	o.values = newValues()
	o.findPredecessors()
	for _, level := range slices.Backward(o.levels) {
		for _, b := range level {
			if err := o.block(b, alter); err != nil {
				return err
			}
		}
	}
	if alter {
		return nil
	}
	o.edges.build(o)
	for _, level := range o.levels[1:] {
		for _, b := range level {
			o.redirect(b, onTrue)
			o.redirect(b, onFalse)
		}
	}
	o.findPredecessors()
	o.above.begin(o)
	for _, level := range o.levels[1:] {
		for _, b := range level {
			o.pullUp(b, onTrue)
			o.pullUp(b, onFalse)
		}
	}
	return nil
}

func (o *optimizer) simplify() { o.changed, o.simplified = true, true }

// mergeEqual makes one block of each two that do the same.
func (o *optimizer) mergeEqual() {
	for again := true; again; {
		again = false
		o.markReachable()
		same := map[string][]*block{}
		merged := map[*block]*block{}
		var key []byte
		for _, b := range slices.Backward(o.blocks) {
			if b.seen != o.round {
				continue
			}
			key = b.appendKey(key[:0])
			if list := same[string(key)]; len(list) > 0 {
				merged[b] = list[0]
			} else {
				same[string(key)] = []*block{b}
			}
		}
		for _, b := range o.blocks {
			for side, to := range b.to {
				if m := merged[to]; to != nil && m != nil {
					b.to[side] = m
					again = true
				}
			}
		}
	}
}

// appendKey appends what makes a block what it is: blocks with equal keys do
// the same.
func (b *block) appendKey(key []byte) []byte {
	number := func(n uint32) { key = append(key, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)) }
	for _, i := range append(slices.Clone(b.code), b.last) {
		if i.op == opNone {
			continue
		}
		key = append(key, byte(i.op), byte(i.op>>8))
		number(i.k)
	}
	for _, to := range b.to {
		if to == nil {
			number(^uint32(0))
		} else {
			number(uint32(to.id))
		}
	}
	return key
}

func (o *optimizer) markReachable() {
	o.round++
	var visit func(b *block)
	visit = func(b *block) {
		if b == nil || b.seen == o.round {
			return
		}
		b.seen = o.round
		visit(b.to[onTrue])
		visit(b.to[onFalse])
	}
	visit(o.root)
}

// trimRoot drops tests at the beginning of which the outcome does not matter,
// and all instructions if nothing is tested at all.
func (o *optimizer) trimRoot() {
	code := o.root.code
	start := o.root
	for !o.root.isReturn() && o.root.to[onTrue] == o.root.to[onFalse] {
		o.root = o.root.to[onTrue]
	}
	if o.root != start {
		o.root.code = append(slices.Clone(code), o.root.code...)
	}
	if o.root.isReturn() {
		o.root.code = nil
	}
}
