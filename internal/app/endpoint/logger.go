package endpoint

import (
	"errors"
	"io"
	"log/slog"
	"syscall"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/obs/inside"
)

// RoleLogger opens the log of a role of this program, logs/NAME.log, at a level
// by name. A role that nobody supervises logs to standard error as well, and one
// whose home is read-only to nothing else. The operator may look into the role, and
// change the level, until the caller closes it.
func RoleLogger(e *cli.Env, name, level string) (*slog.Logger, io.Closer, error) {
	return RoleLoggerWith(e, name, level, nil)
}

// RoleLoggerWith is RoleLogger for a role that takes what operators have done, for its
// audit trail.
func RoleLoggerWith(e *cli.Env, name, level string, acts *inside.Acts) (*slog.Logger, io.Closer, error) {
	at, err := obs.ParseLevel(level)
	if err != nil {
		return nil, nil, err
	}
	o := obs.LogOptions{File: e.Home.Log(name), ErrorsFile: e.Home.Errors(), Follow: obs.NewLevel(at), Component: name}
	if !child.Supervised() {
		o.Stderr = e.Stderr
	}
	logger, closer, err := obs.NewLogger(o)
	if errors.Is(err, syscall.EROFS) {
		o.File, o.ErrorsFile, o.Stderr = "", "", e.Stderr
		if logger, closer, err = obs.NewLogger(o); err == nil {
			logger.Warn("the home is read-only: this log goes to standard error alone", obs.KeyPath, e.Home.Log(name))
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return logger, lookedInto(closer, logger, e.Home, inside.Options{Level: o.Follow, Logger: logger, Acts: acts}, name), nil
}

// lookedInto opens the socket over which an operator looks into this process, and
// returns what closes both. Without it the process does its work all the same.
func lookedInto(log io.Closer, logger *slog.Logger, home config.Home, o inside.Options, name string) io.Closer {
	o.Socket = inside.Socket(home.Run(), name)
	stop, err := inside.Start(o)
	if err != nil {
		logger.Info("amoskys log-level and amoskys profile cannot reach this process", obs.KeyError, err)
		return log
	}
	return closerFunc(func() error { return errors.Join(stop(), log.Close()) })
}

type closerFunc func() error

// Close implements io.Closer.
func (f closerFunc) Close() error { return f() }
