package obs

import "log/slog"

// Level is the lowest level that a log writes. It may change while the log is written.
type Level struct {
	now        slog.LevelVar
	configured slog.Level
}

// NewLevel returns a Level that is as configured.
func NewLevel(configured slog.Level) *Level {
	l := &Level{configured: configured}
	l.now.Set(configured)
	return l
}

// Level implements slog.Leveler.
func (l *Level) Level() slog.Level { return l.now.Level() }

// Configured is the level that the configuration says.
func (l *Level) Configured() slog.Level { return l.configured }

// Set changes the level and returns the one before.
func (l *Level) Set(at slog.Level) (was slog.Level) {
	was = l.now.Level()
	l.now.Set(at)
	return was
}

// atLeast is a level that does not fall below another.
type atLeast struct {
	slog.Leveler
	floor slog.Level
}

// Level implements slog.Leveler.
func (a atLeast) Level() slog.Level { return max(a.Leveler.Level(), a.floor) }
