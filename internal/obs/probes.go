package obs

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/amoskys/amoskys/internal/limit"
)

// WriteVerdict answers a probe of somebody who is to learn nothing else: 200 and
// "ok", or 503 and "not ready".
func WriteVerdict(w http.ResponseWriter, ok bool) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	text := "ok\n"
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = "not ready\n"
	}
	_, _ = w.Write([]byte(text)) // the client has gone; nobody is left to tell
}

// Probes answers GET and HEAD of /livez and /readyz, the questions of a kubelet,
// for anybody and under any name, with a verdict alone. The first is true of a
// process that answers, the second is ready's. All else goes to next.
func Probes(ready func() bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch {
		case asked && r.URL.Path == "/livez":
			WriteVerdict(w, true)
		case asked && r.URL.Path == "/readyz":
			WriteVerdict(w, ready())
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// IsFromHere reports whether a request was sent on this machine: from loopback, or
// from the very address that it was sent to. A proxy on this machine that speaks
// for others, and says so, is not meant.
func IsFromHere(r *http.Request) bool {
	for _, forwarded := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip"} {
		if r.Header.Get(forwarded) != "" {
			return false
		}
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	if from.Addr().Unmap().IsLoopback() {
		return true
	}
	at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && at.AddrPort().Addr().Unmap().WithZone("") == from.Addr().Unmap().WithZone("")
}

// Bounds on what people from elsewhere may open at a port that answers them little.
const (
	strangersMost    = 32              // connections of all of them together
	strangersGrace   = time.Second     // age at which one gives way to another
	strangersTimeout = 2 * time.Second // for a request, and for its answer
	strangersHeader  = 2 << 10         // bytes, beside net/http's own 4 KiB
)

// ServeStrangers is [Serve] for those who are to ask little and seldom: few
// connections at a time, which the networks that they come from share, one small
// request on each, and little time.
func ServeStrangers(ctx context.Context, l net.Listener, h http.Handler, logger *slog.Logger) error {
	server := &http.Server{
		Handler: h, ConnState: limit.ConnState, MaxHeaderBytes: strangersHeader,
		ReadTimeout: strangersTimeout, WriteTimeout: 2 * strangersTimeout,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false)
	slots := limit.NewSlots(limit.SlotOptions{Slots: strangersMost, Grace: strangersGrace})
	return serve(ctx, limit.NewListener(l, limit.ListenerOptions{Slots: slots}), server)
}
