package endpoint

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/node/child"
)

// RunAgent runs the agent of this kind or id until ctx ends. file is its
// configuration; empty means its own under the home folder.
func RunAgent(ctx context.Context, e *cli.Env, name, file string) error {
	d, err := Find(name)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	if _, set := os.LookupEnv("GOGC"); d.GCPercent > 0 && !set {
		defer debug.SetGCPercent(debug.SetGCPercent(d.GCPercent))
	}
	ctx, cancel := child.WithParent(ctx)
	defer cancel()
	defer boundHeap(ctx, d.HeapBytes)()
	o := agent.RunOptions{Definition: d, Home: e.Home, File: file, Decode: config.DecodeOptions{Env: e.Lookup}}
	if !child.Supervised() {
		o.Stderr, o.Unsupervised = e.Stderr, true
	}
	return agent.Run(ctx, o)
}
