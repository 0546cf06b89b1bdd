package obs

import (
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
// loopback: localhost, a name below it (RFC 6761) or a loopback address. So does
// none at all, which browsers never send.
func IsLocalName(host string) bool {
	if host == "" {
		return true
	}
	name := strings.ToLower(strings.TrimSuffix(hostOf(host), "."))
	if below, ok := strings.CutSuffix(name, ".localhost"); ok && below != "" || name == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}

// hostOf takes the port and the brackets off a Host header.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// isLoopback reports whether only this machine can reach addr.
func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
