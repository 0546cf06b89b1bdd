package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/flow/recent"
)

// ReceiverOptions set up a Receiver. Values of 0 stand for their defaults.
type ReceiverOptions struct {
	// Allow lists the exporters that are listened to. An empty list allows nobody.
	Allow []netip.Prefix
	// Rate is how many datagrams a second an exporter may send, and as many at once:
	// 10,000.
	Rate int
	// MaxConnections is how many exporters may be connected over TCP at once: 64.
	MaxConnections int
	// Silence is after how long without a message a connection is closed: 30 min.
	Silence time.Duration
	Join    JoinOptions
	Collect Options
}

// ReceiverStats are counts since a Receiver was made.
type ReceiverStats struct {
	Stats
	JoinStats
	// Refused came from exporters that are not allowed; Limited were above the rate.
	// RefusedConnections were above MaxConnections or not allowed.
	Refused, Limited, RefusedConnections uint64
}

// Receiver listens to exporters. Serve and ServeStream may run at the same time.
type Receiver struct {
	o  ReceiverOptions
	mu sync.Mutex // guards all below, and is held while a record is told
	// collector is that of UDP; each connection has one of its own, since its
	// templates are of that connection (RFC 7011, section 8).
	collector *Collector
	joiner    *Joiner
	limits    *recent.Map[netip.Addr, allowance]
	// strangers is what all may send together who have not sent for a minute.
	strangers allowance
	stats     ReceiverStats
	streams   map[*Collector]struct{}
	refused   *recent.Map[netip.Addr, Refusal]
}

// Refusal is somebody who sends and is not allowed to.
type Refusal struct {
	From netip.Addr
	// Count is how often, in datagrams and connections; Last is when it was last.
	Count uint64
	Last  time.Time
}

// maxRefusals is how many who are refused are remembered, those that came last.
const maxRefusals = 16

// allowance is how many datagrams an exporter may send now.
type allowance struct {
	left float64
	at   int64
}

// NewReceiver returns a Receiver that nobody sends to yet.
func NewReceiver(o ReceiverOptions) *Receiver {
	if o.Rate <= 0 {
		o.Rate = 10_000
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = 64
	}
	if o.Silence <= 0 {
		o.Silence = 30 * time.Minute
	}
	return &Receiver{
		o: o, collector: New(o.Collect), streams: map[*Collector]struct{}{}, joiner: NewJoiner(o.Join),
		limits:  recent.Sharing[netip.Addr, allowance](o.Collect.withDefaults().MaxExporters, proof, networkOf),
		refused: recent.New[netip.Addr, Refusal](maxRefusals),
	}
}

// Stats returns the counts.
func (r *Receiver) Stats() ReceiverStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Stats = sum(s.Stats, r.collector.Stats())
	for c := range r.streams {
		s.Stats = sum(s.Stats, c.Stats())
	}
	s.JoinStats = r.joiner.Stats()
	return s
}

// Refusals returns those who were refused last, the latest first.
func (r *Receiver) Refusals() []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Refusal, 0, r.refused.Len())
	r.refused.Each(func(_ netip.Addr, x *Refusal) bool {
		out = append(out, *x)
		return true
	})
	slices.Reverse(out)
	return out
}

// refuse remembers who was refused. The caller holds mu.
func (r *Receiver) refuse(from netip.Addr, now time.Time) {
	x, _ := r.refused.Use(from)
	x.From = from
	x.Count++
	x.Last = now
}

// beat is how often time passes for the Joiner when nothing comes, and how soon Serve
// sees that ctx has ended.
const beat = 250 * time.Millisecond

// Serve reads datagrams until ctx ends, and tells flows; tell is never called twice at
// the same time, and must not keep the record. conn stays open.
func (r *Receiver) Serve(ctx context.Context, conn net.PacketConn, tell func(*Record)) error {
	buffer := make([]byte, 1<<16)
	defer r.finish(tell)
	var renewed time.Time
	for ctx.Err() == nil {
		now := time.Now()
		if now.Sub(renewed) > beat/2 {
			if err := conn.SetReadDeadline(now.Add(beat)); err != nil {
				return fmt.Errorf("wait for flows: %w", err)
			}
			renewed = now
			r.advance(now, tell)
		}
		n, from, err := readFrom(conn, buffer)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			continue
		case errors.Is(err, net.ErrClosed) && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read flows: %w", err)
		}
		r.datagram(from, buffer[:n], time.Now(), tell)
	}
	return nil
}

// readFrom spares the allocation of an address where it can.
func readFrom(conn net.PacketConn, b []byte) (int, netip.AddrPort, error) {
	if udp, is := conn.(*net.UDPConn); is {
		n, from, err := udp.ReadFromUDPAddrPort(b)
		return n, bare(from), err
	}
	n, from, err := conn.ReadFrom(b)
	return n, addressOf(from), err
}

// addressOf is the address of a peer, or none.
func addressOf(a net.Addr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return bare(at)
}

// bare is an address as it is written in lists: without mapping, and without zone.
func bare(at netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// datagram reads one datagram if its sender may send.
func (r *Receiver) datagram(from netip.AddrPort, b []byte, now time.Time, tell func(*Record)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.allows(from.Addr()):
		r.stats.Refused++
		if holdsFlows(b) {
			r.refuse(from.Addr(), now)
		}
		return
	case !r.spend(from.Addr(), now.UnixNano()):
		r.stats.Limited++
		return
	}
	_ = r.collector.Datagram(from, b, now.UnixNano(), func(x *Record) { r.joiner.Add(x, tell) }) // It is counted.
}

// holdsFlows tells by the version whether a datagram claims to hold flows. Who sends
// something else, as a scan of ports does, is no exporter that somebody forgot to allow.
func holdsFlows(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	switch version := be16(b); version {
	case 0:
		return be16(b[2:]) == 5
	default:
		return version == 5 || version == 9 || version == 10
	}
}

func (r *Receiver) allows(from netip.Addr) bool {
	for _, p := range r.o.Allow {
		if p.Contains(from) {
			return true
		}
	}
	return false
}

// spend reports whether an exporter may send one more datagram. Those who are not proven
// share what one may send: to forge addresses gives nobody more.
func (r *Receiver) spend(from netip.Addr, now int64) bool {
	own, _ := r.limits.UseAt(from, now)
	if !r.limits.Proven(from) {
		own = &r.strangers
	}
	return own.spend(r.o.Rate, now)
}

// spend takes one of what is allowed; the zero value has all that there may be.
func (a *allowance) spend(rate int, now int64) bool {
	if a.at == 0 {
		a.left = float64(rate)
	} else {
		a.left = min(float64(rate), a.left+float64(max(0, now-a.at))/1e9*float64(rate))
	}
	a.at = now
	if a.left < 1 {
		return false
	}
	a.left--
	return true
}

func (r *Receiver) advance(now time.Time, tell func(*Record)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joiner.Advance(now.UnixNano(), tell)
}

// finish tells what waits.
func (r *Receiver) finish(tell func(*Record)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joiner.Close(tell)
}

// ServeStream takes connections of IPFIX over TCP (RFC 7011, section 10.4) until ctx
// ends; then it closes l and all of them. tell is as for Serve.
func (r *Receiver) ServeStream(ctx context.Context, l net.Listener, tell func(*Record)) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	wait.Go(func() { r.pass(ctx, tell) })
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept an exporter: %w", err)
		}
		from := addressOf(conn.RemoteAddr())
		c := r.admit(from)
		if c == nil {
			_ = conn.Close()
			continue
		}
		wait.Go(func() {
			defer r.leave(c)
			unhook := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer unhook()
			defer func() { _ = conn.Close() }()
			r.connection(ctx, conn, c, from, tell)
		})
	}
}

// pass lets time pass for the Joiner until ctx ends, and then tells what waits.
func (r *Receiver) pass(ctx context.Context, tell func(*Record)) {
	defer r.finish(tell)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			r.advance(now, tell)
		}
	}
}

// admit returns what decodes a connection's messages, nil where there may be none.
func (r *Receiver) admit(from netip.AddrPort) *Collector {
	r.mu.Lock()
	defer r.mu.Unlock()
	if allowed := r.allows(from.Addr()); !allowed || len(r.streams) >= r.o.MaxConnections {
		r.stats.RefusedConnections++
		if !allowed {
			r.refuse(from.Addr(), time.Now())
		}
		return nil
	}
	o := r.o.Collect
	o.Stream, o.MaxExporters = true, 1
	c := New(o)
	r.streams[c] = struct{}{}
	return c
}

func (r *Receiver) leave(c *Collector) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.streams, c)
	gone := c.Stats()
	gone.Unread, gone.Waiting = gone.Unread+gone.Waiting, 0 // Its templates end with it.
	r.stats.Stats = sum(r.stats.Stats, gone)
}

// connection reads messages until the stream ends, is silent, or is no IPFIX: then
// nothing behind the fault can be found again.
func (r *Receiver) connection(ctx context.Context, conn net.Conn, c *Collector, from netip.AddrPort, tell func(*Record)) {
	buffer := make([]byte, 1<<16)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(r.o.Silence)); err != nil {
			return
		}
		if _, err := io.ReadFull(conn, buffer[:4]); err != nil {
			return
		}
		length := max(4, int(be16(buffer[2:])))
		if be16(buffer) != 10 {
			length = 4
		}
		n, err := io.ReadFull(conn, buffer[4:length])
		if err != nil && ctx.Err() != nil {
			return // We cut it ourselves.
		}
		length = 4 + n // What the exporter cut is malformed.
		if !r.message(c, from, buffer[:length], tell) {
			return
		}
	}
}

// message reads one message of a stream, and reports whether it was sound.
func (r *Receiver) message(c *Collector, from netip.AddrPort, b []byte, tell func(*Record)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.Datagram(from, b, time.Now().UnixNano(), func(x *Record) { r.joiner.Add(x, tell) }) == nil
}

// sum adds the counts of two Collectors.
func sum(a, b Stats) Stats {
	a.Datagrams += b.Datagrams
	a.Records += b.Records
	a.Malformed += b.Malformed
	a.Unsupported += b.Unsupported
	a.Lost += b.Lost
	a.Reordered += b.Reordered
	a.Restarts += b.Restarts
	a.Templates += b.Templates
	a.TemplatesRefused += b.TemplatesRefused
	a.TemplatesEvicted += b.TemplatesEvicted
	a.TemplatesWithdrawn += b.TemplatesWithdrawn
	a.Waited += b.Waited
	a.Unread += b.Unread
	a.Waiting += b.Waiting
	a.NoFlow += b.NoFlow
	a.Options += b.Options
	a.Counters += b.Counters
	a.Evicted += b.Evicted
	return a
}
