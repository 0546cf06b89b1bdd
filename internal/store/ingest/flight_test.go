package ingest

import (
	"errors"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/stream"
)

// TestInserted: the engine has all before an offset only when no batch before it flies.
func TestInserted(t *testing.T) {
	f := newFlight(inFlight)
	check := func(what string, want stream.Offset, whole bool) {
		t.Helper()
		if got, ok := f.before(); got != want || ok != whole {
			t.Errorf("%s: before %d (%v), want %d (%v)", what, got, ok, want, whole)
		}
	}
	f.passed(5)
	check("nothing flies", 5, true)
	a, b := <-f.free, <-f.free
	f.hand(a, 10)
	<-f.full
	f.hand(b, 20)
	<-f.full
	f.passed(25) // what came behind b was nothing to insert
	f.landed(b)
	check("the second is there", 5, true)
	f.landed(a)
	check("both are there", 25, true)
	f.passed(30)
	check("nothing to insert", 30, true)
	c := <-f.free
	f.hand(c, 40)
	<-f.full
	f.fail(errors.New("the engine is gone"))
	f.landed(c)
	check("one was lost", 30, false)
	f.clear(12)
	check("it begins anew", 12, true)
}

// TestBarriersSoonAfterAStart: a store that dies again and again before BarrierEvery
// comes forward, since its barriers double their distance from a start.
func TestBarriersSoonAfterAStart(t *testing.T) {
	start := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	in := &Ingest{o: Options{BarrierEvery: 10 * time.Second}, started: start, next: 100_000}
	for _, tc := range []struct {
		name    string
		settled time.Time
		next    stream.Offset
		want    time.Duration
	}{
		{"none yet", time.Time{}, 100_000, 500 * time.Millisecond},
		{"the last was before the engine ended", start.Add(-time.Minute), 100_000, 500 * time.Millisecond},
		{"at once", start.Add(100 * time.Millisecond), 100_000, 500 * time.Millisecond},
		{"as long again", start.Add(3 * time.Second), 100_000, 3 * time.Second},
		{"long ago", start.Add(time.Hour), 100_000, 10 * time.Second},
		{"little is new", start.Add(3 * time.Second), 999, 3 * time.Minute},
	} {
		in.settled, in.next = tc.settled, tc.next
		if got := in.barrierDelay(); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
