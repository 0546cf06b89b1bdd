package child

import "context"

// WithParent returns ctx: the kernel sends SIGTERM when the parent dies.
func WithParent(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
