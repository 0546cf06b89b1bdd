package export

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// SenderOptions set up a Sender. Values of 0 stand for their defaults.
type SenderOptions struct {
	// Network is "udp" or "tcp", Address the collector's host and port.
	Network, Address string
	// Domain is the observation domain.
	Domain uint32
	// Queue is how many flows wait to be sent: 4,096. What does not fit is dropped and
	// counted.
	Queue int
	// Retry is how long after a fault the collector is dialed again: 5 s.
	Retry time.Duration
}

// SenderStats are counts since a Sender was made.
type SenderStats struct {
	// Sent are flows in messages that were written. Dropped found no room, or were in a
	// message that could not be written.
	Sent, Dropped uint64
	// Faults are attempts to dial or write that failed. Failed is the last of them, if
	// nothing was written since.
	Faults uint64
	Failed error
}

// Sender sends flows that ended to a collector. Whoever adds flows never waits.
type Sender struct {
	o                     SenderOptions
	queue                 chan track.Flow
	sent, dropped, faults atomic.Uint64
	failed                atomic.Pointer[error]
}

// NewSender returns a Sender that sends once it runs.
func NewSender(o SenderOptions) (*Sender, error) {
	if o.Network != "udp" && o.Network != "tcp" {
		return nil, fmt.Errorf("export flows over %q: use udp or tcp", o.Network)
	}
	if _, _, err := net.SplitHostPort(o.Address); err != nil {
		return nil, fmt.Errorf("export flows: write the collector as host:port: %w", err)
	}
	if o.Queue <= 0 {
		o.Queue = 4096
	}
	if o.Retry <= 0 {
		o.Retry = 5 * time.Second
	}
	return &Sender{o: o, queue: make(chan track.Flow, o.Queue)}, nil
}

// Stats returns the counts.
func (s *Sender) Stats() SenderStats {
	stats := SenderStats{Sent: s.sent.Load(), Dropped: s.dropped.Load(), Faults: s.faults.Load()}
	if err := s.failed.Load(); err != nil {
		stats.Failed = *err
	}
	return stats
}

func (s *Sender) fail(err error) {
	s.faults.Add(1)
	s.failed.Store(&err)
}

// Copy returns what is exported of a flow, which stays when the flow's own facts are used
// again for another.
func Copy(f *track.Flow) track.Flow {
	kept := *f
	kept.Tunnels = nil
	if f.Facts != nil {
		kept.Facts = &dissect.Facts{App: f.Facts.App}
	}
	return kept
}

// Add copies a flow into the queue.
func (s *Sender) Add(f *track.Flow) {
	select {
	case s.queue <- Copy(f):
	default:
		s.dropped.Add(1)
	}
}

// flushEvery is how long a flow waits for others to fill a message.
const flushEvery = time.Second

// writeWithin is how long a collector may take to read.
const writeWithin = 10 * time.Second

// Run sends until ctx ends, and then what is in the queue. A collector that is away is
// dialed again and again.
func (s *Sender) Run(ctx context.Context) error {
	out := &connection{s: s, message: NewMessage(s.o.Domain, s.o.Network == "udp"), within: writeWithin}
	defer out.close()
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case f := <-s.queue:
			if !out.add(ctx, &f) {
				if ctx.Err() != nil { // That is why, and not the collector.
					out.drain(&f) //nolint:contextcheck // as below
					return nil
				}
				s.dropped.Add(1)
			}
		case <-tick.C:
			out.flush(ctx)
		case <-ctx.Done():
			out.drain(nil) //nolint:contextcheck // what is left is sent after the end of ctx
			return nil
		}
	}
}

// connection is the way to the collector, and what waits in its message.
type connection struct {
	s       *Sender
	conn    net.Conn
	retry   time.Time
	message *Message
	waiting uint64        // flows in the message
	within  time.Duration // in which a message must be written
}

// add puts a flow into the message, unless there is no connection.
func (c *connection) add(ctx context.Context, f *track.Flow) bool {
	if !c.dial(ctx) {
		return false
	}
	if full := c.message.Add(f, time.Now().Unix()); full != nil {
		c.write(full)
		c.waiting = 0
	}
	c.waiting++
	return true
}

func (c *connection) flush(ctx context.Context) {
	if c.waiting == 0 || !c.dial(ctx) {
		return
	}
	if b := c.message.Flush(time.Now().Unix()); b != nil {
		c.write(b)
		c.waiting = 0
	}
}

// drain sends what is left, the flow first that was taken from the queue last, if any,
// within a second.
func (c *connection) drain(first *track.Flow) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.within = time.Second
	take := func(f *track.Flow) {
		if !c.add(ctx, f) {
			c.s.dropped.Add(1)
		}
	}
	if first != nil {
		take(first)
	}
	for {
		select {
		case f := <-c.s.queue:
			take(&f)
		default:
			c.flush(ctx)
			return
		}
	}
}

// dial connects unless that failed a moment ago.
func (c *connection) dial(ctx context.Context) bool {
	if c.conn != nil {
		return true
	}
	if time.Now().Before(c.retry) {
		return false
	}
	d := net.Dialer{Timeout: c.s.o.Retry}
	conn, err := d.DialContext(ctx, c.s.o.Network, c.s.o.Address)
	if err != nil && ctx.Err() != nil {
		return false
	}
	if err != nil {
		c.s.fail(err)
		c.retry = time.Now().Add(c.s.o.Retry)
		return false
	}
	c.conn = conn
	c.message.Restart()
	c.waiting = 0
	return true
}

// write sends a message. After a fault the connection is made anew: over UDP too, since
// the address of a name may have changed.
func (c *connection) write(b []byte) {
	flows := c.waiting
	err := c.conn.SetWriteDeadline(time.Now().Add(c.within))
	if err == nil {
		_, err = c.conn.Write(b)
	}
	if err != nil {
		c.s.fail(err)
		c.s.dropped.Add(flows)
		c.close()
		c.retry = time.Now().Add(c.s.o.Retry)
		return
	}
	c.s.failed.Store(nil)
	c.s.sent.Add(flows)
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
