package identity

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// hostsFor lists the names a role is reached by: none for those who only dial.
func hostsFor(role Role, o LayoutOptions) []string {
	if !serves(role) {
		return nil
	}
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	for _, name := range []string{o.Host, o.Canonical(o.Host)} {
		name = strings.TrimSuffix(name, ".")
		if (isDNSName(name) || isIP(name)) && !slices.Contains(hosts, name) {
			hosts = append(hosts, name)
		}
	}
	return append(hosts, o.Hosts...)
}

// canonicalName asks the resolver for the full name of this machine.
func canonicalName(host string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	name, err := net.DefaultResolver.LookupCNAME(ctx, host)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(name, ".")
}

func addHosts(t *x509.Certificate, hosts []string) error {
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			if ip4 := ip.To4(); ip4 != nil {
				ip = ip4
			}
			if !slices.ContainsFunc(t.IPAddresses, ip.Equal) {
				t.IPAddresses = append(t.IPAddresses, ip)
			}
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(h, "."))
		if !isDNSName(name) {
			return fmt.Errorf("%q is neither an IP address nor a host name", h)
		}
		if !slices.Contains(t.DNSNames, name) {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	return nil
}

// isDNSName accepts host names as they occur, underscores included, and a
// wildcard as the whole first label.
func isDNSName(s string) bool {
	s = strings.TrimPrefix(s, "*.")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c == '.' || !pathByte(c) {
				return false
			}
		}
	}
	return true
}

func isIP(s string) bool { return net.ParseIP(s) != nil }
