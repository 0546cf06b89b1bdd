package obs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/limit"
)

// Health is the answer of /healthz. OK decides between 200 and 503.
type Health struct {
	OK      bool     `json:"ok"`
	State   string   `json:"state"`             // one word, such as "running", "degraded", "starting"
	Reasons []string `json:"reasons,omitempty"` // why not, for people
}

// Endpoint is what a process tells about itself over HTTP.
type Endpoint struct {
	Health   func(context.Context) Health // nil means always healthy
	Status   func(context.Context) any    // marshalled as JSON; nil leaves /status out
	Gatherer prometheus.Gatherer          // nil leaves /metrics out
	Scraped  bool                         // other machines may read /metrics too
	Ready    func() bool                  // see [Probes]; nil leaves /livez and /readyz out
}

// Handler serves /healthz, /metrics and /status. Only GET and HEAD are allowed.
// Where the port is open to other machines, they learn of the health whether it is
// good: reasons, status and, unless e is scraped, metrics are for this machine.
func (e Endpoint) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		h := Health{OK: true, State: "running"}
		if e.Health != nil {
			h = e.Health(r.Context())
		}
		if !IsFromHere(r) {
			WriteVerdict(w, h.OK)
			return
		}
		status := http.StatusOK
		if !h.OK {
			status = http.StatusServiceUnavailable
		}
		WriteJSON(w, status, h)
	})
	if e.Status != nil {
		mux.Handle("GET /status", fromHere("the status is", func(w http.ResponseWriter, r *http.Request) {
			WriteJSON(w, http.StatusOK, e.Status(r.Context()))
		}))
	}
	if e.Gatherer != nil {
		metrics := MetricsHandler(e.Gatherer)
		if !e.Scraped {
			metrics = fromHere("the metrics are", metrics.ServeHTTP)
		}
		mux.Handle("GET /metrics", metrics)
	}
	return mux
}

// fromHere serves next to this machine, and tells others that what they ask for, a
// subject with its verb, is not for them.
func fromHere(subject string, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !IsFromHere(r) {
			http.Error(w, subject+" for this machine alone: ask on the host itself, or the hub", http.StatusForbidden)
			return
		}
		next(w, r)
	})
}

// Bounds on connections to a port that is open to other machines.
const (
	endpointMost  = 64
	endpointGrace = 2 * time.Second
)

// Serve serves the endpoint on l like [Serve]. When l is bound to loopback, only
// requests for loopback's names and for the given ones are answered.
func (e Endpoint) Serve(ctx context.Context, l net.Listener, logger *slog.Logger, names ...string) error {
	if !IsLoopbackAddr(l.Addr()) {
		slots := limit.NewSlots(limit.SlotOptions{Slots: endpointMost, Grace: endpointGrace})
		l = limit.NewListener(l, limit.ListenerOptions{Slots: slots})
	}
	return Serve(ctx, l, e.handlerAt(l.Addr(), names...), logger)
}

func (e Endpoint) handlerAt(addr net.Addr, names ...string) http.Handler {
	h := e.Handler()
	if IsLoopbackAddr(addr) {
		h = LocalNames(h, names...)
	}
	if e.Ready != nil {
		h = Probes(e.Ready, h)
	}
	return h
}

// WriteJSON answers with v as JSON that is never cached. A value that cannot be
// marshalled gives 500.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client has gone; nobody is left to tell
}

// shutdownGrace is how long requests in flight may still take when a server ends.
const shutdownGrace = 2 * time.Second

// Serve answers HTTP on l until ctx ends, then lets requests in flight finish
// for two seconds. It owns l. It returns nil after an orderly end.
func Serve(ctx context.Context, l net.Listener, h http.Handler, logger *slog.Logger) error {
	return serve(ctx, l, &http.Server{
		Handler:           h,
		ConnState:         limit.ConnState,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	})
}

// serve runs a server as [Serve] says.
func serve(ctx context.Context, l net.Listener, server *http.Server) error {
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stop HTTP: %w", err)
	}
	return nil
}
