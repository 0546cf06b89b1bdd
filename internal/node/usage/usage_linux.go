package usage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// tick is USER_HZ, 100 on every Linux platform that Go supports (man 5 proc,
// and ELF auxv AT_CLKTCK); the kernel scales /proc/PID/stat to it.
const tick = time.Second / 100

// Fields of /proc/PID/stat, counted from the one behind the command's ')'.
const (
	fieldUser   = 14 - 3
	fieldSystem = 15 - 3
	fieldStart  = 22 - 3
	fieldRSS    = 24 - 3
)

var errShort = errors.New("process usage: /proc/PID/stat is short")

// Of reads the use of a process now.
func Of(pid int) (Sample, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Sample{}, fmt.Errorf("process usage: %w", err)
	}
	s, err := parse(text, uint64(os.Getpagesize()))
	s.Time = time.Now()
	return s, err
}

// Age is how long ago the process of a sample started, whatever the wall clock was set
// to since; 0 where that cannot be told.
func (s Sample) Age() time.Duration {
	var now unix.Timespec
	if s.Start == 0 || unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return max(time.Duration(now.Nano())-time.Duration(s.Start)*tick, 0)
}

func parse(stat []byte, pageSize uint64) (Sample, error) {
	// The command is in parentheses and may itself hold spaces and parentheses.
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return Sample{}, errShort
	}
	f := bytes.Fields(stat[end+1:])
	if len(f) <= fieldRSS {
		return Sample{}, errShort
	}
	var n [4]uint64
	for i, field := range []int{fieldUser, fieldSystem, fieldStart, fieldRSS} {
		v, err := strconv.ParseUint(string(f[field]), 10, 64)
		if err != nil {
			return Sample{}, fmt.Errorf("process usage: %w", err)
		}
		n[i] = v
	}
	return Sample{CPU: time.Duration(n[0]+n[1]) * tick, Start: n[2], RSS: n[3] * pageSize, Ended: f[0][0] == 'Z' || f[0][0] == 'X'}, nil
}
