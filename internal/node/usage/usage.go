// Package usage reads what a process uses, cheaply enough to do it every few
// seconds for every child.
package usage

import (
	"errors"
	"time"
)

// ErrUnsupported means that the system offers no cheap way to look.
var ErrUnsupported = errors.New("process usage cannot be read on this system")

// Sample is the use of one process at one time.
type Sample struct {
	Time  time.Time
	CPU   time.Duration // user and system time since it started
	RSS   uint64        // resident bytes; the kernel's estimate, which may be 0 for a small process
	Ended bool          // a zombie: it has ended, and its parent has not looked yet
	Start uint64        // start time in clock ticks since boot: with the pid it names the process
}

// Percent is the share of one processor that was used between two samples of the
// same process, in percent; 0 when they are not comparable.
func Percent(from, to Sample) float64 {
	elapsed := to.Time.Sub(from.Time)
	if from.Start != to.Start || elapsed <= 0 || to.CPU < from.CPU {
		return 0
	}
	return 100 * float64(to.CPU-from.CPU) / float64(elapsed)
}
