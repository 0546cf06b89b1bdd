package track

import (
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// Consumer is told of flows. Each flow that is told is Opened once, Updated any
// number of times and Ended once. The Flow is the Table's and valid during the call.
type Consumer interface {
	Opened(f *Flow)
	Updated(f *Flow)
	Ended(f *Flow)
}

// Engine reads the content of flows; *dissect.Engine is one.
type Engine interface {
	Begin(t dissect.Tuple) *dissect.State
	Inspect(s *dissect.State, dir dissect.Direction, p *packet.Packet) dissect.Verdict
	Known(s *dissect.State) *dissect.Facts
	End(s *dissect.State) *dissect.Facts
}

// Options set up a Table. Durations of 0 stand for their defaults; those below 0, and
// those of more than a year, never pass.
type Options struct {
	// Consumer is told of flows. It is required.
	Consumer Consumer
	// Engine identifies flows; nil leaves them unknown.
	Engine Engine
	// Idle ends a flow of which no packet came for that long: 30 s.
	Idle time.Duration
	// Established takes the place of Idle for a TCP connection that is open, since
	// such may be still for long: 10 min.
	Established time.Duration
	// Linger is how long a TCP connection that was closed or reset stays, so that
	// what comes late is still its own: 5 s.
	Linger time.Duration
	// OpenAfter is how old a flow is when Opened is told at the latest, with what is
	// known of its content by then: 1 s. It is told at once when all that can be known
	// is, or the first question of DNS was answered.
	OpenAfter time.Duration
	// Update is how often Updated is told of a flow that goes on; below 0 never. 0
	// stands for 1 min.
	Update time.Duration
	// MaxFlows is how many flows there may be at once: 1,000,000. A further one makes
	// one end: the oldest that nobody answered; else, among 16 that chance picks, one of
	// TCP that is over, before others that are not established TCP, before those that
	// are, and of these the one that was idle longest.
	MaxFlows int
	// MaxInspected is how many flows the Engine may be busy with: 100,000. A further
	// one makes it give up the oldest.
	MaxInspected int
	// VLAN makes the innermost VLAN id part of what tells flows apart. Without it, a
	// conversation whose two directions have different tags is one.
	VLAN bool
	// Seed is that of Community IDs.
	Seed uint16
}

// withDefaults fills in what is 0.
func (o Options) withDefaults() Options {
	for _, d := range []struct {
		is   *time.Duration
		want time.Duration
	}{
		{&o.Idle, 30 * time.Second},
		{&o.Established, 10 * time.Minute},
		{&o.Linger, 5 * time.Second},
		{&o.OpenAfter, time.Second},
		{&o.Update, time.Minute},
	} {
		if *d.is == 0 {
			*d.is = d.want
		}
	}
	if o.MaxFlows <= 0 {
		o.MaxFlows = 1_000_000
	}
	if o.MaxInspected <= 0 {
		o.MaxInspected = 100_000
	}
	if o.Idle < 0 {
		o.Established = o.Idle
	} else if o.Established > 0 {
		o.Established = max(o.Established, o.Idle)
	}
	return o
}

// Stats are counts since a Table was made.
type Stats struct {
	// Packets were counted in flows; NotIP are frames that belong to none.
	Packets, NotIP uint64
	Opened         uint64
	// Ended counts by reason, with End as the index.
	Ended [Shutdown + 1]uint64
	// GivenUp are flows that the Engine was not done with when its room was needed.
	GivenUp uint64
	// EvictedEstablished are those of Ended[Evicted] that were connections of TCP in use,
	// since there was nothing better among what was compared.
	EvictedEstablished uint64
	// ClockSetBack is how often the time of packets went back for good.
	ClockSetBack uint64
	// Active is how many flows there are now.
	Active int
}

// Table holds the flows of one source. One goroutine uses it. The zero value is not
// usable.
type Table struct {
	o                                Options
	secret                           secret
	clock                            clock
	now                              tick
	turnedTo                         tick // the wheel has been turned up to here
	idle, long, linger, open, update tick
	index                            index
	records                          records
	wheel                            wheel
	waiting                          waiting
	inspections                      inspections
	tunnels                          tunnelSets
	random                           *rand.Rand
	stats                            Stats
	batch                            batch
	syn                              packet.Packet
	flow                             Flow
}

const second = tick(1_000_000_000 >> tickShift)

// New returns an empty Table.
func New(o Options) *Table {
	o = o.withDefaults()
	t := &Table{
		o: o, secret: newSecret(), index: newIndex(), now: 1, turnedTo: 1,
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), //nolint:gosec // samples, no secrets
	}
	t.idle, t.long, t.linger = ticks(o.Idle), ticks(o.Established), ticks(o.Linger)
	t.open, t.update = ticks(o.OpenAfter), ticks(o.Update)
	t.records.memory.own(t)
	return t
}

// never is the duration that does not pass.
const never = tick(1 << 30)

// ticks rounds up, so that nothing ends early.
func ticks(d time.Duration) tick {
	if d < 0 || d > 365*24*time.Hour {
		return never
	}
	return tick((d + 1<<tickShift - 1) >> tickShift)
}

// Stats returns the counts.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Active = t.records.live()
	s.ClockSetBack = t.clock.setBack
	return s
}

// Advance lets time pass up to now, in Unix nanoseconds by the clock of the packets,
// when none come.
func (t *Table) Advance(now int64) {
	t.pass(now)
	runtime.KeepAlive(t)
}

func (t *Table) pass(at int64) {
	if now := t.clock.pass(at); now != t.now {
		t.now = now
		t.turn()
	}
}

// Close ends all flows.
func (t *Table) Close() {
	for n := uint32(1); n <= t.records.made; n++ {
		if h := t.records.hot(n); h.marks.has(used) {
			t.end(n, h, Shutdown)
		}
	}
	runtime.KeepAlive(t)
}

// Add counts a packet in its flow. Nothing of p is kept.
func (t *Table) Add(p *packet.Packet) {
	s := &t.batch.sought[0]
	if s.likely = 0; p.Version != 0 {
		t.seek(p, s)
	}
	t.add(p, s)
	runtime.KeepAlive(t) // Records may lie in memory that goes with it.
}

// begin makes the record of a new flow.
func (t *Table) begin(k *key, hash uint32, side uint8, p *packet.Packet) (uint32, *hot) {
	if t.records.live() >= t.o.MaxFlows {
		t.evict()
	}
	n := t.records.take()
	h, c := t.records.hot(n), t.records.cold(n)
	*h = hot{key: *k, seen: t.now, last: p.Time, next: t.now + t.open, marks: unanswered | used}
	*c = cold{begun: p.Time, hash: hash, iface: p.Interface, tunnels: t.tunnels.number(p)}
	c.mac[side], c.mac[1-side] = p.SrcMAC, p.DstMAC
	began, certain := guess(p)
	if began != (side == 0) {
		h.marks |= turned
	}
	if certain {
		h.marks |= sure
	}
	if p.Protocol == protoTCP && p.HasPorts && p.Flags&packet.SYN == 0 && (p.Flags != 0 || !p.Fragment) {
		h.marks |= midstream // Of a header cut before its flags, the next fragment has them.
	}
	t.index.put(hash, n)
	t.waiting.append(&t.records, n)
	t.wheel.put(&t.records, n, t.now, t.now+min(t.open, t.patience(h)))
	t.stats.Opened++
	return n, h
}

// enough is after how many packets a flow other than TCP is no attempt any more,
// though nobody answers.
const enough = 3

// count adds a packet to its flow.
func (t *Table) count(n uint32, h *hot, side uint8, p *packet.Packet) {
	s := &h.sides[side]
	s.packets += uint64(p.Segments)
	s.bytes += uint64(p.IPBytes)
	s.payload += uint64(p.PayloadBytes)
	h.seen = t.now
	if p.Time > h.last {
		h.last = p.Time
	} else if c := t.records.cold(n); p.Time < c.begun && c.begun-p.Time <= reorder {
		c.begun = p.Time
	}
	if !h.marks.has(answered) && h.sides[1-side].packets != 0 {
		h.marks |= answered
		if h.marks.has(midstream) {
			h.marks |= established
		}
	}
	if h.marks.has(unanswered) && (h.marks.has(answered) || p.Protocol != protoTCP && s.packets >= enough) {
		h.marks &^= unanswered
		t.waiting.remove(&t.records, n)
	}
	if p.Protocol == protoTCP && p.HasPorts {
		t.tcp(n, h, side, p)
	}
	if !h.marks.has(inspected) && t.o.Engine != nil {
		t.inspect(n, h, side, p)
	}
}

// patience is how long a flow may be idle.
func (t *Table) patience(h *hot) tick {
	switch {
	case h.end != Alive:
		return t.linger
	case h.marks.has(established):
		return t.long
	}
	return t.idle
}

// turn looks at all records that are due by now.
func (t *Table) turn() {
	from := t.turnedTo + 1
	if t.now-t.turnedTo > wheelSlots {
		from = t.now - wheelSlots + 1
	}
	t.turnedTo = t.now
	for at := from; at-1 != t.now; at++ {
		// The slot is emptied first: what is put back for later may belong in it again.
		n := t.wheel.heads[at%wheelSlots]
		t.wheel.heads[at%wheelSlots] = 0
		for n != 0 {
			following := t.records.cold(n).later
			t.due(n)
			n = following
		}
	}
}

// due looks at one record, which is in no slot.
func (t *Table) due(n uint32) {
	h := t.records.hot(n)
	patience := t.patience(h)
	// Ticks wrap around after nine years, so that differences are compared.
	if patience != never && t.now-h.seen >= patience {
		t.wheel.put(&t.records, n, t.now, t.now+1) // end takes it out
		t.end(n, h, Idle)
		return
	}
	if t.reached(h.next) {
		switch {
		case !h.marks.has(told):
			t.tell(n, h, Consumer.Opened)
		case t.update != never && h.seen+t.update-h.next < never: // A packet came since the last time.
			t.tell(n, h, Consumer.Updated)
		}
		h.next = t.now + t.update
	}
	t.wheel.put(&t.records, n, t.now, t.now+min(patience-(t.now-h.seen), h.next-t.now))
}

// reached reports whether it is a tick's time, or past it.
func (t *Table) reached(at tick) bool { return t.now-at < 1<<31 }

// sample is how many records are compared to find one to evict.
const sample = 16

// evict ends one flow to make room.
func (t *Table) evict() {
	n := t.waiting.oldest
	if n == 0 {
		// All records are taken, since there are as many flows as there may be.
		for range sample {
			candidate := 1 + t.random.Uint32N(t.records.made)
			h := t.records.hot(candidate)
			if h.marks.has(used) && (n == 0 || t.lessNeeded(h, t.records.hot(n))) {
				n = candidate
			}
		}
	}
	h := t.records.hot(n)
	if h.worth() == worthMost {
		t.stats.EvictedEstablished++
	}
	t.end(n, h, Evicted)
}

// lessNeeded reports whether a is to go before b.
func (t *Table) lessNeeded(a, b *hot) bool {
	if aw, bw := a.worth(), b.worth(); aw != bw {
		return aw < bw
	}
	return t.now-a.seen > t.now-b.seen
}

// end tells of a flow for the last time and frees its record. why counts where the
// connection had not ended by itself.
func (t *Table) end(n uint32, h *hot, why End) {
	if h.end == Alive {
		h.end = why
	}
	t.conclude(h)
	t.fill(n, h)
	if !h.marks.has(told) {
		t.o.Consumer.Opened(&t.flow)
	}
	t.o.Consumer.Ended(&t.flow)
	t.stats.Ended[h.end]++
	c := t.records.cold(n)
	t.wheel.remove(&t.records, n)
	if h.marks.has(unanswered) {
		t.waiting.remove(&t.records, n)
	}
	t.index.remove(c.hash, n)
	t.tunnels.release(c.tunnels)
	t.forget(h)
	h.marks = 0
	t.records.give(n)
}
