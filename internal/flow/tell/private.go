package tell

import (
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// private reports whether an address is of a network that the internet does not
// route: private (RFC 1918, RFC 4193), link-local, loopback, shared (RFC 6598),
// unspecified, multicast or limited broadcast.
func private(a packet.Addr) bool {
	ip := a.IP()
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() ||
		a.ToMany() || ip.Is4() && ip.As4()[0] == 100 && ip.As4()[1]&0xc0 == 64
}
