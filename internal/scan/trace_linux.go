package scan

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/scan/claim"
	"github.com/amoskys/amoskys/internal/scan/probe"
)

// Bounds of looking for ways.
const (
	// hopsMost is the longest way; five bits of a probe's number say which hop it is for.
	hopsMost, hopBits = 30, 31
	// hopsAtOnce is how many hops of one way are asked at once, and hopsSilent after how
	// many silent ones in a row nobody further on is asked.
	hopsAtOnce, hopsSilent = 4, 5
	// waysMost is how many ways one scan looks for; networks have few.
	waysMost = 4096
	// hopWait is the shortest wait for routers, which answer when they have time.
	hopWait = 250 * time.Millisecond
	// portTrace is the first port of traceroute(8), one for each hop.
	portTrace = 33434
)

// tracer looks for ways to hosts beyond the segment. The first host of a network of 24 bits
// (IPv6: 64) has its whole way looked for, others only whether their last router is the
// same. Each hop is asked by an echo request, and by a datagram if that stays unanswered.
type tracer struct {
	s    *scanner
	seed maphash.Seed
	echo uint16 // the id of echo requests

	mu     sync.Mutex // guards what follows
	routes *probe.Routes
	lines  map[network]*line
	ways   map[netip.Prefix]*way
	left   int
}

// way is that to the first host of a network. Its mutex is held while it is looked for.
type way struct {
	mu     sync.Mutex
	looked bool
	Route
}

func newTracer(s *scanner) (*tracer, error) {
	routes, err := probe.OpenRoutes()
	if err != nil {
		return nil, err
	}
	t := &tracer{s: s, seed: maphash.MakeSeed(), echo: newEchoID(), routes: routes, lines: map[network]*line{}, ways: map[netip.Prefix]*way{}, left: waysMost}
	s.claims.Claim(claim.Echo, t.echo, 1)
	return t, nil
}

// close ends what trace began. No trace runs any more.
func (t *tracer) close() error {
	errs := make([]error, 0, 1+len(t.lines))
	errs = append(errs, t.routes.Close())
	for _, l := range t.lines {
		if l != nil {
			errs = append(errs, l.close())
		}
	}
	return errors.Join(errs...)
}

// trace adds the way to a host, if it is beyond the segment and there is room for it. The
// error is that of the network of this host.
func (t *tracer) trace(ctx context.Context, h *Host) error {
	l, known, err := t.begin(ctx, h.IP)
	if l == nil || err != nil {
		return err
	}
	q := query{t: t, l: l, h: h, answers: l.listen(h.IP), wait: max(hopWait, min(4*h.RTT, t.s.plan.Timeout))}
	defer l.leave(h.IP)
	known.mu.Lock()
	if !known.looked {
		h.Route, known.looked = q.look(ctx), true
		known.Route = h.Route
		known.mu.Unlock()
	} else {
		before := known.Route
		known.mu.Unlock()
		h.Route = q.compare(ctx, before)
	}
	h.Route = h.Route.begun(l.path, l.hop)
	return errors.Join(l.failure(), ctx.Err())
}

// begun is a way along a path: the first router is known from the table of routes, where it
// does not answer, and has the Ethernet address to which packets went. The hops of r stay as
// they are, as those of other hosts are compared with them at the same time.
func (r Route) begun(path probe.Path, mac probe.MAC) Route {
	r.From = path.Source
	first, rest := Hop{TTL: 1, IP: path.Gateway}, r.Hops
	switch {
	case len(rest) > 0 && rest[0].TTL == 1:
		first, rest = rest[0], rest[1:]
	case !path.Gateway.IsValid() || r.Length == 0:
		return r
	}
	first.MAC = mac
	if first.IP.IsLinkLocalUnicast() && first.IP.Is6() {
		first.IP = first.IP.WithZone(path.Interface)
	}
	r.Hops = slices.Concat([]Hop{first}, rest)
	return r
}

// begin gives what leads to an address, and what is known of the way to its network; nil
// where no way is looked for.
func (t *tracer) begin(ctx context.Context, ip netip.Addr) (*line, *way, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	path, err := t.routes.To(ip)
	if errors.Is(err, probe.ErrNoRoute) || err == nil && (path.Self || path.Ethernet && !path.Gateway.IsValid()) || t.left == 0 || ip.IsLinkLocalUnicast() {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("route to %s: %w", ip, err)
	}
	t.left--
	l, opened := t.lines[networkOf(path)]
	if !opened {
		if l, err = t.open(ctx, path); err != nil {
			return nil, nil, err
		}
		t.lines[networkOf(path)] = l
	}
	if l == nil {
		return nil, nil, nil
	}
	bits := 24
	if ip.Is6() {
		bits = 64
	}
	of, _ := ip.Prefix(bits)
	w := t.ways[of]
	if w == nil {
		w = &way{}
		t.ways[of] = w
	}
	return l, w, nil
}

// open makes a line over the gateway of a path; nil where the gateway does not say where it
// is, so that nothing is sent to nobody.
func (t *tracer) open(ctx context.Context, path probe.Path) (*line, error) {
	l := &line{path: path, base: t.s.nextBase(), askers: map[netip.Addr]chan probe.Answer{}, end: make(chan struct{})}
	if path.Ethernet {
		if err := t.s.sweep(ctx, path, []netip.Addr{path.Gateway}, func(n neighbour) error {
			l.hop = n.mac
			return nil
		}); err != nil {
			return nil, err
		}
		if l.hop.IsZero() {
			return nil, nil
		}
	}
	var err error
	if l.wire, err = answerWire(path.Index, path.Source.Is6(), l.base); err != nil {
		return nil, err
	}
	l.hearing.Go(func() { l.hear() })
	return l, nil
}

// line sends over one gateway, and hands what comes back to who asked. One goroutine
// receives, and those that send take turns.
type line struct {
	path    probe.Path
	hop     probe.MAC
	base    uint16
	wire    *probe.Wire
	sending sync.Mutex
	hearing sync.WaitGroup
	end     chan struct{}

	mu     sync.Mutex // guards what follows
	askers map[netip.Addr]chan probe.Answer
	fault  error // of receiving
}

func (l *line) close() error {
	close(l.end)
	l.hearing.Wait()
	return l.wire.Close()
}

func (l *line) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// listen has answers about a host put into a channel. One that is full loses them.
func (l *line) listen(ip netip.Addr) <-chan probe.Answer {
	c := make(chan probe.Answer, 2*hopsMost)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.askers[ip] = c
	return c
}

func (l *line) leave(ip netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.askers, ip)
}

// hear takes in answers until the line is closed.
func (l *line) hear() {
	for {
		select {
		case <-l.end:
			return
		default:
		}
		n, err := l.wire.Receive(l.dispatch)
		if err != nil {
			l.mu.Lock()
			l.fault = err
			l.mu.Unlock()
			return
		}
		if n == 0 {
			l.wire.Wait(20 * time.Millisecond)
		}
	}
}

func (l *line) dispatch(packet []byte, _ probe.MAC) {
	a := probe.Read(packet)
	if a.Kind != probe.Expired && a.Kind != probe.Unreachable && a.Kind != probe.Echoes {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.askers[a.About] <- a: // a nil channel takes none
	default:
	}
}

func (l *line) send(packet func(slot []byte) []byte) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	l.wire.Queue(packet(l.wire.Slot()), l.hop)
	return l.wire.Flush()
}

// query looks for one way.
type query struct {
	t       *tracer
	l       *line
	h       *Host
	answers <-chan probe.Answer
	wait    time.Duration
	// hops are those that were asked, by TTL.
	hops [hopsMost + 1]askedHop
	// reached is the least TTL at which the host itself answered, 0 for none yet; ended is
	// the least at which somebody said that it cannot be reached.
	reached, ended int
}

// askedHop is a hop that was asked.
type askedHop struct {
	ip   netip.Addr // who answered
	rtt  time.Duration
	sent [2]time.Duration // by echo, by datagram; 0 was not
	sum  uint32           // what an error quotes of the datagram
}

// look finds the whole way.
func (q *query) look(ctx context.Context) Route {
	for next := 1; next <= hopsMost && !q.over(next); next += hopsAtOnce {
		ttls := make([]int, 0, hopsAtOnce)
		for ttl := next; ttl < next+hopsAtOnce && ttl <= hopsMost; ttl++ {
			ttls = append(ttls, ttl)
		}
		q.round(ctx, ttls, 0)
		silent := slices.DeleteFunc(ttls, func(ttl int) bool { return q.hops[ttl].ip.IsValid() || q.past(ttl) })
		q.round(ctx, silent, 1)
		if ctx.Err() != nil || q.l.failure() != nil {
			break
		}
	}
	return q.route()
}

// compare looks whether the way to a host ends as that of another host of its network, and
// finds the whole of one that does not.
func (q *query) compare(ctx context.Context, before Route) Route {
	if before.Length == 0 {
		return q.look(ctx)
	}
	q.round(ctx, []int{before.Length, before.Length + 1}, 0)
	far, last := q.reached == before.Length+1, q.hops[before.Length].ip
	switch n := len(before.Hops); {
	case q.reached == 0 && !last.IsValid() && !q.hops[before.Length+1].ip.IsValid():
		return Route{} // who asks on hears no more: routers answer one host a few times a second
	case far && !last.IsValid(),
		n > 0 && before.Hops[n-1] == (Hop{TTL: before.Length, IP: last, RTT: before.Hops[n-1].RTT}) && (far || q.reached == 0),
		far && (n == 0 || before.Hops[n-1].TTL < before.Length):
		return Route{Hops: slices.Clone(before.Hops), Length: before.Length}
	}
	q.hops, q.reached, q.ended = [hopsMost + 1]askedHop{}, 0, 0
	return q.look(ctx)
}

// over reports whether nobody from a TTL on needs to be asked.
func (q *query) over(next int) bool {
	if q.past(next) {
		return true
	}
	silent := 0
	for ttl := next - 1; ttl > 0 && !q.hops[ttl].ip.IsValid(); ttl-- {
		silent++
	}
	return silent >= hopsSilent
}

// past reports whether a TTL is further than the way is long.
func (q *query) past(ttl int) bool {
	return q.reached > 0 && ttl >= q.reached || q.ended > 0 && ttl >= q.ended
}

// round asks some hops, by echo or by datagram, and waits for their answers.
func (q *query) round(ctx context.Context, ttls []int, by int) {
	for _, ttl := range ttls {
		if q.past(ttl) || q.t.s.allowed(ctx) != nil || q.ask(ttl, by) != nil {
			continue
		}
		if q.t.s.every > 0 {
			q.hear(ctx, q.t.s.every, nil)
		}
	}
	q.hear(ctx, q.wait, ttls)
}

func (q *query) ask(ttl, by int) error {
	s, hop := q.t.s, &q.hops[ttl]
	s.count.sent.Add(1)
	hop.sent[by] = s.clock()
	return q.l.send(func(slot []byte) []byte {
		if by == 0 {
			n := q.number(ttl)
			return probe.AppendEchoTTL(slot, q.l.path.Source, q.h.IP, uint16(n>>16), uint16(n), uint8(ttl))
		}
		p := probe.AppendUDPTTL(slot, q.l.path.Source, q.h.IP, q.l.base, portTrace+uint16(ttl), q.number(ttl), uint8(ttl))
		hop.sum = probe.UDPSeq(p)
		return p
	})
}

// number is what an echo request bears, of which nobody else can guess all; it begins with
// the id and ends in the TTL. A datagram carries it.
func (q *query) number(ttl int) uint32 {
	return uint32(q.t.echo)<<16 | uint32(maphash.Comparable(q.t.seed, q.h.IP))&0xffff&^hopBits | uint32(ttl)
}

// hear takes in answers for so long, or until all of some hops are known.
func (q *query) hear(ctx context.Context, long time.Duration, ttls []int) {
	timer := time.NewTimer(long)
	defer timer.Stop()
	for ttls == nil || slices.ContainsFunc(ttls, func(ttl int) bool { return !q.hops[ttl].ip.IsValid() && !q.past(ttl) }) {
		select {
		case a := <-q.answers:
			q.take(&a)
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// take notes what an answer says, if it is about something that was asked.
func (q *query) take(a *probe.Answer) {
	ttl, by := int(a.Seq&hopBits), 0
	if a.UDP {
		ttl, by = int(a.Port)-portTrace, 1
	}
	if ttl < 1 || ttl > hopsMost || q.hops[ttl].sent[by] == 0 {
		return
	}
	hop := &q.hops[ttl]
	switch {
	case a.UDP && (a.Local != q.l.base || a.Seq != hop.sum),
		!a.UDP && a.Kind != probe.Echoes && !a.Echo,
		!a.UDP && a.Seq != q.number(ttl):
		return
	}
	if hop.ip.IsValid() {
		return
	}
	hop.ip, hop.rtt = a.From, q.t.s.clock()-hop.sent[by]
	lower := func(least *int) {
		if *least == 0 || ttl < *least {
			*least = ttl
		}
	}
	switch {
	case a.From == q.h.IP && a.Kind != probe.Expired:
		lower(&q.reached)
	case a.Kind == probe.Unreachable:
		lower(&q.ended)
	}
}

// route is what was found.
func (q *query) route() Route {
	r := Route{Length: max(0, q.reached-1)}
	seen := map[netip.Addr]bool{}
	for ttl := 1; ttl <= hopsMost && (q.reached == 0 || ttl < q.reached); ttl++ {
		hop := q.hops[ttl]
		if !hop.ip.IsValid() || hop.ip == q.h.IP || ttl > 1 && hop.ip.IsLinkLocalUnicast() { // which is of another segment, and nobody's here
			continue
		}
		if seen[hop.ip] {
			break // packets go in a circle
		}
		seen[hop.ip] = true
		r.Hops = append(r.Hops, Hop{TTL: ttl, IP: hop.ip, RTT: hop.rtt})
	}
	return r
}
