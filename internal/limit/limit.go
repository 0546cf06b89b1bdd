// Package limit shares out what is scarce among those who ask for it: tries in a
// time ([Limiter]), slots that are held ([Slots], [Listener]), bytes in memory
// ([Budget]) and lines of a log ([Log]). Everything that bounds a client stands on it.
//
// Shares go by a key: the network that somebody calls from ([Network]), or who
// they have proven to be. Three rules hold everywhere. Whatever is remembered of
// keys is bounded. One key has what is free, and gives way to others beyond its
// share. Somebody known is never shut out by somebody unknown.
package limit

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Network is whom an address speaks for: itself, and in IPv6 the 64 bits that one
// subscriber is given, who has all addresses below them (RFC 6177). The address
// may carry a port. A text that is no address stands for itself.
func Network(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		at, err := netip.ParseAddrPort(addr)
		if err != nil {
			return addr
		}
		ip = at.Addr()
	}
	return networkOf(ip)
}

// NetworkOf is Network of one end of a connection.
func NetworkOf(addr net.Addr) string {
	switch a := addr.(type) {
	case nil:
		return ""
	case *net.TCPAddr:
		return networkOf(a.AddrPort().Addr())
	}
	return Network(addr.String())
}

func networkOf(ip netip.Addr) string {
	if ip = ip.Unmap().WithZone(""); !ip.Is6() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}

// Rate is how often something may happen: Burst times at once, then once every
// Interval.
type Rate struct {
	Burst    int
	Interval time.Duration
}

// bucket is a token bucket, kept as the time when it will be full again: the
// later, the emptier it is.
type bucket struct{ full time.Time }

// take takes a token. When there is none it returns how long until there is.
func (b *bucket) take(r Rate, now time.Time) (wait time.Duration, ok bool) {
	// No bucket is emptier than empty: then the clock was set back, and it begins anew.
	if empty := now.Add(time.Duration(r.Burst) * r.Interval); b.full.Before(now) || b.full.After(empty) {
		b.full = now
	}
	if wait = b.full.Sub(now) - time.Duration(r.Burst-1)*r.Interval; wait > 0 {
		return wait, false
	}
	b.full = b.full.Add(r.Interval)
	return 0, true
}

// Limiter applies a rate to each of many keys. It remembers at most a number of
// them; the one unused for longest makes room for a new one.
type Limiter struct {
	rate Rate

	mu   sync.Mutex // guards kept
	kept lru[bucket]
}

// NewLimiter returns a limiter that remembers at most keys keys.
func NewLimiter(r Rate, keys int) *Limiter {
	return &Limiter{rate: r, kept: newLRU[bucket](keys)}
}

// Take counts one try of key. When it has no more it returns how long until it has.
func (l *Limiter) Take(key string, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.use(key).take(l.rate, now)
}

// Forget gives key all its tries back.
func (l *Limiter) Forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept.drop(key)
}

// Known remembers for a time who was there: at most a number of keys, of which the
// one unseen for longest makes room.
type Known struct {
	life time.Duration

	mu   sync.Mutex // guards kept
	kept lru[time.Time]
}

// NewKnown returns an empty memory of at most keys keys for life.
func NewKnown(keys int, life time.Duration) *Known {
	return &Known{life: life, kept: newLRU[time.Time](keys)}
}

// Note says that key was there.
func (k *Known) Note(key string, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	*k.kept.use(key) = now
}

// Has reports whether key was there of late.
func (k *Known) Has(key string, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.kept.byKey[key]
	return ok && now.Sub(e.Value.(*lruEntry[time.Time]).value) < k.life
}

// lru is a map of at most size keys.
type lru[T any] struct {
	size   int
	byKey  map[string]*list.Element
	recent *list.List // of *lruEntry[T], most recently used first
}

type lruEntry[T any] struct {
	key   string
	value T
}

func newLRU[T any](size int) lru[T] {
	return lru[T]{size: max(size, 1), byKey: map[string]*list.Element{}, recent: list.New()}
}

// use returns key's value, a new one where there was none.
func (l *lru[T]) use(key string) *T {
	element, found := l.byKey[key]
	if !found {
		if len(l.byKey) >= l.size {
			oldest := l.recent.Remove(l.recent.Back()).(*lruEntry[T])
			delete(l.byKey, oldest.key)
		}
		element = l.recent.PushFront(&lruEntry[T]{key: key})
		l.byKey[key] = element
	}
	l.recent.MoveToFront(element)
	return &element.Value.(*lruEntry[T]).value
}

func (l *lru[T]) drop(key string) {
	if element, ok := l.byKey[key]; ok {
		l.recent.Remove(element)
		delete(l.byKey, key)
	}
}
