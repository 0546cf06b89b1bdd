package scan

import (
	"context"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/scan/probe"
)

// wire is what an engine sends and receives by: a probe.Wire.
type wire interface {
	Slot() []byte
	Queue(packet []byte, to probe.MAC) bool
	Flush() error
	Receive(each func(packet []byte, from probe.MAC)) (int, error)
	Wait(long time.Duration)
}

// counters are what Progress is made of. All engines of a scan add to them.
type counters struct {
	addresses, looked, hosts              atomic.Uint64
	sent, answered, resent, strays, given atomic.Uint64
	left                                  atomic.Int64
	lost                                  atomic.Int64
	heard                                 atomic.Uint64
}

// ask is what one probe asks: a port of TCP, or 0 for an echo.
type ask = uint16

// engine asks many hosts of one network the same things. One goroutine runs it; it
// takes subjects from a channel and gives them back when they are done.
type engine struct {
	wire  wire
	base  uint16 // of our ports: the try is added
	echo  uint16 // the id of our echo requests
	asks  []ask
	index *[1 << 16]int32 // of asks by port, -1 for others
	seed  maphash.Seed
	pace  pace
	limit *limiter
	every time.Duration // between packets to one host, 0 is no limit
	first bool          // one answer of a host is enough
	// datagram is which of asks is a port of UDP, at which a host says that nobody listens;
	// 0 is none.
	datagram ask
	// permit waits until packets may be sent at this time of day; nil is always. It is
	// called once a second. What was under way meanwhile is sent again.
	permit    func(context.Context) error
	permitted time.Duration
	count     *counters
	clock     func() time.Duration
	// done gets each subject when all is known of it.
	done func(*subject) error

	subjects map[netip.Addr]*subject
	active   []*subject
	cursor   int
	total    int // of subjects that there were
	waiting  [2]int
	queues   [triesMost + 1]queue
	failure  error // of done
}

// cookie is what the number of a probe is made of, together with a seed.
type cookie struct {
	ip          netip.Addr
	port, local uint16
}

// sentProbe is a probe that may be answered.
type sentProbe struct {
	to    *subject
	index uint32
	at    time.Duration
}

// queue holds probes in the order in which they were sent.
type queue struct {
	all  []sentProbe
	head int
}

func (q *queue) push(p sentProbe) {
	if q.head > 4096 && q.head*2 > len(q.all) {
		n := copy(q.all, q.all[q.head:])
		clear(q.all[n:])
		q.all, q.head = q.all[:n], 0
	}
	q.all = append(q.all, p)
}

// newEngine makes one of share engines that ask hosts of one network at once.
func newEngine(w wire, base uint16, asks []ask, longest time.Duration, share int) *engine {
	e := &engine{
		wire: w, base: base, echo: newEchoID(), asks: asks, index: new([1 << 16]int32), seed: maphash.MakeSeed(), pace: newPace(longest, share),
		subjects: map[netip.Addr]*subject{},
	}
	for i := range e.index {
		e.index[i] = -1
	}
	for i, a := range asks {
		e.index[a] = int32(i)
	}
	return e
}

// Bounds of what is asked at once.
const (
	mostProbes   = 2 << 20
	mostSubjects = 4096
	// idleMost is the longest that an engine waits without looking whether something
	// else has come up.
	idleMost = 5 * time.Millisecond
)

func (e *engine) full() bool {
	return len(e.active) > 0 && (len(e.active) >= mostSubjects || (len(e.active)+1)*len(e.asks) > mostProbes)
}

// run asks all subjects that come until the channel is closed.
func (e *engine) run(ctx context.Context, in <-chan candidate) error {
	for {
		open, err := e.admit(ctx, in)
		if err != nil {
			return err
		}
		if !open {
			in = nil
		}
		if in == nil && len(e.active) == 0 {
			return nil
		}
		if err := e.pause(ctx); err != nil {
			return err
		}
		heard, err := e.receive() // before anything is given up: this process may have had to wait
		if err != nil {
			return err
		}
		now := e.clock()
		e.expire(now)
		sent, until, err := e.send(now)
		if err != nil {
			return err
		}
		if sent == 0 && heard == 0 && len(e.active) > 0 {
			e.wire.Wait(min(idleMost, max(until-e.clock(), 50*time.Microsecond)))
		}
		if e.failure != nil {
			return e.failure
		}
	}
}

// pause waits for the hours in which packets may be sent.
func (e *engine) pause(ctx context.Context) error {
	if e.permit == nil || e.clock()-e.permitted < time.Second {
		return nil
	}
	err := e.permit(ctx)
	e.permitted = e.clock()
	return err
}

// admit takes in what has come. Where nothing is to be done it waits for it. open is
// false once nothing more comes.
func (e *engine) admit(ctx context.Context, in <-chan candidate) (open bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if in == nil {
		return false, nil
	}
	for !e.full() {
		var c candidate
		if len(e.active) > 0 {
			select {
			case c, open = <-in:
			default:
				return true, nil
			}
		} else {
			select {
			case c, open = <-in:
			case <-ctx.Done():
				return false, ctx.Err()
			}
		}
		if !open {
			return false, nil
		}
		e.start(c)
	}
	return true, nil
}

func (e *engine) start(c candidate) {
	if e.subjects[c.host.IP] != nil {
		return
	}
	s := newSubject(c, len(e.asks))
	s.at = len(e.active)
	e.active = append(e.active, s)
	e.subjects[c.host.IP] = s
	e.total++
	if e.pace.srtt == 0 && c.host.RTT > 0 {
		e.pace.measure(c.host.RTT)
	}
	e.count.left.Add(int64(len(e.asks)))
}

// finish gives back a subject of which nothing more is asked.
func (e *engine) finish(s *subject) {
	s.finished = true
	e.waiting[muteIndex(s.mute)] -= s.outstanding
	s.outstanding = 0
	last := e.active[len(e.active)-1]
	e.active[s.at], last.at = last, s.at
	e.active = e.active[:len(e.active)-1]
	delete(e.subjects, s.host.IP)
	e.count.left.Add(-int64(len(s.state) - s.answered()))
	e.count.given.Add(uint64(len(s.state) - s.answered()))
	if err := e.done(s); err != nil && e.failure == nil {
		e.failure = err
	}
}

func muteIndex(mute bool) int {
	if mute {
		return 1
	}
	return 0
}

// send sends what may be sent now, at most one batch. until is when it makes sense to
// look again.
func (e *engine) send(now time.Duration) (sent int, until time.Duration, err error) {
	const most = 64
	until = e.deadline(now)
	granted, next := e.limit.take(now, most)
	if granted == 0 {
		return 0, min(until, next), nil
	}
	for sent < granted {
		s := e.pick(now)
		if s == nil {
			break
		}
		index, ok := s.take()
		if !ok {
			e.settle(s)
			continue
		}
		e.launch(s, index, now)
		sent++
	}
	e.limit.back(granted - sent)
	if sent > 0 {
		e.count.sent.Add(uint64(sent))
		err = e.wire.Flush()
	}
	return sent, until, err
}

// pick gives the next subject in turn that may be sent something, nil if none may.
func (e *engine) pick(now time.Duration) *subject {
	for range e.active {
		if e.cursor >= len(e.active) {
			e.cursor = 0
		}
		s := e.active[e.cursor]
		e.cursor++
		if s.ready(now) && e.fits(s) {
			return s
		}
	}
	return nil
}

func (e *engine) fits(s *subject) bool {
	if s.mute {
		return e.waiting[1] < e.pace.mute()
	}
	return e.waiting[0] < int(e.pace.window)
}

// launch makes a probe and queues it.
func (e *engine) launch(s *subject, index uint32, now time.Duration) {
	try := int(s.state[index]>>triesShift&triesBits) + 1
	s.state[index] = uint8(try<<triesShift) | waitingBit
	if try > 1 {
		if s.before == nil {
			s.before = make([]uint32, len(s.sent))
		}
		s.before[index] = s.sent[index]
	}
	s.sent[index] = uint32(now / tick)
	s.outstanding++
	e.waiting[muteIndex(s.mute)]++
	e.pace.sent++
	if try > 1 {
		e.count.resent.Add(1)
	}
	if e.every > 0 {
		s.nextAt = max(s.nextAt, now-burst) + e.every
	}
	e.queues[try].push(sentProbe{s, index, now})
	seq := e.number(s.host.IP, e.asks[index], try)
	var packet []byte
	switch port := e.asks[index]; port {
	case 0:
		packet = probe.AppendEcho(e.wire.Slot(), s.path.Source, s.host.IP, uint16(seq>>16), uint16(seq))
	case e.datagram:
		packet = e.appendDatagram(e.wire.Slot(), s, try)
	default:
		packet = probe.AppendSYN(e.wire.Slot(), s.path.Source, s.host.IP, e.base+uint16(try), port, seq)
	}
	e.wire.Queue(packet, s.hop)
}

// appendDatagram appends what asks by UDP.
func (e *engine) appendDatagram(b []byte, s *subject, try int) []byte {
	return probe.AppendUDPTTL(b, s.path.Source, s.host.IP, e.base+uint16(try), e.datagram, e.number(s.host.IP, e.datagram, try), probe.HopLimit)
}

// newEchoID is an id of echo requests that nobody can foretell.
func newEchoID() uint16 { return uint16(1 + rand.IntN(math.MaxUint16)) } //nolint:gosec // seeded by the system, ChaCha8; 0 is none

// number is what a probe bears and its answer shows. That of an echo begins with the id,
// the same for all, and ends in the try.
func (e *engine) number(ip netip.Addr, port ask, try int) uint32 {
	if port == 0 {
		return uint32(e.echo)<<16 | uint32(maphash.Comparable(e.seed, cookie{ip: ip}))&0xffff&^triesBits | uint32(try)
	}
	return uint32(maphash.Comparable(e.seed, cookie{ip, port, e.base + uint16(try)}))
}

// deadline is when the next probe is given up.
func (e *engine) deadline(now time.Duration) time.Duration {
	next := now + idleMost
	for try := 1; try <= triesMost; try++ {
		if q := &e.queues[try]; q.head < len(q.all) {
			next = min(next, q.all[q.head].at+e.pace.wait(try))
		}
	}
	return next
}

// expire gives up probes that were waited for long enough.
func (e *engine) expire(now time.Duration) {
	for try := 1; try <= triesMost; try++ {
		q := &e.queues[try]
		wait := e.pace.wait(try)
		for q.head < len(q.all) && now-q.all[q.head].at >= wait {
			p := q.all[q.head]
			q.all[q.head].to = nil
			q.head++
			e.silence(p.to, p.index, try)
		}
		if q.head == len(q.all) {
			q.all, q.head = q.all[:0], 0
		}
	}
}

// silence notes that nobody answered a try.
func (e *engine) silence(s *subject, index uint32, try int) {
	if s.finished || s.state[index] != uint8(try<<triesShift)|waitingBit {
		return // it was answered
	}
	s.state[index] &^= waitingBit
	s.outstanding--
	e.waiting[muteIndex(s.mute)]--
	s.expired++
	e.pace.blind()
	if !s.mute && s.expired >= muteAfter && s.open+s.closed == 0 {
		s.mute = true
		e.waiting[0] -= s.outstanding
		e.waiting[1] += s.outstanding
	}
	if try < triesLeast {
		s.again = append(s.again, index)
	} else {
		s.silent = append(s.silent, index)
	}
	e.settle(s)
}

// settle ends a subject that has nothing left to ask, or has what was silent asked
// again where losses make that sensible.
func (e *engine) settle(s *subject) {
	if s.finished || !s.idle() {
		return
	}
	if len(s.silent) > 0 && !e.first && s.stubborn(e.pace.tries(len(s.state)*e.total)) {
		return
	}
	e.finish(s)
}
