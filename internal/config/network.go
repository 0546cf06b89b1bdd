package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// ParseNetwork reads a network, such as 192.0.2.0/28, without the bits of hosts, or an
// address, which is a network of its own: one of IPv4 that is written as IPv6 becomes
// IPv4, and a zone is left out.
func ParseNetwork(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("read address: %w", err)
		}
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("read network: %w", err)
	}
	return p.Masked(), nil
}
