package agent

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// selfUsage is the CPU time and resident memory of this process; 0 for what the
// system does not tell.
func selfUsage() (cpu time.Duration, rss uint64) {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) == nil {
		cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return cpu, 0
	}
	if fields := bytes.Fields(text); len(fields) > 1 {
		pages, _ := strconv.ParseUint(string(fields[1]), 10, 64) // 0 when it is no number
		rss = pages * uint64(os.Getpagesize())
	}
	return cpu, rss
}

// bootID names the running system; it changes when the machine starts again.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(text))
}
