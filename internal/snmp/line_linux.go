package snmp

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// hearRefusals has the kernel tell what ICMP says of our datagrams. Without it only a
// connected socket learns that a port is closed, and one that is not waits in vain.
func hearRefusals(sock *net.UDPConn, v6 bool) error {
	raw, err := sock.SyscallConn()
	if err != nil {
		return err
	}
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if v6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), level, option, 1) }); err != nil {
		return err
	}
	if set != nil {
		return fmt.Errorf("ask for errors of ICMP: %w", set)
	}
	return nil
}

// forgetRefusals takes from the socket's error queue what the kernel keeps there of
// each refusal. It counts against the room for answers.
func forgetRefusals(sock *net.UDPConn) {
	raw, err := sock.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		var scratch [64]byte
		for range maxDatagrams {
			if _, _, err := unix.Recvfrom(int(fd), scratch[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT); err != nil {
				return
			}
		}
	})
}
