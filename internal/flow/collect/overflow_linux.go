package collect

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// overflowRoom is for what the kernel says beside a datagram, bytes.
const overflowRoom = unix.SizeofCmsghdr + 8

// tellOverflow asks the kernel to say with each datagram how many it dropped before, for
// want of room (SO_RXQ_OVFL, socket(7)). Where it does not, nothing is said.
func tellOverflow(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1) })
}

// overflowOf reads it: a struct cmsghdr, and a number.
func overflowOf(said []byte) (dropped uint32, is bool) {
	const level, kind = unix.SizeofCmsghdr - 8, unix.SizeofCmsghdr - 4
	if len(said) < unix.SizeofCmsghdr+4 || binary.NativeEndian.Uint32(said[level:]) != unix.SOL_SOCKET || binary.NativeEndian.Uint32(said[kind:]) != unix.SO_RXQ_OVFL {
		return 0, false
	}
	return binary.NativeEndian.Uint32(said[unix.SizeofCmsghdr:]), true
}
