package clock

import "time"

// sinceStart measures from now on by the monotonic clock of package time.
func sinceStart() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}
