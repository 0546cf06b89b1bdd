package accounts

import (
	"container/list"
	"sync"
	"time"
)

// limit is how often something may happen: burst times at once, then once every
// interval.
type limit struct {
	burst    int
	interval time.Duration
}

// limiter keeps token buckets by key, at most size of them; the one unused for
// longest makes room for a new one.
type limiter struct {
	limit limit
	size  int

	mu      sync.Mutex // guards what follows
	buckets map[string]*list.Element
	recent  *list.List // of *bucket, most recently used first
}

type bucket struct {
	key string
	// full is when the bucket will be full again: the later, the emptier it is.
	full time.Time
}

func newLimiter(l limit, size int) *limiter {
	return &limiter{limit: l, size: size, buckets: map[string]*list.Element{}, recent: list.New()}
}

// take takes a token from key's bucket. When there is none it returns how long
// until there is.
func (l *limiter) take(key string, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	element, found := l.buckets[key]
	if !found {
		if len(l.buckets) >= l.size {
			oldest := l.recent.Back()
			delete(l.buckets, l.recent.Remove(oldest).(*bucket).key)
		}
		element = l.recent.PushFront(&bucket{key: key})
		l.buckets[key] = element
	}
	l.recent.MoveToFront(element)
	b := element.Value.(*bucket)
	if b.full.Before(now) {
		b.full = now
	}
	// A bucket is empty when it takes burst intervals to fill.
	wait = b.full.Sub(now) - time.Duration(l.limit.burst-1)*l.limit.interval
	if wait > 0 {
		return wait, false
	}
	b.full = b.full.Add(l.limit.interval)
	return 0, true
}

// forget fills key's bucket.
func (l *limiter) forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if element, ok := l.buckets[key]; ok {
		l.recent.Remove(element)
		delete(l.buckets, key)
	}
}
