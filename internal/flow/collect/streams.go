package collect

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// stream is a connection of an exporter.
type stream struct {
	from  netip.Addr
	conn  io.Closer
	began time.Time
	whole bool // a message came
	// leaving says that it was closed to make room, and is to end at any moment.
	leaving bool
}

// streams are the connections that there are.
type streams map[*Collector]*stream

// staying is how many there are but for those that are leaving.
func (all streams) staying() (n int) {
	for _, s := range all {
		if !s.leaving {
			n++
		}
	}
	return n
}

// makeRoom closes one connection so that an address may have one more, and reports whether
// it did: of who has most, if that is more than the address would have. Those by which no
// message came go first, then the older.
func (all streams) makeRoom(from netip.Addr) bool {
	has := map[netip.Addr]int{}
	for _, s := range all {
		if !s.leaving {
			has[s.from]++
		}
	}
	var out *stream
	for _, s := range all {
		if !s.leaving && (out == nil || s.before(out, has)) {
			out = s
		}
	}
	if out == nil || has[out.from] <= has[from]+1 {
		return false
	}
	out.leaving = true
	_ = out.conn.Close() // Who reads it ends by that.
	return true
}

// before reports whether a connection is to go before another.
func (s *stream) before(other *stream, has map[netip.Addr]int) bool {
	if a, b := has[s.from], has[other.from]; a != b {
		return a > b
	}
	if s.whole != other.whole {
		return other.whole
	}
	return s.began.Before(other.began)
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
