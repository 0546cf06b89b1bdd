package agent

import (
	"sync"
	"time"
)

// usage measures this process.
type usage struct {
	mu      sync.Mutex
	at      time.Time
	cpu     time.Duration
	percent float64
}

// minUsageSpan is the shortest span a CPU share is computed over.
const minUsageSpan = time.Second

// read returns the share of one core since the last reading, in percent, and the
// resident memory in bytes.
func (u *usage) read(now time.Time) (cpuPercent float64, rss uint64) {
	cpu, rss := selfUsage()
	u.mu.Lock()
	defer u.mu.Unlock()
	if span := now.Sub(u.at); u.at.IsZero() || span >= minUsageSpan {
		if !u.at.IsZero() {
			u.percent = 100 * (cpu - u.cpu).Seconds() / span.Seconds()
		}
		u.at, u.cpu = now, cpu
	}
	return u.percent, rss
}
