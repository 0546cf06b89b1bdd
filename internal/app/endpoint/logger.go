package endpoint

import (
	"io"
	"log/slog"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
)

// RoleLogger opens the log of a role of this program, logs/NAME.log, at a level
// by name. A role that nobody supervises logs to standard error as well. The
// caller closes it.
func RoleLogger(e *cli.Env, name, level string) (*slog.Logger, io.Closer, error) {
	at, err := obs.ParseLevel(level)
	if err != nil {
		return nil, nil, err
	}
	o := obs.LogOptions{File: e.Home.Log(name), ErrorsFile: e.Home.Errors(), Level: at, Component: name}
	if !child.Supervised() {
		o.Stderr = e.Stderr
	}
	return obs.NewLogger(o)
}
