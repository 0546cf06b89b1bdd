package state

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// giveUp has the kernel end a connection whose peer acknowledges nothing for twice
// pgAnswer (TCP_USER_TIMEOUT in tcp(7)).
func giveUp(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(2*pgAnswer.Milliseconds())) // else it is noticed later
	})
}
