package enroll

import (
	"cmp"
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/obs"
)

// Listening is what a hub knows of where it can be reached.
type Listening struct {
	Host  string // as configured; empty and 0.0.0.0 are all addresses
	Port  int
	Cert  *x509.Certificate // may be nil
	Name  string            // of this machine
	Addrs []netip.Addr      // of its interfaces
}

// Reach is the HOST:PORT at which another host most likely reaches the hub, and what
// cannot be known of it; note is empty where it is sure. A client takes only what the
// certificate names, so an address of this machine that it names is best; of names
// nobody can tell from here who can look them up.
func (l Listening) Reach() (addr, note string) {
	port := strconv.Itoa(l.Port)
	if obs.IsLoopback(l.Host) {
		return net.JoinHostPort(l.Host, port), "the hub listens on " + l.Host + " alone, where no other host reaches it: set server.host in config/eventbus_config.yaml"
	}
	var own []string
	for _, a := range l.Addrs {
		if a = a.Unmap(); a.IsGlobalUnicast() {
			own = append(own, a.String())
		}
	}
	var names []string
	if l.Cert != nil {
		for _, ip := range l.Cert.IPAddresses {
			if slices.Contains(own, ip.String()) {
				return net.JoinHostPort(ip.String(), port), ""
			}
		}
		names = slices.DeleteFunc(slices.Clone(l.Cert.DNSNames), func(n string) bool { return obs.IsLoopback(n) || strings.Contains(n, "*") })
	}
	name := cmp.Or(l.Name, l.Host)
	if len(names) > 0 { // one with a domain is known further away
		name = slices.MaxFunc(names, func(a, b string) int { return strings.Count(a, ".") - strings.Count(b, ".") })
	}
	note = "whether other hosts can look up " + name + " cannot be known from here"
	if len(own) > 0 {
		note += "; if they cannot, let the hub's certificate name an address of it: amoskys certs renew eventbus --host " +
			own[0] + ", and use --hub " + net.JoinHostPort(own[0], port)
	}
	return net.JoinHostPort(name, port), note
}
