package scan

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/net/bpf"

	"github.com/amoskys/amoskys/internal/scan/claim"
	"github.com/amoskys/amoskys/internal/scan/probe"
)

const (
	// sweepTries is how often a neighbour is asked for its address.
	sweepTries = 2
	// sweepWait is the wait after the first round, sweepLast that after the last one:
	// radios that sleep answer late.
	sweepWait, sweepLast = 80 * time.Millisecond, 150 * time.Millisecond
	// sweepRate is how many requests are sent in a second, since a segment hears each of
	// them, in bursts of sweepBurst.
	sweepRate, sweepBurst = 10_000, 256
)

// neighbour is who answered.
type neighbour struct {
	ip  netip.Addr
	mac probe.MAC
	rtt time.Duration
}

// sweep asks for the Ethernet addresses of neighbours, of one family and all on the
// segment of path, and calls found once for each that answers. An address that nobody
// was asked for is none.
func (s *scanner) sweep(ctx context.Context, path probe.Path, addresses []netip.Addr, found func(neighbour) error) (err error) {
	if len(addresses) == 0 {
		return nil
	}
	six := addresses[0].Is6()
	var w *probe.Wire
	if six {
		w, err = openNeighbourWire(path.Index)
	} else {
		w, err = probe.OpenWire(path.Index, probe.EtherARP, nil)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	r := sweeper{s: s, wire: w, path: path, six: six, asked: make(map[netip.Addr]time.Duration, len(addresses)), found: found}
	left := addresses
	for try := 1; try <= sweepTries && len(left) > 0; try++ {
		if err := r.round(ctx, left); err != nil {
			return err
		}
		wait := sweepWait
		if try == sweepTries {
			wait = sweepLast
		}
		if err := r.listen(ctx, max(wait, min(3*r.slowest, s.plan.Timeout))); err != nil {
			return err
		}
		silent := make([]netip.Addr, 0, len(r.asked))
		for _, a := range left {
			if _, waits := r.asked[a]; waits {
				silent = append(silent, a)
			}
		}
		left = silent
	}
	return nil
}

func openNeighbourWire(index int) (*probe.Wire, error) {
	program, err := probe.NeighbourFilter()
	if err != nil {
		return nil, err
	}
	return probe.OpenWire(index, probe.EtherIPv6, program)
}

// sweeper is one sweep.
type sweeper struct {
	s       *scanner
	wire    *probe.Wire
	path    probe.Path
	six     bool
	asked   map[netip.Addr]time.Duration // those that have not answered
	slowest time.Duration                // answer
	found   func(neighbour) error
	failure error
}

// round asks all of some addresses once.
func (r *sweeper) round(ctx context.Context, addresses []netip.Addr) error {
	began := r.s.clock()
	for i, a := range addresses {
		if err := r.permitted(ctx); err != nil {
			return err
		}
		if i%sweepBurst == sweepBurst-1 {
			// A burst, and then as long a rest as the rate wants.
			if err := r.listenUntil(ctx, began+time.Duration(i)*time.Second/sweepRate); err != nil {
				return err
			}
		}
		for granted := 0; granted == 0; {
			var until time.Duration
			if granted, until = r.s.limit.take(r.s.clock(), 1); granted == 0 {
				if err := errors.Join(r.wire.Flush(), r.listenUntil(ctx, until)); err != nil {
					return err
				}
			}
		}
		if _, again := r.asked[a]; again {
			r.s.count.resent.Add(1)
		}
		r.asked[a] = r.s.clock()
		r.s.count.sent.Add(1)
		if !r.queue(a) {
			if err := r.wire.Flush(); err != nil {
				return err
			}
			if _, err := r.wire.Receive(r.hear); err != nil {
				return err
			}
		}
	}
	return r.wire.Flush()
}

// permitted waits for the hours in which the plan allows to send. What answers to what was
// sent before is taken in first.
func (r *sweeper) permitted(ctx context.Context) error {
	if r.s.plan.Hours.Allow(r.s.now()) {
		return nil
	}
	if err := errors.Join(r.wire.Flush(), r.listen(ctx, sweepLast)); err != nil {
		return err
	}
	return r.s.permitted(ctx)
}

func (r *sweeper) queue(a netip.Addr) (more bool) {
	if r.six {
		_, group := probe.Solicited(a)
		return r.wire.Queue(probe.AppendSolicitation(r.wire.Slot(), r.path.Own, r.path.Source, a), group)
	}
	return r.wire.Queue(probe.AppendARP(r.wire.Slot(), r.path.Own, r.path.Source, a), probe.Broadcast())
}

// listen takes in answers for so long, or until all have answered.
func (r *sweeper) listen(ctx context.Context, long time.Duration) error {
	return r.hearUntil(ctx, r.s.clock()+long, func() bool { return len(r.asked) == 0 })
}

// listenUntil takes in answers until a time.
func (r *sweeper) listenUntil(ctx context.Context, until time.Duration) error {
	return r.hearUntil(ctx, until, func() bool { return false })
}

func (r *sweeper) hearUntil(ctx context.Context, until time.Duration, enough func() bool) error {
	for {
		n, err := r.wire.Receive(r.hear)
		if err := errors.Join(err, r.failure, ctx.Err()); err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		left := until - r.s.clock()
		if left <= 0 || enough() {
			return nil
		}
		r.wire.Wait(min(left, 50*time.Millisecond))
	}
}

func (r *sweeper) hear(packet []byte, from probe.MAC) {
	var ip netip.Addr
	var mac probe.MAC
	var ok bool
	if r.six {
		ip, mac, ok = probe.ReadAdvertisement(packet, from)
	} else {
		ip, mac, ok = probe.ReadARP(packet, r.path.Own)
	}
	at, asked := r.asked[ip]
	if !ok || !asked || r.failure != nil {
		return
	}
	rtt := r.s.clock() - at
	r.slowest = max(r.slowest, rtt)
	delete(r.asked, ip)
	r.failure = r.found(neighbour{ip, mac, rtt})
}

// everyone asks all hosts of a segment for an echo (RFC 4443 over multicast), from each
// of our addresses of IPv6 there, and calls found for each that answers.
func (s *scanner) everyone(ctx context.Context, segments []probe.Segment, found func(neighbour) error) (err error) {
	w, err := openNeighbourWire(segments[0].Path.Index)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	group := probe.AllNodes()
	id := newEchoID()
	s.claims.Claim(claim.Echo, id, 1)
	seen := map[netip.Addr]bool{}
	var failure error
	var began time.Duration
	hear := func(packet []byte, from probe.MAC) {
		a := probe.Read(packet)
		if a.Kind != probe.Echoes || a.Seq>>16 != uint32(id) || seen[a.From] || len(seen) >= defaultMost || failure != nil {
			return
		}
		seen[a.From] = true
		failure = found(neighbour{a.From, from, s.clock() - began})
	}
	for try := range sweepTries {
		for _, g := range segments {
			if err := s.allowed(ctx); err != nil {
				return err
			}
			w.Queue(probe.AppendEcho(w.Slot(), g.Path.Source, group, id, uint16(try)), probe.GroupMAC(group))
			s.count.sent.Add(1)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		began = s.clock()
		// Hosts spread their answers to what went to many.
		for end := began + 300*time.Millisecond; s.clock() < end; {
			n, err := w.Receive(hear)
			if err := errors.Join(err, failure, ctx.Err()); err != nil {
				return err
			}
			if n == 0 {
				w.Wait(min(end-s.clock(), 50*time.Millisecond))
			}
		}
	}
	return nil
}

// answerWire opens the wire of an engine.
func answerWire(index int, six bool, base uint16) (*probe.Wire, error) {
	ethertype := uint16(probe.EtherIPv4)
	if six {
		ethertype = probe.EtherIPv6
	}
	var program []bpf.RawInstruction
	program, err := probe.AnswerFilter(ethertype, base)
	if err != nil {
		return nil, err
	}
	return probe.OpenWire(index, ethertype, program)
}
