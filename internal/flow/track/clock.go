package track

const (
	// reorder is how far back a packet's time may lie without anything being thought
	// of it, in nanoseconds: queues of one interface may be read out of order.
	reorder = int64(1e9)
	// backward is after how many packets in a row from before the clock is believed
	// to have been set back.
	backward = 16
)

// clock counts the time that passes for timers out of the times of packets. It
// never goes back: where packets do, it stands until they go on from there. A leap
// forward passes at once.
type clock struct {
	latest  int64 // Unix nanoseconds, as packets tell
	passed  int64 // nanoseconds since the first
	behind  int
	started bool
	setBack uint64
}

// pass notes a time and returns the tick that it is now.
func (c *clock) pass(at int64) tick {
	if !c.started {
		c.started, c.latest = true, at
	}
	switch since := at - c.latest; {
	case since >= 0:
		c.latest = at
		c.passed += since
		c.behind = 0
	case since < -reorder:
		if c.behind++; c.behind >= backward {
			c.latest, c.behind = at, 0
			c.setBack++
		}
	}
	return tick(c.passed>>tickShift) + 1
}
