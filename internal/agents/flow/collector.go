package flow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/flow/collect"
	"github.com/amoskys/amoskys/internal/obs"
)

const (
	// conditionCollect is the name of the condition that nothing is collected, and of the
	// note on what is.
	conditionCollect = "collect"
	// collectLook is how often the collector looks whether it hears anything.
	collectLook = 5 * time.Second
	// listenAgain is after how long a port that was taken is tried again.
	listenAgain = 5 * time.Second
	// silentAfter is after how long without a datagram the collector says so: routers
	// send at least once a minute, templates if nothing else.
	silentAfter = 5 * time.Minute
	// refusedFor is how long who was refused is told of.
	refusedFor = 10 * time.Minute
	// receiveBuffer is asked of the kernel for datagrams that wait, in bytes: what a
	// router sends at once when a minute is over. It gives what net.core.rmem_max allows.
	receiveBuffer = 4 << 20
	// maxExporterLabels is how many exporters have metrics of their own; flows of others
	// count under "other".
	maxExporterLabels = 256
)

// collector takes the flows of exporters, beside what is captured.
type collector struct {
	a        *Agent
	receiver *collect.Receiver
	events   collect.EventOptions
	opened   func(net.Addr) // told where it listens; nil is not
	again    time.Duration  // after which a port that was taken is tried again

	mu        sync.Mutex // guards what follows
	exporters map[netip.Addr]*exporterCounts
	began     time.Time
	last      time.Time // when flows or datagrams came last
	datagrams uint64    // of the look before
}

// exporterCounts are what one exporter told, as it went out in events.
type exporterCounts struct {
	flows, sampled uint64
	bytes, packets uint64
	last           time.Time
}

func newCollector(a *Agent) *collector {
	return &collector{
		a: a, again: listenAgain, events: collect.EventOptions{Seed: uint16(a.cfg.Aggregation.CommunityIDSeed)},
		receiver:  collect.NewReceiver(collect.ReceiverOptions{Allow: a.cfg.Collect.allowed(), Rate: a.cfg.Collect.RatePerSecond}),
		exporters: map[netip.Addr]*exporterCounts{},
	}
}

// listen opens the ports, as soon as that can be done: one that is taken costs what
// would be collected, and not what is captured. It fails when ctx ends.
func (c *collector) listen(ctx context.Context) (*net.UDPConn, net.Listener, error) {
	said := ""
	for {
		packets, streams, err := listenBoth(ctx, c.a.cfg.Collect.Listen)
		if err == nil {
			return packets, streams, nil
		}
		err = fmt.Errorf("collects nothing on %s: %w: set collect.listen to another address, or stop what holds it", c.a.cfg.Collect.Listen, err)
		c.a.o.Condition(conditionCollect, err)
		if err.Error() != said {
			said = err.Error()
			c.a.o.Logger.Warn("collects nothing", obs.KeyError, err)
		}
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("collect flows: %w", ctx.Err())
		case <-time.After(c.again):
		}
	}
}

// run listens until ctx ends.
func (c *collector) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	packets, streams, err := c.listen(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx has ended
	}
	defer func() { _ = packets.Close() }() // Nothing was written.
	c.began = c.a.o.Now()
	c.a.o.Logger.Info("collects", obs.KeyAddr, packets.LocalAddr().String(), "allow", strings.Join(c.a.cfg.Collect.Allow, " "))
	if c.opened != nil {
		c.opened(packets.LocalAddr())
	}
	var serving sync.WaitGroup
	failed := make(chan error, 2)
	serving.Go(func() { failed <- c.receiver.Serve(ctx, packets, c.tell) })
	serving.Go(func() { failed <- c.receiver.ServeStream(ctx, streams, c.tell) })
	look := time.NewTicker(collectLook)
	defer look.Stop()
	defer serving.Wait()
	defer cancel()
	c.look(c.a.o.Now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if err != nil || ctx.Err() == nil {
				return fmt.Errorf("collect flows: %w", errors.Join(err, errors.New("the port is closed")))
			}
		case <-look.C:
			c.look(c.a.o.Now())
		}
	}
}

// listenBoth opens the same port for UDP and for TCP.
func listenBoth(ctx context.Context, address string) (*net.UDPConn, net.Listener, error) {
	var l net.ListenConfig
	for try := 0; ; try++ {
		conn, err := l.ListenPacket(ctx, "udp", address)
		if err != nil {
			return nil, nil, fmt.Errorf("listen: %w", err)
		}
		udp, is := conn.(*net.UDPConn)
		if !is {
			_ = conn.Close()
			return nil, nil, fmt.Errorf("listen: %T is no UDP", conn)
		}
		_ = udp.SetReadBuffer(receiveBuffer) // It works with less.
		host, port, _ := net.SplitHostPort(address)
		free := port == "0"
		if free { // TCP gets the number that UDP got, if it is free there too.
			_, port, _ = net.SplitHostPort(udp.LocalAddr().String())
		}
		streams, err := l.Listen(ctx, "tcp", net.JoinHostPort(host, port))
		if err == nil {
			return udp, streams, nil
		}
		_ = udp.Close()
		if !free || try == 8 {
			return nil, nil, fmt.Errorf("listen: %w", err)
		}
	}
}

// tell queues the event of a record. The receiver calls it from one goroutine at a time
// and waits, so that exporters over TCP are slowed, and datagrams wait in the kernel.
func (c *collector) tell(r *collect.Record) {
	c.count(r)
	f := r.Flow()
	sampled := r.SamplingRate > 1
	if c.a.watch != nil {
		c.a.watch.Collected(&f, r.Received, sampled)
	}
	if r.Out.Bytes+r.In.Bytes < c.a.cfg.Aggregation.MinBytesThreshold {
		c.a.metrics.suppressed.Inc()
		return
	}
	ev := c.events.Event(r)
	if label := c.a.cfg.Collect.HostLabel; label != "" {
		ev.Labels = map[string]string{label: r.Exporter.String()}
	}
	c.a.queue.wait(told{event: ev, collected: true})
}

func (c *collector) count(r *collect.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.exporters[r.Exporter]
	if e == nil {
		who := r.Exporter
		if len(c.exporters) >= maxExporterLabels {
			who = netip.Addr{}
			e = c.exporters[who]
		}
		if e == nil {
			e = &exporterCounts{}
			c.exporters[who] = e
		}
	}
	e.flows++
	if r.SamplingRate > 1 {
		e.sampled++
	}
	e.bytes += r.Out.Bytes + r.In.Bytes
	e.packets += r.Out.Packets + r.In.Packets
	e.last = time.Unix(0, r.Received)
}

// look says how collecting goes: a condition where nothing comes, a note where
// something does.
func (c *collector) look(now time.Time) {
	s := c.receiver.Stats()
	refusals := c.receiver.Refusals()
	c.mu.Lock()
	if s.Datagrams != c.datagrams {
		c.datagrams, c.last = s.Datagrams, now
	}
	began, last := c.began, c.last
	c.mu.Unlock()
	if c.a.watch != nil && !c.a.cfg.captures() { // else a lane does
		c.a.watch.Advance(now.UnixNano())
	}
	c.a.o.Condition(conditionCollect, silence(c.a.cfg.Collect.Listen, began, last, now, refusals))
	c.a.o.Note(conditionCollect, c.describe(s))
}

// silence says why no flows come, or nil.
//
//	heard lately    refused lately    said
//	yes             any               nothing
//	no              yes               who sends and is not allowed, at once
//	no              no                that nobody sends, after five minutes
func silence(listen string, began, last, now time.Time, refusals []collect.Refusal) error {
	if !last.IsZero() && now.Sub(last) < silentAfter {
		return nil
	}
	since := last
	if since.IsZero() {
		since = began
	}
	who := recentlyRefused(refusals, now)
	if len(who) > 0 {
		return fmt.Errorf("flows come only from %s, not allowed to export: if they are yours, add to collect.allow: %s",
			strings.Join(who, " and "), strings.Join(who, ", "))
	}
	if now.Sub(since) < silentAfter {
		return nil
	}
	return fmt.Errorf("no exporter has sent anything to %s for %s: see that one exports to this host and port, and that no firewall closes it",
		listen, now.Sub(since).Round(time.Second))
}

// recentlyRefused are the addresses of those who were refused, at most four.
func recentlyRefused(refusals []collect.Refusal, now time.Time) []string {
	var who []string
	for _, r := range refusals {
		if now.Sub(r.Last) < refusedFor && len(who) < 4 {
			who = append(who, r.From.String())
		}
	}
	slices.Sort(who)
	return who
}

// describe is a line on what was collected.
func (c *collector) describe(s collect.ReceiverStats) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var flows, sampled uint64
	for _, e := range c.exporters {
		flows += e.flows
		sampled += e.sampled
	}
	if s.Datagrams == 0 {
		return ""
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s from %s", obs.Counted(flows, "flow", "flows"), obs.Counted(uint64(len(c.exporters)), "exporter", "exporters"))
	for _, also := range []struct {
		n    uint64
		what string
	}{
		{sampled, "estimates of sampled traffic"},
		{s.Lost, "lost on the way"},
		{s.Malformed + s.Unsupported, "datagrams not readable"},
		{s.Unread, "sets whose template did not come"},
		{s.Limited, "datagrams above collect.rate_per_second"},
		{s.Crowded, "datagrams dropped, as more came than could be worked off"},
		{s.Overflowed, "datagrams dropped by the kernel"},
		{s.Refused + s.RefusedConnections, "refused"},
	} {
		if also.n > 0 {
			fmt.Fprintf(&text, ", %d %s", also.n, also.what)
		}
	}
	return text.String()
}

// counts are those by exporter, for metrics.
func (c *collector) counts() map[string]exporterCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]exporterCounts, len(c.exporters))
	for a, e := range c.exporters {
		name := "other"
		if a.IsValid() {
			name = a.String()
		}
		out[name] = *e
	}
	return out
}
