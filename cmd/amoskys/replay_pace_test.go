package main

import (
	"testing"
	"time"
)

// TestPacer: leaps of years wait for a minute, leaps back for nothing, and behind each the
// capture goes on at its pace.
func TestPacer(t *testing.T) {
	const s = time.Second
	now := time.Unix(1_700_000_000, 0)
	p := pacer{speed: 2, longest: time.Minute}
	at := time.Unix(1_000_000_000, 0)
	for i, step := range []struct{ by, wait, left time.Duration }{
		{0, 0, 0},
		{2 * s, s, 0},
		{10 * time.Hour, time.Minute, 5*time.Hour - time.Minute},
		{4 * s, 2 * s, 0},
		{-9 * 365 * 24 * time.Hour, 0, 0}, // the clock was set
		{6 * s, 3 * s, 0},
		{-100 * time.Millisecond, 3*s - 50*time.Millisecond - 3*s, 0}, // frames come in another order
		{20 * 365 * 24 * time.Hour, time.Minute, 10*365*24*time.Hour - 50*time.Millisecond - time.Minute},
		{2 * s, s, 0},
	} {
		at = at.Add(step.by)
		wait, left := p.due(at.UnixNano(), now)
		if wait != step.wait || left != step.left {
			t.Errorf("step %d: waits %s and leaves out %s, want %s and %s", i, wait, left, step.wait, step.left)
		}
		now = now.Add(max(0, wait))
	}
	for _, far := range []int64{1<<63 - 1, -1 << 63} { // times that no clock has
		p.longest = 0
		if wait, _ := p.due(far, now); wait < 0 && far > 0 {
			t.Errorf("waits %s", wait)
		}
	}
}
