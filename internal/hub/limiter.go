package hub

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/peer"
)

// logLimiter keeps hostile peers from filling the disk with log lines: of each
// key it writes a few lines in a period and then how many it left out.
type logLimiter struct {
	logger *slog.Logger
	burst  int
	period time.Duration
	now    func() time.Time

	mu   sync.Mutex // guards seen
	seen map[string]*lineCount
}

type lineCount struct {
	start   time.Time
	written int
	omitted int
}

func newLogLimiter(logger *slog.Logger, now func() time.Time) *logLimiter {
	return &logLimiter{logger: logger, burst: 5, period: 10 * time.Second, now: now, seen: map[string]*lineCount{}}
}

// log writes a warning unless there were many of the same key lately. The keys
// are fixed words, so that their number is bounded.
func (l *logLimiter) log(key, message string, attrs ...slog.Attr) {
	omitted, ok := l.allow(key)
	if !ok {
		return
	}
	if omitted > 0 {
		attrs = append(attrs, slog.Int("omitted", omitted))
	}
	args := make([]any, len(attrs))
	for i, a := range attrs {
		args[i] = a
	}
	l.logger.Warn(message, args...) //nolint:sloglint // callers give constants
}

// allow decides on a line; omitted is how many were left out before it.
func (l *logLimiter) allow(key string) (omitted int, ok bool) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.seen[key]
	if c == nil {
		c = &lineCount{start: now}
		l.seen[key] = c
	}
	if now.Sub(c.start) >= l.period {
		omitted = c.omitted
		*c = lineCount{start: now}
	}
	if c.written >= l.burst {
		c.omitted++
		return 0, false
	}
	c.written++
	return omitted, true
}

// clip makes a text from outside fit for one line of the log.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "?")
}

func peerAddr(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return p.Addr.String()
	}
	return ""
}

// isLoopback reports whether a connection comes from this machine.
func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
