package scan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/scan/claim"
	"github.com/amoskys/amoskys/internal/scan/probe"
)

// rawPossible says why raw sockets cannot be used, nil if they can.
func rawPossible() error {
	w, err := probe.OpenWire(0, probe.EtherARP, nil)
	if err != nil {
		return err
	}
	return w.Close()
}

// arpTable gives the Ethernet addresses of neighbours that the system knows.
func arpTable() map[netip.Addr]probe.MAC { return probe.Neighbours() }

// network is what packets of one engine have in common.
type network struct {
	index   int
	gateway netip.Addr
	source  netip.Addr
	self    bool
}

func networkOf(p probe.Path) network { return network{p.Index, p.Gateway, p.Source, p.Self} }

// group is addresses to which one path leads.
type group struct {
	path      probe.Path
	addresses []netip.Addr
}

// discoverRaw looks for hosts: neighbours by ARP and NDP, others by echo and TCP.
func (s *scanner) discoverRaw(ctx context.Context, found chan<- candidate) (err error) {
	routes, err := probe.OpenRoutes()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, routes.Close()) }()
	for piece := range s.chunks {
		if err := s.permitted(ctx); err != nil {
			return err
		}
		groups, err := s.grouped(routes, piece)
		if err != nil {
			return err
		}
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(8)
		for _, one := range groups {
			g.Go(func() error {
				defer s.count.looked.Add(uint64(len(one.addresses)))
				return s.look(ctx, one, found)
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return s.discoverWide(ctx, found)
}

// grouped sorts addresses by the path to them. Those to which there is none are left out.
func (s *scanner) grouped(routes *probe.Routes, addresses []netip.Addr) ([]*group, error) {
	known := map[network]*group{}
	var all []*group
	for _, a := range addresses {
		p, err := routes.To(a)
		if errors.Is(err, probe.ErrNoRoute) {
			s.count.looked.Add(1)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("route to %s: %w", a, err)
		}
		g := known[networkOf(p)]
		if g == nil {
			g = &group{path: p}
			known[networkOf(p)] = g
			all = append(all, g)
		}
		g.addresses = append(g.addresses, a)
	}
	return all, nil
}

// look finds out which addresses of a group are hosts.
func (s *scanner) look(ctx context.Context, g *group, found chan<- candidate) error {
	switch {
	case g.path.Self:
		for _, a := range g.addresses {
			h := &Host{IP: a, Interface: g.path.Interface, How: []string{"self"}}
			if err := s.hand(ctx, found, candidate{host: h, path: g.path}); err != nil {
				return err
			}
		}
		return nil
	case g.path.Ethernet && !g.path.Gateway.IsValid():
		return s.sweep(ctx, g.path, g.addresses, func(n neighbour) error {
			return s.hand(ctx, found, neighbourOf(g.path, n))
		})
	}
	var hop probe.MAC
	if g.path.Ethernet {
		if err := s.sweep(ctx, g.path, []netip.Addr{g.path.Gateway}, func(n neighbour) error {
			hop = n.mac
			return nil
		}); err != nil {
			return err
		}
		if hop.IsZero() {
			return nil // nobody passes packets on
		}
	}
	return s.ping(ctx, g, hop, found)
}

func neighbourOf(path probe.Path, n neighbour) candidate {
	how := "arp"
	if n.ip.Is6() {
		how = "ndp"
	}
	h := &Host{IP: n.ip, MAC: net.HardwareAddr(slices.Clone(n.mac[:])), Interface: path.Interface, RTT: n.rtt, How: []string{how}}
	return candidate{host: h, path: path, hop: n.mac}
}

// hand gives a host that was found to the next stage.
func (s *scanner) hand(ctx context.Context, found chan<- candidate, c candidate) error {
	if len(c.host.How) > 0 {
		s.count.hosts.Add(1)
	}
	select {
	case found <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pingAsks are asked of hosts beyond the segment to see whether they are there: an echo,
// ports that are often open, or refused by a guard that lets no echo through, and
// pingDatagram by UDP.
func pingAsks() []ask { return []ask{0, 443, 80, 22, 445, 3389, pingDatagram} }

// pingDatagram is a port at which nobody listens, so that a host says so (RFC 1122, section
// 4.1.3.1), also one that answers neither echoes nor what it does not serve by TCP.
const pingDatagram = 40_125

// ping finds hosts beyond the segment.
func (s *scanner) ping(ctx context.Context, g *group, hop probe.MAC, found chan<- candidate) error {
	candidates := make(chan candidate)
	feed := func(ctx context.Context, to chan<- candidate) error {
		for _, a := range g.addresses {
			select {
			case to <- candidate{host: &Host{IP: a, Interface: g.path.Interface}, path: g.path, hop: hop}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	if s.plan.NoPing && len(s.plan.Ports) > 0 {
		return feed(ctx, found)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(candidates)
		return feed(ctx, candidates)
	})
	group.Go(func() error {
		return s.engine(ctx, g.path, 1, pingAsks(), candidates, func(e *engine) { e.first, e.datagram = true, pingDatagram }, func(one *subject) error {
			if one.answered() == 0 {
				return nil
			}
			c := one.candidate
			c.host.How = []string{"tcp"}
			switch last := len(one.state) - 1; {
			case one.state[0]&outcomeBits != outcomeNone:
				c.host.How = []string{"icmp"}
			case one.state[last]&outcomeBits != outcomeNone:
				c.host.How = []string{"udp"}
			}
			return s.hand(ctx, found, c)
		})
	})
	return group.Wait()
}

// engine runs an engine, one of share for a network, on a wire of its own.
func (s *scanner) engine(ctx context.Context, path probe.Path, share int, asks []ask, in <-chan candidate, adjust func(*engine), done func(*subject) error) (err error) {
	base := s.nextBase()
	w, err := answerWire(path.Index, path.Source.Is6(), base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	e := newEngine(w, base, asks, s.plan.Timeout, share)
	if e.index[0] >= 0 {
		s.claims.Claim(claim.Echo, e.echo, 1)
	}
	e.limit, e.every, e.count, e.clock, e.done = s.limit, s.every, &s.count, s.clock, done
	if s.plan.Hours != (Hours{}) {
		e.permit = s.permitted
	}
	if adjust != nil {
		adjust(e)
	}
	if err := e.run(ctx, in); err != nil {
		return fmt.Errorf("scan over %s: %w", path.Interface, err)
	}
	return nil
}

// nextBase gives each engine ports of its own.
func (s *scanner) nextBase() uint16 {
	s.mu.Lock()
	if s.base += triesBits + 1; s.base > 65_520 {
		s.base = 61_000
	}
	base := s.base
	s.mu.Unlock()
	s.claims.Claim(claim.Port, base, triesBits+1)
	return base
}

// enginesMost is how many engines ask the ports of one network at once: nearly all of what a
// probe costs is the kernel's, which takes one thread's packets on one processor.
const enginesMost = 2

// lane is one of the engines of a network.
type lane struct {
	network
	turn int
}

// askRaw asks the ports of hosts as they are found, those of a network by some engines in
// turn.
func (s *scanner) askRaw(ctx context.Context, found <-chan candidate, asked chan<- *Host) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		inputs, hosts := map[lane]chan candidate{}, map[network]int{}
		share := min(enginesMost, runtime.GOMAXPROCS(0))
		defer func() {
			for _, in := range inputs {
				close(in)
			}
		}()
		local := make(chan candidate, queued)
		defer close(local)
		g.Go(func() error { return s.askConnect(ctx, local, asked) })
		order := portOrder(s.plan.Ports)
		for c := range found {
			in := local
			if !c.path.Self {
				key := lane{network: networkOf(c.path)}
				key.turn = hosts[key.network] % share
				hosts[key.network]++
				if in = inputs[key]; in == nil {
					in = make(chan candidate, queued)
					inputs[key] = in
					g.Go(func() error {
						return s.engine(ctx, c.path, share, order, in, nil, func(one *subject) error { return s.tell(ctx, one, asked) })
					})
				}
			}
			select {
			case in <- c:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return g.Wait()
}

// tell makes of a subject what is told of its host.
func (s *scanner) tell(ctx context.Context, one *subject, asked chan<- *Host) error {
	h := one.host
	if len(h.How) == 0 && one.answered() == 0 {
		return nil // taken for a host, and none
	}
	if len(h.How) == 0 {
		s.count.hosts.Add(1)
	}
	if one.open+one.closed > 0 {
		h.How = append(slices.Clip(h.How), "tcp")
		h.How = slices.Compact(h.How)
	}
	order := portOrder(s.plan.Ports)
	h.Asked, h.Closed = len(order), one.closed
	if h.AllOpen = one.everywhere(); !h.AllOpen {
		for i, port := range order {
			if one.state[i]&outcomeBits == outcomeOpen {
				h.Ports = append(h.Ports, Open{Port: port, Protocol: "tcp"})
			}
		}
		slices.SortFunc(h.Ports, func(a, b Open) int { return int(a.Port) - int(b.Port) })
		h.Filtered = h.Asked - h.Closed - len(h.Ports)
	}
	if one.hasTraits {
		traits := one.traits
		h.Stack = &traits
	}
	select {
	case asked <- h:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// discoverWide asks whole subnets of IPv6 that are too wide to be swept.
func (s *scanner) discoverWide(ctx context.Context, found chan<- candidate) error {
	var ranges []Range
	for _, r := range s.plan.Targets.ranges {
		if wide(r) {
			ranges = append(ranges, r)
		}
	}
	if len(ranges) == 0 {
		return nil
	}
	segments, err := probe.Segments()
	if err != nil {
		return err
	}
	targets := Targets{ranges}
	byLink := map[int][]probe.Segment{}
	for _, g := range segments {
		if g.Prefix.Addr().Is6() && targets.meets(rangeOf(g.Prefix)) {
			byLink[g.Path.Index] = append(byLink[g.Path.Index], g)
		}
	}
	for _, on := range byLink {
		if err := s.everyone(ctx, on, func(n neighbour) error {
			if !targets.Contains(n.ip) || s.plan.Exclude.Contains(n.ip) {
				return nil
			}
			for _, g := range on {
				if g.Prefix.Contains(n.ip) {
					return s.hand(ctx, found, neighbourOf(g.Path, n))
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
