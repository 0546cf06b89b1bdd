package limit

import (
	"log/slog"
	"sync"
	"time"
)

// Lines decides which of many equal lines of a log are written, and counts those
// that are not, so that nobody outside can fill the disk with them. When it
// remembers as many keys as it may, further ones share one.
type Lines struct {
	rate Rate
	keys int

	mu    sync.Mutex // guards what follows
	kept  map[string]*lineCount
	swept time.Time
}

type lineCount struct {
	bucket
	omitted int
}

// NewLines returns a Lines that remembers at most keys keys.
func NewLines(r Rate, keys int) *Lines {
	return &Lines{rate: r, keys: keys, kept: map[string]*lineCount{}}
}

// Take reports whether a line of key is written now; omitted is how many like it
// were not since the last one.
func (l *Lines) Take(key string, now time.Time) (omitted int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.count(key, now)
	if _, ok := c.take(l.rate, now); !ok {
		c.omitted++
		return 0, false
	}
	omitted, c.omitted = c.omitted, 0
	return omitted, true
}

// others is the key that those share for whom there is no room.
const others = "\x00others"

func (l *Lines) count(key string, now time.Time) *lineCount {
	c := l.kept[key]
	if c == nil && len(l.kept) >= l.keys {
		l.sweep(now)
		if len(l.kept) >= l.keys {
			key = others
			c = l.kept[key]
		}
	}
	if c == nil {
		c = &lineCount{}
		l.kept[key] = c
	}
	return c
}

// sweep forgets keys that have been quiet, not more often than one could be.
func (l *Lines) sweep(now time.Time) {
	if since := now.Sub(l.swept); since >= 0 && since < l.rate.Interval {
		return
	}
	l.swept = now
	for key, c := range l.kept {
		if !c.full.After(now) {
			delete(l.kept, key)
		}
	}
}

// Log writes warnings about what others do, a few of a kind in ten seconds, and
// then how many it left out.
type Log struct {
	logger *slog.Logger
	lines  *Lines
	now    func() time.Time
}

// logKinds bounds the kinds of a Log, which are fixed words.
const logKinds = 256

// NewLog returns a Log that writes to logger.
func NewLog(logger *slog.Logger, now func() time.Time) *Log {
	return &Log{logger: logger, lines: NewLines(Rate{Burst: 5, Interval: 2 * time.Second}, logKinds), now: now}
}

// Warn writes a warning unless there were many of its kind lately. The kinds are
// fixed words.
func (l *Log) Warn(kind, message string, attrs ...slog.Attr) {
	omitted, ok := l.lines.Take(kind, l.now())
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
