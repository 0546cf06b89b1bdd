//go:build !linux

package snmp

import "net"

// hearRefusals does nothing here: a closed port looks like silence.
func hearRefusals(*net.UDPConn, bool) error { return nil }

// forgetRefusals does nothing here: none are kept.
func forgetRefusals(*net.UDPConn) {}
