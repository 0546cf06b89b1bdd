package hub

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// meter measures what the metrics cannot tell by themselves: the rate over the
// last interval and the quantiles of the last minute.
type meter struct {
	events   atomic.Uint64 // stored
	errors   atomic.Uint64
	inQueue  atomic.Int64 // events received and not yet answered
	inflight atomic.Int64 // batches, likewise
	latency  rolling

	mu    sync.Mutex // guards the rest
	last  uint64     // events at the time of the last tick
	when  time.Time
	rate  float64 // events a second in the last interval
	known bool
}

// tick takes the rate since the last tick.
func (m *meter) tick(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.events.Load()
	if seconds := now.Sub(m.when).Seconds(); m.known && seconds > 0 {
		m.rate = float64(n-m.last) / seconds
	}
	m.last, m.when, m.known = n, now, true
}

func (m *meter) eventsPerSecond() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rate
}

// rolling is a histogram of the last minute: a ring of slices of ten seconds.
type rolling struct {
	slices [7]slice
}

const sliceLength = 10 * time.Second

// slice holds buckets four to each doubling, from 1 µs to hours.
type slice struct {
	epoch  atomic.Int64 // which ten seconds since 1970
	counts [128]atomic.Uint32
}

func (r *rolling) observe(now time.Time, d time.Duration) {
	epoch := now.UnixNano() / int64(sliceLength)
	s := &r.slices[epoch%int64(len(r.slices))]
	if old := s.epoch.Load(); old != epoch && s.epoch.CompareAndSwap(old, epoch) {
		for i := range s.counts {
			s.counts[i].Store(0)
		}
	}
	s.counts[bucketOf(d)].Add(1)
}

// quantiles returns the given quantiles of the last minute in milliseconds, by
// the upper bounds of buckets; 0 when nothing was observed.
func (r *rolling) quantiles(now time.Time, qs ...float64) []float64 {
	epoch := now.UnixNano() / int64(sliceLength)
	var counts [128]uint64
	var total uint64
	for i := range r.slices {
		s := &r.slices[i]
		if age := epoch - s.epoch.Load(); age < 0 || age >= int64(len(r.slices)) {
			continue
		}
		for b := range counts {
			n := uint64(s.counts[b].Load())
			counts[b] += n
			total += n
		}
	}
	out := make([]float64, len(qs))
	if total == 0 {
		return out
	}
	for i, q := range qs {
		rank := uint64(math.Ceil(q * float64(total)))
		var seen uint64
		for b, n := range counts {
			if seen += n; seen >= max(rank, 1) {
				out[i] = upperBound(b).Seconds() * 1000
				break
			}
		}
	}
	return out
}

// bucketOf gives durations of one octave four buckets.
func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 1))
	octave := bits.Len64(us) - 1
	quarter := 0
	if octave >= 2 {
		quarter = int(us>>(octave-2)) & 3
	}
	return min(octave*4+quarter, 127)
}

func upperBound(bucket int) time.Duration {
	octave, quarter := bucket/4, bucket%4
	return time.Duration(float64(time.Microsecond) * math.Ldexp(1+float64(quarter+1)/4, octave))
}
