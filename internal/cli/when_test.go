package cli

import (
	"testing"
	"time"
)

func TestWhen(t *testing.T) {
	now := time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"15m":                  now.Add(-15 * time.Minute),
		"7d":                   now.AddDate(0, 0, -7),
		"2w":                   now.AddDate(0, 0, -14),
		"1w1d1h30m":            now.AddDate(0, 0, -8).Add(-90 * time.Minute),
		"0s":                   now,
		"2026-05-01":           time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		"2026-05-01 10:30":     time.Date(2026, 5, 1, 10, 30, 0, 0, time.UTC),
		"2026-05-01 10:30:05":  time.Date(2026, 5, 1, 10, 30, 5, 0, time.UTC),
		"2026-05-01T10:30":     time.Date(2026, 5, 1, 10, 30, 0, 0, time.UTC),
		"2026-05-01T10:30:05Z": time.Date(2026, 5, 1, 10, 30, 5, 0, time.UTC),
	} {
		if at, err := When(text, now); err != nil || !at.Equal(want) {
			t.Errorf("%s is %v, %v, not %v", text, at, err, want)
		}
	}
	for _, text := range []string{"", "5", "-5m", "1d-5m", "yesterday", "7 d", "d", "99999999999d", "2026-13-01"} {
		if at, err := When(text, now); err == nil {
			t.Errorf("%q is taken for %v", text, at)
		}
	}
}
