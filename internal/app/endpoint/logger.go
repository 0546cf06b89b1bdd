package endpoint

import (
	"errors"
	"io"
	"log/slog"
	"syscall"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
)

// RoleLogger opens the log of a role of this program, logs/NAME.log, at a level
// by name. A role that nobody supervises logs to standard error as well, and one
// whose home is read-only to nothing else. The caller closes it.
func RoleLogger(e *cli.Env, name, level string) (*slog.Logger, io.Closer, error) {
	at, err := obs.ParseLevel(level)
	if err != nil {
		return nil, nil, err
	}
	o := obs.LogOptions{File: e.Home.Log(name), ErrorsFile: e.Home.Errors(), Level: at, Component: name}
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
	return logger, closer, err
}
