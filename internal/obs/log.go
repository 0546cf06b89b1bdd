// Package obs is how every AMOSKYS process is observed: log files through slog
// with the five level names people know, the keys of log attributes, the metrics
// registry, and the small HTTP endpoint with /healthz, /metrics and /status.
package obs

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// LevelCritical is above slog.LevelError: the process cannot do its work.
const LevelCritical = slog.Level(12)

// Defaults of log rotation.
const (
	defaultMaxSizeMB  = 50
	defaultMaxBackups = 5
	defaultMaxAgeDays = 14
	sharedBackups     = 3
)

// LogOptions says where a process logs to. Every sink is optional; without any,
// records are dropped.
type LogOptions struct {
	File       string     // own log file, rotated; its folder is made
	ErrorsFile string     // shared file for records from ERROR up, appended by all processes
	Stderr     io.Writer  // also written, when not nil
	Level      slog.Level // lowest level written; the zero value is INFO
	Follow     *Level     // instead of Level, one that may change; may be nil
	JSON       bool       // lines of JSON instead of key=value text
	Component  string     // names the process in every record, when not empty
	MaxSizeMB  int        // size at which File is rotated; 0 means 50
	MaxBackups int        // rotated files kept; 0 means 5
	MaxAgeDays int        // days rotated files are kept; 0 means 14
}

// NewLogger opens the sinks and returns a logger that writes to them, and a
// Closer to call when the process ends. An error means that a file cannot be
// written.
func NewLogger(o LogOptions) (*slog.Logger, io.Closer, error) {
	var handlers []slog.Handler
	var closers closers
	var level slog.Leveler = o.Level
	if o.Follow != nil {
		level = o.Follow
	}
	if o.File != "" {
		file, err := OpenLog(o.File, o.keep(orDefault(o.MaxBackups, defaultMaxBackups)))
		if err != nil {
			return nil, nil, err
		}
		closers = append(closers, file)
		handlers = append(handlers, newHandler(file, level, o.JSON))
	}
	if o.ErrorsFile != "" {
		shared, err := OpenLog(o.ErrorsFile, o.keep(sharedBackups))
		if err != nil {
			return nil, nil, errors.Join(err, closers.Close())
		}
		closers = append(closers, shared)
		handlers = append(handlers, newHandler(shared, atLeast{level, slog.LevelError}, o.JSON))
	}
	if o.Stderr != nil {
		handlers = append(handlers, newHandler(o.Stderr, level, o.JSON))
	}
	logger := slog.New(slog.NewMultiHandler(handlers...))
	if o.Component != "" {
		logger = logger.With(KeyComponent, o.Component)
	}
	return logger, closers, nil
}

// keep bounds a file of which so many rotated copies stay.
func (o LogOptions) keep(copies int) Keep {
	return Keep{
		Bytes: int64(orDefault(o.MaxSizeMB, defaultMaxSizeMB)) << 20, Copies: copies,
		Age: time.Duration(orDefault(o.MaxAgeDays, defaultMaxAgeDays)) * 24 * time.Hour,
	}
}

func orDefault(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}

func newHandler(w io.Writer, level slog.Leveler, asJSON bool) slog.Handler {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: replace}
	if asJSON {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

// replace writes our level names, times in milliseconds and readable durations.
func replace(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch {
	case a.Key == slog.LevelKey && a.Value.Kind() == slog.KindAny:
		if level, ok := a.Value.Any().(slog.Level); ok {
			a.Value = slog.StringValue(LevelName(level))
		}
	case a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime:
		a.Value = slog.StringValue(a.Value.Time().Format("2006-01-02T15:04:05.000Z07:00"))
	case a.Value.Kind() == slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().Round(time.Microsecond).String())
	}
	return a
}

// LevelName is DEBUG, INFO, WARNING, ERROR or CRITICAL.
func LevelName(level slog.Level) string {
	switch {
	case level < slog.LevelInfo:
		return "DEBUG"
	case level < slog.LevelWarn:
		return "INFO"
	case level < slog.LevelError:
		return "WARNING"
	case level < LevelCritical:
		return "ERROR"
	default:
		return "CRITICAL"
	}
}

// LevelNames lists the names that ParseLevel knows, from lowest to highest.
func LevelNames() []string { return []string{"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"} }

// ParseLevel reads a level by name, in upper or lower case. WARN is WARNING.
func ParseLevel(name string) (slog.Level, error) {
	switch strings.ToUpper(name) {
	case "DEBUG":
		return slog.LevelDebug, nil
	case "INFO":
		return slog.LevelInfo, nil
	case "WARNING", "WARN":
		return slog.LevelWarn, nil
	case "ERROR":
		return slog.LevelError, nil
	case "CRITICAL":
		return LevelCritical, nil
	}
	return 0, fmt.Errorf("level %q is not known; valid: %s", name, strings.Join(LevelNames(), ", "))
}

// Discard returns a logger that writes nothing.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

type closers []io.Closer

func (cs closers) Close() error {
	errs := make([]error, 0, len(cs))
	for _, c := range cs {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
