package enroll

import (
	"net/netip"
	"sync"
	"time"
)

// How many requests are looked at in a minute. A person who mistypes never meets
// these; a secret of 256 bits needs no limit, the disk and the processor do.
const (
	perAddress    = 20
	perMinute     = 120
	concurrently  = 4
	limitInterval = time.Minute
)

// limits counts requests of the present minute by address and over all, and holds
// the few that may run at a time.
type limits struct {
	running chan struct{}

	mu    sync.Mutex // guards what follows
	since time.Time
	total int
	from  map[string]int // at most perMinute entries
}

func newLimits() *limits {
	return &limits{running: make(chan struct{}, concurrently), from: map[string]int{}}
}

// take reports whether one more request from addr may be looked at now.
func (l *limits) take(addr string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := now.Sub(l.since); age < 0 || age >= limitInterval {
		l.since, l.total = now, 0
		clear(l.from)
	}
	key := network(addr)
	if l.from[key] >= perAddress || l.total >= perMinute {
		return false
	}
	l.from[key]++
	l.total++
	return true
}

// network is whom an address speaks for: itself, and in IPv6 the 64 bits that one
// subscriber is given (RFC 6177).
func network(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return addr
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
}
