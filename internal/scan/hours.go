package scan

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Hours are times of day, each day the same, in local time. One that ends before it
// begins goes over midnight. The zero value is all day.
type Hours struct {
	// From and To are minutes after midnight; To is not in it.
	From, To int
}

// ParseHours reads "22:00-06:00"; "" is all day.
func ParseHours(text string) (Hours, error) {
	if text = strings.TrimSpace(text); text == "" {
		return Hours{}, nil
	}
	from, to, is := strings.Cut(text, "-")
	first, err1 := time.Parse("15:04", strings.TrimSpace(from))
	last, err2 := time.Parse("15:04", strings.TrimSpace(to))
	if !is || err1 != nil || err2 != nil || first.Equal(last) {
		return Hours{}, fmt.Errorf("hours %q: want two times of day, such as 22:00-06:00", text)
	}
	return Hours{first.Hour()*60 + first.Minute(), last.Hour()*60 + last.Minute()}, nil
}

// String is the reverse of ParseHours.
func (h Hours) String() string {
	if h == (Hours{}) {
		return ""
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", h.From/60, h.From%60, h.To/60, h.To%60)
}

// Allow says whether a time is in the hours.
func (h Hours) Allow(t time.Time) bool {
	m := t.Hour()*60 + t.Minute()
	switch {
	case h == Hours{}:
		return true
	case h.From < h.To:
		return m >= h.From && m < h.To
	default:
		return m >= h.From || m < h.To
	}
}

// Next is when the hours begin: t itself if it is in them.
func (h Hours) Next(t time.Time) time.Time {
	if h.Allow(t) {
		return t
	}
	next := time.Date(t.Year(), t.Month(), t.Day(), h.From/60, h.From%60, 0, 0, t.Location())
	if !next.After(t) {
		next = time.Date(t.Year(), t.Month(), t.Day()+1, h.From/60, h.From%60, 0, 0, t.Location())
	}
	return next
}

// Wait waits until the hours allow to send, or ctx ends, whose error it returns then.
func (h Hours) Wait(ctx context.Context) error {
	for {
		now := time.Now()
		next := h.Next(now)
		if !next.After(now) {
			return ctx.Err()
		}
		if err := Pause(ctx, min(next.Sub(now), time.Minute)); err != nil { // clocks may be set
			return err
		}
	}
}

// Pause waits, or returns the error of ctx if that ends first.
func Pause(ctx context.Context, long time.Duration) error {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
