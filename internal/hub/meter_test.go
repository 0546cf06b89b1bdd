package hub

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestRollingQuantiles(t *testing.T) {
	var r rolling
	now := time.Unix(1_000_000, 0)
	if got := r.quantiles(now, 0.5); got[0] != 0 {
		t.Errorf("without values: %v", got)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var values []float64
	for range 10_000 {
		ms := random.ExpFloat64() * 5
		values = append(values, ms)
		r.observe(now, time.Duration(ms*float64(time.Millisecond)))
	}
	slices.Sort(values)
	for _, q := range []float64{0.5, 0.99, 0.999} {
		want := values[int(q*float64(len(values)))]
		if got := r.quantiles(now.Add(30*time.Second), q)[0]; got < want*0.95 || got > want*1.3 {
			t.Errorf("quantile %v is %v ms, the values say %v", q, got, want)
		}
	}
	if got := r.quantiles(now.Add(2*time.Minute), 0.5); got[0] != 0 {
		t.Errorf("after two minutes: %v", got)
	}
	r.observe(now.Add(70*time.Second), time.Millisecond) // the slice is used again
	if got := r.quantiles(now.Add(70*time.Second), 0.999)[0]; got < 1 || got > 1.3 {
		t.Errorf("a slice that is used again: %v", got)
	}
}

func TestBuckets(t *testing.T) {
	for d := time.Microsecond; d < time.Hour; d = d*11/10 + 1 {
		b := bucketOf(d)
		if hi := upperBound(b); d.Microseconds() > hi.Microseconds()+1 {
			t.Fatalf("%v is in bucket %d, which ends at %v", d, b, hi)
		}
		if b > 0 && upperBound(b-1) > d+time.Microsecond && d > 8*time.Microsecond {
			t.Fatalf("%v is in bucket %d, but the one before ends at %v", d, b, upperBound(b-1))
		}
	}
}

func TestMeterRate(t *testing.T) {
	var m meter
	now := time.Unix(1_000_000, 0)
	m.tick(now)
	if got := m.eventsPerSecond(); got != 0 {
		t.Errorf("at first: %v", got)
	}
	m.events.Add(500)
	m.tick(now.Add(5 * time.Second))
	if got := m.eventsPerSecond(); got != 100 {
		t.Errorf("500 events in 5 seconds: %v a second", got)
	}
	m.tick(now.Add(10 * time.Second))
	if got := m.eventsPerSecond(); got != 0 {
		t.Errorf("nothing in 5 seconds: %v a second", got)
	}
}
