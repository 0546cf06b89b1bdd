package cli

import (
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// When reads a time that a person gives: how long before now, such as 15m, 24h, 7d or
// 1d12h, or a time, RFC 3339 or as clocks here show it.
func When(text string, now time.Time) (time.Time, error) {
	if at, ok := ago(text, now); ok {
		return at, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	for _, layout := range []string{
		time.DateTime, "2006-01-02 15:04", time.DateOnly, "2006-01-02T15:04:05", "2006-01-02T15:04",
	} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither how long ago (15m, 24h, 7d) nor a time (%s, or %s here)",
		text, now.UTC().Format(time.RFC3339), now.Format("2006-01-02 15:04"))
}

// longAgo has weeks and days before what Go's durations have.
//
//nolint:gochecknoglobals // immutable once built
var longAgo = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:(\d{1,4})w)?(?:(\d{1,5})d)?(.*)$`)
})

func ago(text string, now time.Time) (time.Time, bool) {
	m := longAgo().FindStringSubmatch(text)
	if m == nil || text == "" {
		return time.Time{}, false
	}
	number := func(digits string) int {
		n, err := strconv.Atoi(digits)
		if err != nil {
			return 0 // there are none
		}
		return n
	}
	at := now.AddDate(0, 0, -7*number(m[1])-number(m[2]))
	if m[3] == "" {
		return at, true
	}
	d, err := time.ParseDuration(m[3])
	return at.Add(-d), err == nil && d >= 0 && m[3][0] != '-'
}
