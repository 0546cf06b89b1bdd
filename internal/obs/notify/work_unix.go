//go:build unix

package notify

import (
	"time"

	"golang.org/x/sys/unix"
)

// worked is what this process has done (getrusage(2)); false if the system does not say.
func worked() (work, bool) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return work{}, false
	}
	return work{cpu: time.Duration(u.Utime.Nano() + u.Stime.Nano()), reads: int64(u.Inblock)}, true //nolint:unconvert // 32 bits on some systems
}
