package dashboard

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/amoskys/amoskys/internal/obs"
)

// Handler returns everything that the server serves.
func (s *Server) Handler() http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(http.StatusForbidden, "requests from other sites are refused").write(w)
	}))
	return s.logged(s.headers(s.named(cross.Handler(s.recovered(http.HandlerFunc(s.dispatch))))))
}

// named refuses names that are not this machine's while only this machine can reach
// the server and no proxy speaks for others. A page from elsewhere whose name is
// made to resolve to loopback (DNS rebinding) is the same site to a browser.
func (s *Server) named(next http.Handler) http.Handler {
	c := &s.o.Config.Server
	if c.Host == "" || !obs.IsLocalName(c.Host) || len(c.TrustedProxies) > 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		same := func(name string) bool { return strings.EqualFold(name, r.Host) }
		if !obs.IsLocalName(r.Host) && !slices.ContainsFunc(c.AllowedOrigins, same) {
			problem(http.StatusMisdirectedRequest, "this dashboard answers to localhost alone; for another name, add it to server.allowed_origins "+
				"or set server.trusted_proxies in dashboard_config.yaml").write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// apiTimeout bounds the handling of a request.
const apiTimeout = 50 * time.Second

func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") && !isText(r.URL) {
		problem(http.StatusBadRequest, "the address holds bytes that are no UTF-8 text").write(w)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/api/") && r.URL.Path != livePath {
		ctx, cancel := context.WithTimeout(r.Context(), apiTimeout)
		defer cancel()
		r = r.WithContext(ctx)
	}
	s.mux.ServeHTTP(w, r)
}

// isText says whether path and parameters are text, as all that goes to the hub
// must be.
func isText(u *url.URL) bool {
	query, err := url.QueryUnescape(u.RawQuery)
	return err == nil && utf8.ValidString(u.Path) && utf8.ValidString(query)
}

// headers sets what every answer carries. Pages run our own scripts alone, are
// never framed, and tell nobody where a link was clicked.
func (s *Server) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", s.static.policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		if s.secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if strings.HasPrefix(r.URL.Path, "/api/") {
			h.Set("Cache-Control", "no-store")
		}
		next.ServeHTTP(w, r)
	})
}

// recovered turns a panic into an error that is logged and not shown.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if cause := recover(); cause != nil && cause != http.ErrAbortHandler { //nolint:errorlint // a value that panics, not an error
				s.o.Logger.Error("request panicked", "path", r.URL.Path, "cause", cause)
				problem(http.StatusInternalServerError, "an error on our side; see the dashboard's log").write(w)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// accessRecord is filled in while a request is handled.
type accessRecord struct{ user atomic.Pointer[string] }

type accessRecordKey struct{}

// noteUser tells the access log whose request it is.
func noteUser(ctx context.Context, user string) {
	if record, ok := ctx.Value(accessRecordKey{}).(*accessRecord); ok {
		record.user.Store(&user)
	}
}

// logged writes the access log: no query, since people search for secrets, and
// no header.
func (s *Server) logged(next http.Handler) http.Handler {
	if s.o.AccessLog == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := s.o.Now()
		record := &accessRecord{}
		counted := &countingWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(counted, r.WithContext(context.WithValue(r.Context(), accessRecordKey{}, record)))
		user := ""
		if u := record.user.Load(); u != nil {
			user = *u
		}
		path := r.URL.Path
		s.o.AccessLog.LogAttrs(r.Context(), slog.LevelInfo, "request",
			slog.String("method", r.Method), slog.String("path", path[:min(len(path), 256)]), slog.Int("status", counted.status),
			slog.Int64("bytes", counted.bytes), slog.Duration("duration", s.o.Now().Sub(began)),
			slog.String("peer", s.clientIP(r)), slog.String("user", user))
	})
}

// countingWriter remembers what was answered.
type countingWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
	wrote  bool
}

// WriteHeader notes the status.
func (w *countingWriter) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts bytes.
func (w *countingWriter) Write(b []byte) (int, error) {
	w.wrote = true
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// clientIP is the address that a request comes from, behind trusted proxies the
// one that the first of them saw.
func (s *Server) clientIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	at, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	at = at.Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.isProxy(at); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		at = hop.Unmap().WithZone("")
	}
	return at.String()
}

func (s *Server) isProxy(at netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(at) {
			return true
		}
	}
	return false
}

// valid makes text that protobuf takes.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
