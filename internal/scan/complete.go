package scan

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/scan/claim"
)

const (
	// completersMost is of how many hosts names and ports of UDP are asked at once.
	completersMost = 64
	// replyLeast is the shortest wait for a service to answer by UDP.
	replyLeast = 300 * time.Millisecond
	replyMost  = 512 // bytes of a reply that are kept
)

// complete adds names, ports of UDP and ways to hosts, and hands them over.
func (s *scanner) complete(ctx context.Context, asked <-chan *Host, raw bool) (err error) {
	c := completer{s: s, names: namer{s: s}}
	if s.plan.Routes && raw {
		if c.ways, err = newTracer(s); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.ways.close()) }()
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(completersMost)
	for h := range asked {
		if len(s.plan.UDP) == 0 && !s.plan.Names && c.ways == nil {
			s.deliver(h)
			continue
		}
		s.count.left.Add(int64(len(s.plan.UDP)))
		g.Go(func() error { return c.complete(ctx, h) })
	}
	return g.Wait()
}

// completer asks all that is asked of hosts once their ports are known.
type completer struct {
	s     *scanner
	names namer
	ways  *tracer // nil looks for none
}

// complete asks one host, all at once.
func (c *completer) complete(ctx context.Context, h *Host) error {
	var beside errgroup.Group
	if c.s.plan.Names {
		beside.Go(func() error {
			c.names.name(ctx, h)
			return nil
		})
	}
	if c.ways != nil && c.s.every > 0 { // one after the other, so that the rate of a host is kept
		if err := c.ways.trace(ctx, h); err != nil {
			return errors.Join(err, beside.Wait())
		}
	} else if c.ways != nil {
		beside.Go(func() error { return c.ways.trace(ctx, h) })
	}
	replies := c.s.askUDP(ctx, h.Address(), c.s.plan.UDP)
	if err := errors.Join(beside.Wait(), ctx.Err()); err != nil {
		return err
	}
	h.Ports = append(h.Ports, replies...)
	if len(replies) > 0 {
		h.How = append(slices.Clip(h.How), "udp")
	}
	c.s.deliver(h)
	return nil
}

func (s *scanner) deliver(h *Host) {
	s.giving.Lock()
	defer s.giving.Unlock()
	s.each(*h)
}

// askUDP sends the usual service of each port what it answers, twice to those that are
// silent, and gives the ports that answered from where they were asked.
func (s *scanner) askUDP(ctx context.Context, ip netip.Addr, ports []uint16) []Open {
	if len(ports) == 0 {
		return nil
	}
	defer s.count.left.Add(-int64(len(ports)))
	replies := s.exchange(ctx, ip, ports, payload)
	open := make([]Open, 0, len(replies))
	for port, reply := range replies {
		open = append(open, Open{Port: port, Protocol: "udp", Reply: reply})
	}
	slices.SortFunc(open, func(a, b Open) int { return int(a.Port) - int(b.Port) })
	s.count.answered.Add(uint64(len(open)))
	s.count.given.Add(uint64(len(ports) - len(open)))
	return open
}

// exchange sends each port of a host what ask makes for it, and gives the first answer
// of each. What cannot be sent is as if nobody answered.
func (s *scanner) exchange(ctx context.Context, ip netip.Addr, ports []uint16, ask func(port uint16) []byte) map[uint16][]byte {
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil
	}
	defer func() { _ = c.Close() }()
	if own, is := c.LocalAddr().(*net.UDPAddr); is {
		s.claims.Claim(claim.Port, uint16(own.Port), 1)
		defer s.claims.Free(claim.Port, uint16(own.Port), 1)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	replies := map[uint16][]byte{}
	buffer := make([]byte, 4096)
	for try := range triesLeast {
		for _, port := range ports {
			if _, is := replies[port]; is {
				continue
			}
			if s.allowed(ctx) != nil {
				return replies
			}
			s.count.sent.Add(1)
			if try > 0 {
				s.count.resent.Add(1)
			}
			_, _ = c.WriteToUDPAddrPort(ask(port), netip.AddrPortFrom(ip, port))
			if s.every > 0 {
				hear(c, buffer, time.Now().Add(s.every), ip, ports, replies)
			}
		}
		if ctx.Err() != nil || !hear(c, buffer, time.Now().Add(replyLeast*time.Duration(try+1)), ip, ports, replies) {
			break
		}
	}
	return replies
}

// hear takes in answers until a time, or until all ports have answered, which makes it
// return false.
func hear(c *net.UDPConn, buffer []byte, until time.Time, ip netip.Addr, ports []uint16, replies map[uint16][]byte) bool {
	if c.SetReadDeadline(until) != nil {
		return false
	}
	for len(replies) < len(ports) {
		n, from, err := c.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
		if _, again := replies[from.Port()]; again || from.Addr().Unmap() != ip || !slices.Contains(ports, from.Port()) {
			continue
		}
		replies[from.Port()] = slices.Clone(buffer[:min(n, replyMost)])
	}
	return false
}

// pingSocket sends echo requests by sockets that need no privilege (icmp(7),
// ping_group_range), twice to those that are silent, and gives the time of each answer.
// Where the system has no such sockets it gives none.
func (s *scanner) pingSocket(ctx context.Context, addresses []netip.Addr) map[netip.Addr]time.Duration {
	answers := map[netip.Addr]time.Duration{}
	for _, f := range []struct {
		network, any string
		kind         icmp.Type
		protocol     int
		six          bool
	}{{"udp4", "0.0.0.0", ipv4.ICMPTypeEcho, 1, false}, {"udp6", "::", ipv6.ICMPTypeEchoRequest, 58, true}} {
		c, err := icmp.ListenPacket(f.network, f.any)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
		for try := range triesLeast {
			sent := map[netip.Addr]time.Time{}
			for _, a := range addresses {
				if _, is := answers[a]; is || a.Is6() != f.six || s.allowed(ctx) != nil {
					continue
				}
				m := icmp.Message{Type: f.kind, Body: &icmp.Echo{ID: int(s.base), Seq: try, Data: []byte("amoskys ")}}
				if b, err := m.Marshal(nil); err == nil {
					s.count.sent.Add(1)
					sent[a] = time.Now()
					_, _ = c.WriteTo(b, &net.UDPAddr{IP: a.AsSlice()})
				}
				if len(sent)%64 == 0 {
					hearEchoes(c, f.protocol, time.Now().Add(time.Millisecond), sent, answers)
				}
			}
			hearEchoes(c, f.protocol, time.Now().Add(waitFirst), sent, answers)
		}
		stop()
		_ = c.Close()
	}
	return answers
}

func hearEchoes(c *icmp.PacketConn, protocol int, until time.Time, sent map[netip.Addr]time.Time, answers map[netip.Addr]time.Duration) {
	if len(sent) == 0 || c.SetReadDeadline(until) != nil {
		return
	}
	buffer := make([]byte, 512)
	for left := len(sent); left > 0; {
		n, from, err := c.ReadFrom(buffer)
		if err != nil {
			return
		}
		m, err := icmp.ParseMessage(protocol, buffer[:n])
		udp, is := from.(*net.UDPAddr)
		if err != nil || !is || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
			continue
		}
		a, _ := netip.AddrFromSlice(udp.IP)
		at, waits := sent[a.Unmap()]
		if _, again := answers[a.Unmap()]; waits && !again {
			answers[a.Unmap()] = time.Since(at)
			left--
		}
	}
}
