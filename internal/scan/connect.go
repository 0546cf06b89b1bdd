package scan

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/scan/probe"
)

const (
	// dialsMost and dialsHost are how many connections are being made at once, in all
	// and to one host.
	dialsMost, dialsHost = 384, 64
	lookersMost          = 128
	dialLeast            = 200 * time.Millisecond
)

func (s *scanner) discover(ctx context.Context, raw bool, found chan<- candidate) error {
	if raw {
		return s.discoverRaw(ctx, found)
	}
	return s.discoverConnect(ctx, found)
}

func (s *scanner) askPorts(ctx context.Context, raw bool, found <-chan candidate, asked chan<- *Host) error {
	s.setPhaseAfter(PhasePorts)
	switch {
	case len(s.plan.Ports) == 0:
		return forward(ctx, found, asked)
	case raw:
		return s.askRaw(ctx, found, asked)
	default:
		return s.askConnect(ctx, found, asked)
	}
}

// setPhaseAfter sets a phase where the plan has ports to ask.
func (s *scanner) setPhaseAfter(p Phase) {
	if len(s.plan.Ports) > 0 {
		s.setPhase(p)
	}
}

// forward gives hosts on whose ports are not asked.
func forward(ctx context.Context, found <-chan candidate, asked chan<- *Host) error {
	for c := range found {
		select {
		case asked <- c.host:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// discoverConnect looks for hosts without privilege: by ping sockets where the system
// has them, and by connections, which a host either takes or refuses.
func (s *scanner) discoverConnect(ctx context.Context, found chan<- candidate) error {
	for piece := range s.chunks {
		if err := s.permitted(ctx); err != nil {
			return err
		}
		echoed := map[netip.Addr]time.Duration{}
		if !s.plan.NoPing {
			echoed = s.pingSocket(ctx, piece)
		}
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(lookersMost)
		for _, a := range piece {
			g.Go(func() error {
				defer s.count.looked.Add(1)
				h := &Host{IP: a}
				if rtt, is := echoed[a]; is {
					h.RTT, h.How = rtt, []string{"icmp"}
				} else if !s.plan.NoPing || len(s.plan.Ports) == 0 {
					if h.RTT, is = s.knock(ctx, a); !is {
						return ctx.Err()
					}
					h.How = []string{"tcp"}
				}
				if a.IsLoopback() {
					h.How = []string{"self"}
				}
				return s.pass(ctx, found, h)
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// pass gives a host that was found to the next stage, with the Ethernet address that the
// system learnt of it.
func (s *scanner) pass(ctx context.Context, found chan<- candidate, h *Host) error {
	if len(h.How) > 0 {
		s.count.hosts.Add(1)
		s.known.fill(h, time.Now().Add(-neighboursAge))
	}
	select {
	case found <- candidate{host: h}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// neighboursAge is how old the system's table may be where a host was just found: many are
// found at once. Of one that is not in it the table is read again once its ports were asked.
const neighboursAge = 100 * time.Millisecond

// neighbours is the system's table of Ethernet addresses.
type neighbours struct {
	mu    sync.Mutex
	at    time.Time
	table map[netip.Addr]probe.MAC
}

// fill takes the Ethernet address of a host that is not known yet from a table that was read
// after a time, where it is in one.
func (n *neighbours) fill(h *Host, after time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	mac, is := n.table[h.IP]
	if !is && n.at.Before(after) {
		n.table, n.at = arpTable(), time.Now()
		mac, is = n.table[h.IP]
	}
	if is && h.MAC == nil {
		h.MAC = net.HardwareAddr(mac[:])
	}
}

// knock tries ports that are often open until one is taken or refused.
func (s *scanner) knock(ctx context.Context, a netip.Addr) (rtt time.Duration, there bool) {
	for _, port := range []uint16{443, 80, 22, 445} {
		began := time.Now()
		switch s.dial(ctx, a, port, s.plan.Timeout) {
		case outcomeOpen, outcomeClosed:
			return time.Since(began), true
		case outcomeFiltered: // a neighbour that does not exist
			return 0, false
		}
	}
	return 0, false
}

// dial makes a connection and ends it. outcomeNone is silence, outcomeFiltered that the
// system knows no way.
func (s *scanner) dial(ctx context.Context, a netip.Addr, port uint16, wait time.Duration) int {
	if s.allowed(ctx) != nil {
		return outcomeNone
	}
	s.count.sent.Add(1)
	d := net.Dialer{Timeout: wait}
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), strconv.Itoa(int(port))))
	switch {
	case err == nil:
		// Ended by a reset, so that thousands of them do not linger in TIME_WAIT.
		if tcp, is := c.(*net.TCPConn); is {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
		return outcomeOpen
	case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET):
		return outcomeClosed
	case errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM):
		return outcomeFiltered
	}
	return outcomeNone
}

// allowed waits until hours and rate let a packet go.
func (s *scanner) allowed(ctx context.Context) error {
	if err := s.permitted(ctx); err != nil {
		return err
	}
	for {
		granted, until := s.limit.take(s.clock(), 1)
		if granted > 0 {
			return nil
		}
		timer := time.NewTimer(max(until-s.clock(), time.Millisecond))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// askConnect asks the ports of hosts by connections.
func (s *scanner) askConnect(ctx context.Context, found <-chan candidate, asked chan<- *Host) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(dialsMost / dialsHost)
	order := portOrder(s.plan.Ports)
	for c := range found {
		s.count.left.Add(int64(len(order)))
		g.Go(func() error {
			s.connectAll(ctx, c.host, order)
			if err := ctx.Err(); err != nil {
				return err
			}
			if len(c.host.How) == 0 {
				return nil
			}
			select {
			case asked <- c.host:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
	return g.Wait()
}

// connectAll asks all ports of one host. Silent ones are asked twice.
func (s *scanner) connectAll(ctx context.Context, h *Host, order []ask) {
	began := time.Now()
	r := connected{h: h}
	r.wait = s.plan.Timeout
	if s.every > 0 {
		pace := time.NewTicker(s.every)
		defer pace.Stop()
		r.pace = pace.C
	}
	work := make(chan uint16)
	var running sync.WaitGroup
	for range min(dialsHost, len(order)) {
		running.Go(func() {
			for port := range work {
				r.ask(ctx, s, port)
			}
		})
	}
	for i, port := range order {
		if r.everywhere() || ctx.Err() != nil {
			s.count.left.Add(-int64(len(order) - i))
			break
		}
		work <- port
	}
	close(work)
	running.Wait()
	h.Asked = len(order)
	s.known.fill(h, began)
	if len(h.How) == 0 && len(h.Ports)+h.Closed > 0 {
		h.How = []string{"tcp"}
		s.count.hosts.Add(1)
	}
	if h.AllOpen = r.everywhere(); h.AllOpen {
		h.Ports = nil
		return
	}
	h.Filtered = h.Asked - h.Closed - len(h.Ports)
	slices.SortFunc(h.Ports, func(a, b Open) int { return int(a.Port) - int(b.Port) })
}

// connected is what is known of a host while it is asked.
type connected struct {
	pace <-chan time.Time // gives the turn of each connection; nil for no limit

	mu   sync.Mutex
	h    *Host
	wait time.Duration
}

func (r *connected) everywhere() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return (&subject{open: len(r.h.Ports), closed: r.h.Closed}).everywhere()
}

func (r *connected) ask(ctx context.Context, s *scanner, port uint16) {
	outcome := outcomeNone
	for try := 0; try < triesLeast && outcome == outcomeNone && ctx.Err() == nil; try++ {
		if r.pace != nil {
			select {
			case <-r.pace:
			case <-ctx.Done():
				s.count.left.Add(-1)
				return
			}
		}
		r.mu.Lock()
		wait := r.wait
		r.mu.Unlock()
		began := time.Now()
		outcome = s.dial(ctx, r.h.IP, port, wait)
		if outcome == outcomeOpen || outcome == outcomeClosed {
			r.note(time.Since(began), s.plan.Timeout)
		}
	}
	s.count.left.Add(-1)
	if outcome == outcomeNone {
		s.count.given.Add(1)
		return
	}
	s.count.answered.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch outcome {
	case outcomeOpen:
		r.h.Ports = append(r.h.Ports, Open{Port: port, Protocol: "tcp"})
	case outcomeClosed:
		r.h.Closed++
	}
}

// note learns from the time of an answer how long to wait for others.
func (r *connected) note(rtt, longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.h.RTT == 0 || rtt < r.h.RTT {
		r.h.RTT = rtt
	}
	r.wait = min(longest, max(dialLeast, 6*rtt))
}
