package collect

import (
	"bytes"
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

// door is who may come in, and what waits within. It is never held while a record is told,
// so that the socket is read however slowly records are worked off.
type door struct {
	mu     sync.Mutex // guards all below
	limits *recent.Map[netip.Addr, allowance]
	// strangers is what all may send together who have not sent for a minute.
	strangers allowance
	inbox     inbox
	stats     ReceiverStats // the counts that are its own
	refused   *recent.Map[netip.Addr, Refusal]
	wake      chan struct{} // capacity 1; something came
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

// refuse remembers who was refused. The caller holds mu.
func (d *door) refuse(from netip.Addr, now time.Time) {
	x, _ := d.refused.Use(from)
	x.From = from
	x.Count++
	x.Last = now
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

// come puts a datagram into the inbox if its sender may send.
func (d *door) come(o *ReceiverOptions, from netip.AddrPort, b []byte, dropped uint32, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Overflowed = max(d.stats.Overflowed, uint64(dropped))
	addr := from.Addr()
	if !o.allows(addr) {
		d.stats.Refused++
		if holdsFlows(b) {
			d.refuse(addr, now)
		}
		return
	}
	if !d.spend(addr, o.Rate, now.UnixNano()) {
		d.stats.Limited++
		return
	}
	if !d.limits.Proven(addr) {
		addr = netip.Addr{} // all of them together are one line
	}
	d.inbox.put(addr, letter{from: from, came: now, data: bytes.Clone(b)})
	select {
	case d.wake <- struct{}{}:
	default:
	}
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

func (o *ReceiverOptions) allows(from netip.Addr) bool {
	for _, p := range o.Allow {
		if p.Contains(from) {
			return true
		}
	}
	return false
}

// spend reports whether an exporter may send one more datagram. Those who are not proven
// share what one may send: to forge addresses gives nobody more.
func (d *door) spend(from netip.Addr, rate int, now int64) bool {
	own, _ := d.limits.UseAt(from, now)
	if !d.limits.Proven(from) {
		own = &d.strangers
	}
	return own.spend(rate, now)
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
		c := r.admit(from, conn)
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
func (r *Receiver) admit(from netip.AddrPort, conn io.Closer) *Collector {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.o.allows(from.Addr()) {
		r.refuseConnection(from.Addr(), now)
		return nil
	}
	if r.streams.staying() >= r.o.MaxConnections {
		r.refuseConnection(netip.Addr{}, now)
		if !r.streams.makeRoom(from.Addr()) {
			return nil
		}
	}
	o := r.o.Collect
	o.Stream, o.MaxExporters = true, 1
	c := New(o)
	r.streams[c] = &stream{from: from.Addr(), conn: conn, began: now}
	return c
}

// refuseConnection counts one, and remembers who it was of; no address is nobody.
func (r *Receiver) refuseConnection(from netip.Addr, now time.Time) {
	r.door.mu.Lock()
	defer r.door.mu.Unlock()
	r.door.stats.RefusedConnections++
	if from.IsValid() {
		r.door.refuse(from, now)
	}
}

func (r *Receiver) leave(c *Collector) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.streams, c)
	gone := c.Stats()
	gone.Unread, gone.Waiting = gone.Unread+gone.Waiting, 0 // Its templates end with it.
	r.gone = sum(r.gone, gone)
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
		if !r.message(c, from, buffer[:length], time.Now(), tell) {
			return
		}
	}
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
