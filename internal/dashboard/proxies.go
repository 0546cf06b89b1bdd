package dashboard

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// X-Forwarded-For and X-Forwarded-Proto are what nginx, Caddy, HAProxy, Traefik and
// the balancers of clouds write. Anybody can send them: they count from
// server.trusted_proxies alone. Forwarded (RFC 7239) is not read: a proxy that sets
// one kind passes the other kind on, as whoever called it has sent it.

// client is the address that a request comes from, and whether it came over TLS. Of
// one that trusted proxies pass on, both are as the first of them saw.
func (s *Server) client(r *http.Request) (at netip.Addr, secure bool) {
	at, ok := addrOf(r.RemoteAddr)
	secure = s.secure
	if !ok || !s.isProxy(at) {
		return at, secure
	}
	hops := listed(r, "X-Forwarded-For")
	first := len(hops) // of hops, the one that a trusted proxy was called by
	for first > 0 && s.isProxy(at) {
		hop, ok := addrOf(hops[first-1])
		if !ok {
			break
		}
		at = hop
		first--
	}
	// A proxy writes one word, or adds its own to those that it got, as to the addresses.
	switch words := listed(r, "X-Forwarded-Proto"); {
	case len(words) == 0:
	case len(words) == len(hops) && first < len(words):
		secure = strings.EqualFold(words[first], "https")
	default:
		secure = strings.EqualFold(words[len(words)-1], "https")
	}
	return at, secure
}

// clientIP is the address of client as text, empty if it has none.
func (s *Server) clientIP(r *http.Request) string {
	at, _ := s.client(r)
	if !at.IsValid() {
		return ""
	}
	return at.String()
}

// overTLS says whether the browser speaks TLS, with us or with a trusted proxy.
func (s *Server) overTLS(r *http.Request) bool {
	_, secure := s.client(r)
	return secure
}

// listed are the parts of a header that is a list, in order.
func listed(r *http.Request, name string) []string {
	values := r.Header.Values(name)
	if len(values) == 0 {
		return nil
	}
	parts := strings.Split(strings.Join(values, ","), ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// addrOf reads an address, which may have a port.
func addrOf(text string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	at, err := netip.ParseAddr(text)
	return at.Unmap().WithZone(""), err == nil
}

func (s *Server) isProxy(at netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(at) {
			return true
		}
	}
	return false
}
