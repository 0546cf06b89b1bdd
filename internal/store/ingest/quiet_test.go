package ingest

import (
	"testing"
	"time"
)

// TestFewEventsWaitUntilSomebodyAsks: a quiet host's events come to the engine many at a
// time, and who asks finds all of them.
func TestFewEventsWaitUntilSomebodyAsks(t *testing.T) {
	t.Parallel()
	l := newLogged(31)
	r := startFeed(t, l, t.TempDir(), func(o *Options) { o.QuietDelay, o.BarrierEvery = time.Hour, time.Hour })
	taken := func() bool { return r.Next() == l.log.Stat().NextOffset }
	l.appendMany(t, 1)
	r.settled(t, l) // the first barrier after a start is made at once
	l.appendMany(t, 3)
	until(t, "they were taken", taken)
	if r.Lag() == 0 {
		t.Error("the engine was given three events though nobody asked")
	}
	if s := r.Status(); s.GetState() != "ok" || s.GetEvents() != l.kept() {
		t.Errorf("status %v", s)
	}
	if !r.Offer(t.Context()) || r.Lag() != 0 {
		t.Errorf("who asks misses %d events", r.Lag())
	}
	if err := r.keeper.Client().Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.same(t, stored(t, r.keeper.Client(), "*"))
	if r.Offer(t.Context()) {
		t.Error("something waits still")
	}
	for enough := l.kept() + quietRows; l.kept() < enough; {
		l.appendMany(t, 1)
	}
	until(t, "many go by themselves", func() bool { return r.Lag() == 0 })
	l.appendMany(t, 2)
	until(t, "they were taken", taken)
	r.stop()
	if p := r.Place(); p.Offset != l.log.Stat().NextOffset {
		t.Errorf("the place is %d of %d after a stop in order", p.Offset, l.log.Stat().NextOffset)
	}
}
