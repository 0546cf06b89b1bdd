//go:build !linux

package child

import (
	"context"
	"os"
	"time"
)

// parentEvery is how often a child looks whether its parent lives.
const parentEvery = time.Second

// WithParent returns a context that also ends when the process that started this
// one as a child has died. Where nobody did, it is ctx.
func WithParent(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if !Supervised() {
		return ctx, cancel
	}
	parent := os.Getppid()
	go func() {
		tick := time.NewTicker(parentEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if os.Getppid() != parent {
					cancel()
					return
				}
			}
		}
	}()
	return ctx, cancel
}
