package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/store/engine"
)

// RunStoreEngine runs the store's engine until ctx ends or the store dies that started
// it. flags are name=value of VictoriaLogs.
func RunStoreEngine(ctx context.Context, socket, path string, flags []string) error {
	o := engine.Options{Socket: socket, Path: path, Flags: map[string]string{}}
	for _, f := range flags {
		name, value, ok := strings.Cut(f, "=")
		if !ok {
			return fmt.Errorf("--flag %s: want name=value", f)
		}
		o.Flags[name] = value
	}
	ctx, cancel := child.WithParent(ctx)
	defer cancel()
	return engine.Run(ctx, o)
}
