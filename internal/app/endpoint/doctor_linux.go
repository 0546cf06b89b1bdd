package endpoint

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// kernelName is release and machine.
func kernelName() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return runtime.GOOS + "/" + runtime.GOARCH
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + ", " + unix.ByteSliceToString(u.Machine[:])
}

// features are those that a kind of agent has a use for.
func features(kind string) []feature {
	packets := feature{"packet sockets", "a kernel with CONFIG_PACKET (modprobe af_packet)", func() error { return hasSocket(unix.AF_PACKET, unix.SOCK_RAW, 0) }}
	diag := feature{"sock_diag", "a kernel with CONFIG_INET_DIAG (modprobe inet_diag): without, flows lack their process", func() error {
		return hasSocket(unix.AF_NETLINK, unix.SOCK_DGRAM, unix.NETLINK_SOCK_DIAG)
	}}
	route := feature{"routing netlink", "a kernel with CONFIG_NET: without, no interface is known", func() error {
		return hasSocket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	}}
	others := feature{"/proc", "mount -o remount,hidepid=0 /proc, or run as root: else other users' processes are not seen", seesOthers}
	switch kind {
	case "flow":
		return []feature{packets, diag, route}
	case "scanner":
		return []feature{packets, route}
	case "proc":
		return []feature{others}
	}
	return nil
}

// hasSocket asks for a socket of a family, and looks only whether the kernel knows it:
// who may not have one is told so elsewhere.
func hasSocket(family, kind, protocol int) error {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	switch {
	case err == nil:
		return unix.Close(fd)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil
	}
	return err
}

// seesOthers looks at the first process, which is root's.
func seesOthers() error {
	if _, err := os.Stat("/proc/1/stat"); err != nil {
		return fmt.Errorf("process 1 cannot be seen: %w", err)
	}
	return nil
}

// clockKept says whether something keeps the clock, as the kernel knows it (adjtimex(2)).
func clockKept() (detail, fix string, known bool) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return "", "", false
	}
	if state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0 {
		return "no time service keeps it, as far as the kernel knows", "start chrony, systemd-timesyncd or ntpd; in a container or virtual machine that of its host counts", true
	}
	return fmt.Sprintf("is kept by a time service, to %d ms at most", (t.Maxerror+999)/1000), "", true
}

// freeInodes is how many files more a disk can have; some file systems have no bound.
func freeInodes(dir string) (uint64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil || s.Files == 0 {
		return 0, false
	}
	return s.Ffree, true
}
