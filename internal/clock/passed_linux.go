package clock

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bootID names the start of the machine, see random(4).
const bootID = "/proc/sys/kernel/random/boot_id"

// SincePower returns what reads the time since the machine started, and the name of
// that start. It reads CLOCK_BOOTTIME, which, unlike the clock of package time, goes
// on while the machine sleeps.
func SincePower() (passed func() time.Duration, boot string) {
	var probe unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &probe) != nil {
		return sinceStart(), ""
	}
	if id, err := os.ReadFile(bootID); err == nil {
		boot = strings.TrimSpace(string(id))
	}
	return func() time.Duration {
		var ts unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // it worked before
		return time.Duration(ts.Nano())
	}, boot
}
