//go:build !linux

package collect

import "net"

// overflowRoom is for what a kernel says beside a datagram, bytes: nothing here.
const overflowRoom = 0

// tellOverflow asks nothing: only Linux says what it dropped.
func tellOverflow(*net.UDPConn) {}

func overflowOf([]byte) (dropped uint32, is bool) { return 0, false }
