package collect

import (
	"context"
	"errors"
	"fmt"
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
	// RefusedConnections were above MaxConnections or not allowed, or made room for those
	// of others.
	Refused, Limited, RefusedConnections uint64
	// Crowded are datagrams that were dropped because more came than could be worked off,
	// of who sent most; Overflowed those that the kernel dropped before they were read.
	Crowded, Overflowed uint64
}

// Receiver listens to exporters. Serve and ServeStream may run at the same time.
type Receiver struct {
	o    ReceiverOptions
	door door
	mu   sync.Mutex // guards all below, and is held while a record is told
	// collector is that of UDP; each connection has one of its own, since its
	// templates are of that connection (RFC 7011, section 8).
	collector *Collector
	joiner    *Joiner
	gone      Stats // of connections that have ended
	streams   streams
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
		o: o, collector: New(o.Collect), streams: streams{}, joiner: NewJoiner(o.Join),
		door: door{
			limits:  recent.Sharing[netip.Addr, allowance](o.Collect.withDefaults().MaxExporters, proof, networkOf),
			refused: recent.New[netip.Addr, Refusal](maxRefusals), inbox: inbox{lines: map[netip.Addr]*line{}}, wake: make(chan struct{}, 1),
		},
	}
}

// Stats returns the counts.
func (r *Receiver) Stats() ReceiverStats {
	r.door.mu.Lock()
	s := r.door.stats
	s.Crowded = r.door.inbox.dropped
	r.door.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Stats = sum(r.gone, r.collector.Stats())
	for c := range r.streams {
		s.Stats = sum(s.Stats, c.Stats())
	}
	s.JoinStats = r.joiner.Stats()
	return s
}

// Refusals returns those who were refused last, the latest first.
func (r *Receiver) Refusals() []Refusal {
	r.door.mu.Lock()
	defer r.door.mu.Unlock()
	out := make([]Refusal, 0, r.door.refused.Len())
	r.door.refused.Each(func(_ netip.Addr, x *Refusal) bool {
		out = append(out, *x)
		return true
	})
	slices.Reverse(out)
	return out
}

// beat is how often time passes for the Joiner when nothing comes.
const beat = 250 * time.Millisecond

// Serve reads datagrams until ctx ends, and tells flows; tell is never called twice at
// the same time, may wait, and must not keep the record. What has come by the end of ctx
// is told still. conn stays open.
func (r *Receiver) Serve(ctx context.Context, conn net.PacketConn, tell func(*Record)) error {
	defer r.finish(tell)
	read := make(chan error, 1)
	go func() { read <- r.read(ctx, conn) }()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-r.door.wake:
			r.workOff(tell)
		case now := <-tick.C:
			r.advance(now, tell)
		case err := <-read:
			r.workOff(tell)
			return err
		}
	}
}

// workOff tells the flows of all that waits.
func (r *Receiver) workOff(tell func(*Record)) {
	for passed := time.Now(); ; {
		r.door.mu.Lock()
		l, waits := r.door.inbox.take()
		r.door.mu.Unlock()
		if !waits {
			return
		}
		r.message(r.collector, l.from, l.data, l.came, tell)
		if now := time.Now(); now.Sub(passed) > beat {
			passed = now
			r.advance(now, tell)
		}
	}
}

// read reads datagrams until ctx ends.
func (r *Receiver) read(ctx context.Context, conn net.PacketConn) error {
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })() // long ago: it wakes at once
	if udp, is := conn.(*net.UDPConn); is {
		tellOverflow(udp)
	}
	buffer, said := make([]byte, 1<<16), make([]byte, overflowRoom)
	for ctx.Err() == nil {
		n, from, dropped, err := readFrom(conn, buffer, said)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			continue
		case errors.Is(err, net.ErrClosed) && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read flows: %w", err)
		}
		r.door.come(&r.o, from, buffer[:n], dropped, time.Now())
	}
	return nil
}

// readFrom spares the allocation of an address where it can. dropped is how many datagrams
// the kernel has dropped of this socket, 0 where it does not say.
func readFrom(conn net.PacketConn, b, said []byte) (n int, from netip.AddrPort, dropped uint32, err error) {
	if udp, is := conn.(*net.UDPConn); is {
		n, m, _, from, err := udp.ReadMsgUDPAddrPort(b, said)
		dropped, _ = overflowOf(said[:m])
		return n, bare(from), dropped, err
	}
	n, peer, err := conn.ReadFrom(b)
	return n, addressOf(peer), 0, err
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

// message reads one datagram, or message of a stream, and reports whether it was sound.
// What is not is counted.
func (r *Receiver) message(c *Collector, from netip.AddrPort, b []byte, came time.Time, tell func(*Record)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := c.Datagram(from, b, came.UnixNano(), func(x *Record) { r.joiner.Add(x, tell) })
	if s := r.streams[c]; s != nil && err == nil {
		s.whole = true
	}
	return err == nil
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
