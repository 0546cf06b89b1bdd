package obs

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// LocalNames answers requests whose Host is a name of loopback, or one of names,
// and refuses all others. A page from elsewhere can have its name resolve to
// loopback (DNS rebinding), and a browser then lets it read what is served there.
func LocalNames(next http.Handler, names ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		same := func(name string) bool { return name != "" && strings.EqualFold(name, hostOf(r.Host)) }
		if !IsLocalName(r.Host) && !slices.ContainsFunc(names, same) {
			http.Error(w, "this port answers to localhost alone: use localhost or 127.0.0.1 in the address", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// IsLocalName reports whether a Host header, with or without a port, names
// loopback. So does none at all, which browsers never send.
func IsLocalName(host string) bool { return host == "" || IsLoopback(hostOf(host)) }

// IsLoopback reports whether host, which has no port, is this machine: localhost,
// a name below it (RFC 6761) or a loopback address. No resolver is asked.
func IsLoopback(host string) bool {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	addr, err := netip.ParseAddr(host)
	return isLoopbackName(host) || err == nil && addr.Unmap().IsLoopback()
}

func isLoopbackName(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	below, ok := strings.CutSuffix(name, ".localhost")
	return ok && below != "" || name == "localhost"
}

// Addresses are what host:port means where its host is a name of loopback, and
// host:port itself elsewhere. A machine without /etc/hosts reaches itself too.
func Addresses(addr string) []string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || !isLoopbackName(host) {
		return []string{addr}
	}
	return []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
}

// Listen listens on a TCP address; localhost is 127.0.0.1. Every address of a machine
// that has none of IPv4, not even 127.0.0.1, are those of IPv6, where Go would choose 0.0.0.0.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	if host, _, err := net.SplitHostPort(addr); err == nil && (host == "" || host == "::") {
		if has, err := net.InterfaceAddrs(); err == nil && onlyIPv6(has) {
			return lc.Listen(ctx, "tcp6", addr)
		}
	}
	return lc.Listen(ctx, "tcp", Addresses(addr)[0])
}

// onlyIPv6 says that there are addresses, and none of IPv4.
func onlyIPv6(addresses []net.Addr) bool {
	return len(addresses) > 0 && !slices.ContainsFunc(addresses, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return !ok || n.IP.To4() != nil
	})
}

// hostOf takes the port and the brackets off a Host header.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// IsLoopbackAddr reports whether only this machine can reach addr, or call from it.
func IsLoopbackAddr(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
