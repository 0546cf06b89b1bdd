package metrics

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/prometheus/tsdb/wlog"
)

// quiet is a logger for the database, whose every step is news to it: what it calls info
// is for debugging here. What it says of damage to its write-ahead logs, which it mends by
// itself and tells nobody else, is noted.
func quiet(l *slog.Logger, m *mendings) *slog.Logger {
	return slog.New(quietHandler{Handler: l.Handler(), mended: m})
}

// telling is quiet, and tells each time that the database could not make or join blocks,
// which it logs, tries again, and tells nobody else.
func telling(l *slog.Logger, m *mendings, failed func(error)) *slog.Logger {
	return slog.New(quietHandler{Handler: l.Handler(), mended: m, failed: failed})
}

// Silent is a logger for parts of Prometheus whose every step and failure is told in
// another way: all that it says is for debugging.
func Silent(l *slog.Logger) *slog.Logger { return slog.New(silentHandler{l.Handler()}) }

type silentHandler struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h silentHandler) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (h silentHandler) Handle(ctx context.Context, r slog.Record) error { //nolint:gocritic // the interface has it so
	r.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, r) //nolint:wrapcheck // it is the handler's
}

// WithAttrs implements slog.Handler.
func (h silentHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return silentHandler{h.Handler.WithAttrs(a)}
}

// WithGroup implements slog.Handler.
func (h silentHandler) WithGroup(name string) slog.Handler {
	return silentHandler{h.Handler.WithGroup(name)}
}

// mendings are what the database cut off its write-ahead logs while it was opened.
type mendings struct {
	damage []error
	where  []*wlog.CorruptionErr // where that is known
}

type quietHandler struct {
	slog.Handler

	mended *mendings
	failed func(error)
}

// Enabled implements slog.Handler. Warnings are always looked at.
func (h quietHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || h.Handler.Enabled(ctx, quieter(level))
}

// messages by which the database says that it cuts off what is damaged.
const (
	mendsWAL = "Encountered WAL read error, attempting repair"
	mendsWBL = "Encountered WBL read error, attempting repair"
)

// messages by which the database says that blocks could not be made, joined or read again.
func isCompacting(message string) bool {
	return message == "compaction failed" || message == "immediate stale series compaction failed" || message == "reloadBlocks"
}

// Handle implements slog.Handler.
func (h quietHandler) Handle(ctx context.Context, r slog.Record) error { //nolint:gocritic // the interface has it so
	if h.mended != nil && (r.Message == mendsWAL || r.Message == mendsWBL) {
		r.Attrs(func(a slog.Attr) bool {
			if err, ok := a.Value.Any().(error); ok {
				h.mended.damage = append(h.mended.damage, err)
				if c, ok := errors.AsType[*wlog.CorruptionErr](err); ok && r.Message == mendsWAL {
					h.mended.where = append(h.mended.where, c)
				}
			}
			return true
		})
	}
	if h.failed != nil && r.Level >= slog.LevelError && isCompacting(r.Message) {
		r.Attrs(func(a slog.Attr) bool {
			if err, ok := a.Value.Any().(error); ok {
				h.failed(err)
			}
			return true
		})
	}
	r.Level = quieter(r.Level)
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r) //nolint:wrapcheck // it is the handler's
}

// WithAttrs implements slog.Handler.
func (h quietHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(a), h.mended, h.failed}
}

// WithGroup implements slog.Handler.
func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name), h.mended, h.failed}
}

func quieter(l slog.Level) slog.Level {
	if l == slog.LevelInfo {
		return slog.LevelDebug
	}
	return l
}
