package track

const (
	// reorder is how far back a packet's time may lie without anything being thought
	// of it, in nanoseconds: queues of one interface may be read out of order.
	reorder = int64(1e9)
	// backward is after how many packets in a row from before the clock is believed
	// to have been set back.
	backward = 16
	// leap is how far ahead of the others one packet may be and be believed at once,
	// in nanoseconds. A source tells of time at least every second when it is quiet,
	// so only files and clocks that are set go on so much at once.
	leap = int64(10 * 60e9)
	// forward is how many in a row must agree on more than that: one packet with a
	// damaged time would end all flows that are idle by it.
	forward = 4
)

// clock counts the time that passes for timers out of the times of packets. It
// never goes back: where packets do, it stands until they go on from there. It also
// stands where few packets are far ahead.
type clock struct {
	latest  int64 // Unix nanoseconds, as packets tell
	passed  int64 // nanoseconds since the first
	behind  int   // packets in a row from before, and from far ahead
	ahead   int
	started bool
	setBack uint64
}

// pass notes a time and returns the tick that it is now.
func (c *clock) pass(at int64) tick {
	if !c.started {
		c.started, c.latest = true, at
	}
	since := at - c.latest
	if since <= leap {
		c.ahead = 0
	}
	switch {
	case since > leap && c.ahead < forward-1:
		c.ahead++
	case since >= 0:
		c.latest = at
		c.passed += since
		c.behind, c.ahead = 0, 0
	case since < -reorder:
		if c.behind++; c.behind >= backward {
			c.latest, c.behind = at, 0
			c.setBack++
		}
	}
	return tick(c.passed>>tickShift) + 1
}
