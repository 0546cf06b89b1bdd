package collect

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/flow/recent"
)

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

// refuse remembers who was refused. The caller holds mu.
func (d *door) refuse(from netip.Addr, now time.Time) {
	x, _ := d.refused.Use(from)
	x.From = from
	x.Count++
	x.Last = now
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
	if !d.spend(addr, o, now.UnixNano()) {
		d.stats.Limited++
		return
	}
	if !d.limits.Proven(addr) && !o.names(addr) {
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

// names reports whether an address is allowed by itself, and not as one of a network. Of
// such there are as many as somebody wrote down, so that each stands for itself from its
// first datagram on: who forges one has what that one has.
func (o *ReceiverOptions) names(from netip.Addr) bool {
	for _, p := range o.Allow {
		if p.IsSingleIP() && p.Addr() == from {
			return true
		}
	}
	return false
}

// spend reports whether an exporter may send one more datagram. Those who are neither
// proven nor named share what one may send: to forge addresses gives nobody more.
func (d *door) spend(from netip.Addr, o *ReceiverOptions, now int64) bool {
	own, _ := d.limits.UseAt(from, now)
	if !d.limits.Proven(from) && !o.names(from) {
		own = &d.strangers
	}
	return own.spend(o.Rate, now)
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
