package dashboard

import (
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzhttp"

	"github.com/amoskys/amoskys/internal/obs"
)

// Handler returns everything that the server serves.
func (s *Server) Handler() http.Handler {
	cross := http.NewCrossOriginProtection()
	for _, name := range s.o.Config.Server.AllowedOrigins {
		for _, scheme := range []string{"https://", "http://"} {
			if err := cross.AddTrustedOrigin(scheme + strings.ToLower(name)); err != nil {
				s.o.Logger.Warn("allowed origin left out", "error", err, "origin", name)
			}
		}
	}
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(http.StatusForbidden, "requests from other sites are refused; if this is the dashboard's own address, behind a proxy, add its name to "+
			"server.allowed_origins in dashboard_config.yaml").write(w)
	}))
	return s.probed(s.logged(s.headers(s.named(cross.Handler(s.recovered(http.HandlerFunc(s.dispatch)))))))
}

// probed answers /healthz, for load balancers and kubelets, under any name and with
// a verdict alone: that the dashboard serves. Without a hub it does, and says so.
func (s *Server) probed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		select {
		case <-s.stopping:
			obs.WriteVerdict(w, false)
		default:
			obs.WriteVerdict(w, true)
		}
	})
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

// asks says whether a request is for data, and not for a page or a file.
func asks(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, prometheusPrefix)
}

func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	if asks(r) && !isText(r.URL) {
		problem(http.StatusBadRequest, "the address holds bytes that are no UTF-8 text").write(w)
		return
	}
	if !asks(r) || r.URL.Path == livePath {
		s.mux.ServeHTTP(w, r) // files lie compressed
		return
	}
	if isLong(r.URL.Path) {
		s.traced.ServeHTTP(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), apiTimeout)
	defer cancel()
	answer := s.traced
	if !givesSecrets(r.URL.Path) {
		answer = s.compressed
	}
	answer.ServeHTTP(w, r.WithContext(ctx))
}

// isLong says whether an answer comes in parts for as long as a task, an export or
// its reader takes; see unhurried.
func isLong(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/agents/")
	return path == exportPath || ok && (strings.Contains(rest, "/tasks/") || strings.Contains(rest, "/results/"))
}

// compressFrom is the size in bytes from which an answer is compressed.
const compressFrom = 1 << 10

// compressing compresses what next answers, as far as it is text. The length of
// what is compressed would tell a listener who chooses a part of it about the
// rest (BREACH); padding by a checksum of the whole takes that away.
func compressing(next http.Handler) (http.Handler, error) {
	wrap, err := gzhttp.NewWrapper(
		gzhttp.MinSize(compressFrom), gzhttp.CompressionLevel(gzip.BestSpeed), gzhttp.RandomJitter(32, 0, false),
		gzhttp.ContentTypes([]string{"application/json", "application/problem+json", "application/openapi+json", "application/yaml", "text/plain"}),
	)
	if err != nil {
		return nil, fmt.Errorf("compress answers: %w", err)
	}
	return wrap(next), nil
}

// givesSecrets says whether an answer carries the token of a session, which is
// never compressed together with what a caller chose.
func givesSecrets(path string) bool { return path == "/api/session" || path == "/api/login" }

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
		if s.overTLS(r) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, prometheusPrefix) {
			h.Set("Cache-Control", "no-store")
			h.Set("Server-Time", s.o.Now().UTC().Format(time.RFC3339Nano))
		}
		next.ServeHTTP(w, r)
	})
}

// recovered turns a panic into an error that is logged and not shown.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == http.ErrAbortHandler { //nolint:errorlint // a value that panics, not an error
				panic(cause) // the server breaks the connection off, so that what was sent does not pass for whole
			}
			if cause != nil {
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
		ctx := context.WithValue(r.Context(), accessRecordKey{}, record)
		defer s.logRequest(ctx, r, record, counted, began) // an answer that is broken off is logged too
		next.ServeHTTP(counted, r.WithContext(ctx))
	})
}

func (s *Server) logRequest(ctx context.Context, r *http.Request, record *accessRecord, counted *countingWriter, began time.Time) {
	user := ""
	if u := record.user.Load(); u != nil {
		user = *u
	}
	path := r.URL.Path
	s.o.AccessLog.LogAttrs(ctx, slog.LevelInfo, "request",
		slog.String("method", r.Method), slog.String("path", path[:min(len(path), 256)]), slog.Int("status", counted.status),
		slog.Int64("bytes", counted.bytes), slog.Duration("duration", s.o.Now().Sub(began)),
		slog.String("peer", s.clientIP(r)), slog.String("user", user))
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

// valid makes text that protobuf takes.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
