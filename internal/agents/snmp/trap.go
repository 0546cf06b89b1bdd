package snmp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/snmp/trap"
)

const (
	// conditionTraps is the name of the condition that no traps are taken.
	conditionTraps = "traps"
	// trapAgain is after how long a port that was taken is tried again.
	trapAgain = 5 * time.Second
	// trapQueue is how many traps wait to be published; further ones are dropped and
	// counted.
	trapQueue = 1024
	// trapBatch is how many are published together.
	trapBatch = 64
	// trapBuffer is asked of the kernel for datagrams that wait, in bytes: what many
	// devices send at once when the power comes back.
	trapBuffer = 1 << 20
	// maxTrapBytes is the largest message that is read (RFC 3417, section 3.2, has 484 at
	// least; devices send what fits into UDP).
	maxTrapBytes = 65535
	// maxSenders is how many senders the rate remembers.
	maxSenders = 4096
	// trapsOfAll is how many times as many traps all senders together may send as one may.
	trapsOfAll = 50
)

// trapCounts say what came of datagrams.
type trapCounts struct {
	received, malformed, refused, limited, dropped atomic.Uint64
	informs, secret, replayed                      atomic.Uint64 // secret: SNMPv3 that no credential opens
}

// trapListener takes traps and informs.
type trapListener struct {
	a      *Agent
	read   *trap.Reader
	allow  []netip.Prefix
	rate   *limit.Limiter // of each sender
	total  *limit.Limiter // of all, whose addresses anybody can make up
	counts trapCounts
	queue  chan received
	opened func(net.Addr) // told where it listens; nil is not
	again  time.Duration
	keeper trapKeeper
}

func newTrapListener(a *Agent, users []credential) *trapListener {
	t := &trapListener{
		a: a, queue: make(chan received, trapQueue), again: trapAgain,
		rate: limit.NewLimiter(limit.Rate{
			Burst: 2 * a.cfg.Traps.RatePerSecond, Interval: time.Second / time.Duration(a.cfg.Traps.RatePerSecond),
		}, maxSenders),
		total: limit.NewLimiter(limit.Rate{
			Burst: 2 * trapsOfAll * a.cfg.Traps.RatePerSecond, Interval: time.Second / time.Duration(trapsOfAll*a.cfg.Traps.RatePerSecond),
		}, 1),
	}
	t.keeper.dir = a.o.DataDir
	before, err := t.keeper.recall()
	if err != nil {
		a.o.Logger.Warn("which traps were taken before is lost", obs.KeyError, err)
	}
	t.read = trap.NewReader(opening(users), a.o.HostID+a.o.ID, a.o.Now, before)
	for _, text := range a.cfg.Traps.Allow {
		if p, err := config.ParseNetwork(text); err == nil { // Validate has seen to it
			t.allow = append(t.allow, p)
		}
	}
	return t
}

// run listens until ctx ends. A port that is taken is waited for.
func (t *trapListener) run(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		err := t.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		hint := "set traps.listen to another port, or stop what holds it"
		if isDenied(err) {
			hint = "a port below 1024 takes CAP_NET_BIND_SERVICE: set traps.listen to 1162 and send devices there, or redirect the port"
		}
		err = fmt.Errorf("no traps are taken on %s: %w: %s", t.a.cfg.Traps.Listen, err, hint)
		t.a.o.Condition(conditionTraps, err)
		if err.Error() != said {
			said = err.Error()
			t.a.o.Logger.Warn("no traps are taken", obs.KeyError, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(t.again):
		}
	}
}

// serve reads the port until ctx ends or it fails.
func (t *trapListener) serve(ctx context.Context) error {
	var l net.ListenConfig
	conn, err := l.ListenPacket(ctx, "udp", t.a.cfg.Traps.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	udp, is := conn.(*net.UDPConn)
	if !is {
		_ = conn.Close()
		return fmt.Errorf("listen: %T is no UDP", conn)
	}
	defer func() { _ = udp.Close() }() // Nothing was written that matters.
	_ = udp.SetReadBuffer(trapBuffer)  // It works with less.
	t.a.o.Condition(conditionTraps, nil)
	t.a.o.Logger.Info("takes traps", obs.KeyAddr, udp.LocalAddr().String())
	if t.opened != nil {
		t.opened(udp.LocalAddr())
	}
	var publishing sync.WaitGroup
	life, end := context.WithCancel(ctx)
	publishing.Go(func() { t.publish(life) })
	defer publishing.Wait()
	defer end()
	stop := context.AfterFunc(ctx, func() { _ = udp.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, maxTrapBytes)
	for {
		n, from, err := udp.ReadFromUDPAddrPort(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("read: %w", err)
		case err != nil:
			continue // what an earlier answer met, such as a port unreachable
		}
		t.take(buf[:n], from, func(answer []byte) { _, _ = udp.WriteToUDPAddrPort(answer, from) })
	}
}

// take judges one datagram. Whoever sends too many is not even decoded.
func (t *trapListener) take(b []byte, from netip.AddrPort, answer func([]byte)) {
	t.counts.received.Add(1)
	sender := from.Addr().Unmap().WithZone("")
	if len(t.allow) > 0 && !slices.ContainsFunc(t.allow, func(p netip.Prefix) bool { return p.Contains(sender) }) {
		t.counts.refused.Add(1)
		return
	}
	now := t.a.o.Now()
	_, ok := t.rate.Take(sender.String(), now)
	if ok {
		_, ok = t.total.Take("", now)
	}
	if !ok {
		t.counts.limited.Add(1)
		return
	}
	if len(t.queue) == cap(t.queue) { // which nobody else fills; what is read counts as taken
		t.counts.dropped.Add(1)
		return // and an inform is not confirmed: it is sent again
	}
	got, reply, err := t.read.Decode(b)
	switch {
	case errors.Is(err, trap.ErrNoCredential):
		t.counts.secret.Add(1)
		return
	case errors.Is(err, trap.ErrReplayed):
		t.counts.replayed.Add(1)
		if reply != nil {
			answer(reply) // its sender may not have heard that it came
		}
		return
	case err != nil:
		t.counts.malformed.Add(1)
		return
	}
	if got.OID != "" {
		t.queue <- received{got, sender, now}
	}
	if reply != nil {
		if got.Inform {
			t.counts.informs.Add(1)
		}
		answer(reply)
	}
}

// publish makes events of what waits, until ctx ends; then of what waits still.
func (t *trapListener) publish(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			for len(t.queue) > 0 {
				t.a.tellTraps(context.WithoutCancel(ctx), t.batch(<-t.queue))
			}
			return
		case first := <-t.queue:
			t.a.tellTraps(ctx, t.batch(first))
		}
	}
}

// batch is first and what waits behind it.
func (t *trapListener) batch(first received) []received {
	batch := []received{first}
	for len(batch) < trapBatch {
		select {
		case next := <-t.queue:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// received is one trap or inform, and where it came from.
type received struct {
	trap.Trap
	from netip.Addr
	at   time.Time
}

// whom is the device that the trap is about.
func (t *received) whom() netip.Addr {
	if t.Agent.IsValid() {
		return t.Agent
	}
	return t.from
}

// word is the name of the trap, or its OID.
func (t *received) word() string { return cmp.Or(t.Name, t.OID) }
