package main

import (
	"context"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
)

// maxSkips is how many leaps of a capture are told one by one.
const maxSkips = 8

// pacer says when the next frame of a capture is due, at a multiple of its speed.
type pacer struct {
	speed   float64
	longest time.Duration // 0 waits as long as it takes
	first   int64         // time of a frame, Unix nanoseconds
	began   time.Time     // when it was taken; zero before the first
	last    int64         // time of the frame before
}

// due returns how long to wait for a frame that was captured at a time, and how much
// longer it would be by the capture alone. A leap of the capture's clock, ahead by what
// takes longer than the longest wait or back by a second, counts as time from there on.
func (p *pacer) due(at int64, now time.Time) (wait, left time.Duration) {
	if p.began.IsZero() || at < p.last-int64(time.Second) {
		p.first, p.began, p.last = at, now, at
		return 0, 0
	}
	p.last = at
	ahead := float64(at-p.first)/p.speed - float64(now.Sub(p.began))
	const ever = float64(1 << 62)
	wait = time.Duration(min(ahead, ever))
	if p.longest > 0 && wait > p.longest {
		left, wait = wait-p.longest, p.longest
		p.first, p.began = at, now.Add(wait)
	}
	return wait, left
}

// pace waits for the time of each frame. What it does not wait for is told.
func (r *replay) pace(speed float64, progress *cli.Progress) func(context.Context, int64) error {
	p := pacer{speed: speed, longest: r.longest}
	skips := 0
	return func(ctx context.Context, at int64) error {
		wait, left := p.due(at, time.Now())
		if wait <= time.Millisecond {
			return nil
		}
		if left > 0 {
			skips++
			if skips <= maxSkips {
				progress.Done()
				fmt.Fprintf(r.env.Stderr, "note: the next packet, of %s, is due %s after this wait of %s: that is left out (--longest-wait)\n",
					time.Unix(0, at).UTC().Format(replayTime), left.Round(time.Second), wait)
			}
			if skips == maxSkips {
				fmt.Fprintln(r.env.Stderr, "note: further ones are not told")
			}
		}
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("replay: %w", ctx.Err())
		}
	}
}
