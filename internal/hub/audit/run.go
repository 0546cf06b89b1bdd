package audit

import (
	"context"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// pruneEvery is how often the trail is looked through for what is too old.
const pruneEvery = time.Hour

// Run tells of refusals when their window has ended, and forgets what is older than
// Options.Keep, until ctx ends. It then tells of what is left.
func (t *Trail) Run(ctx context.Context) error {
	look, prune := time.NewTicker(window/10), time.NewTicker(pruneEvery)
	defer look.Stop()
	defer prune.Stop()
	t.prune(ctx)
	for {
		select {
		case <-ctx.Done():
			t.tell(context.WithoutCancel(ctx), true)
			return nil
		case <-look.C:
			t.tell(ctx, false)
		case <-prune.C:
			t.prune(ctx)
		}
	}
}

func (t *Trail) tell(ctx context.Context, all bool) {
	for _, act := range t.strangers.due(t.o.Now(), all) {
		t.record(ctx, act)
	}
}

// prune forgets old records of the database; the log has them as events for as long
// as it keeps events.
func (t *Trail) prune(ctx context.Context) {
	if t.o.Keep <= 0 {
		return
	}
	n, err := t.o.Store.PruneAudit(ctx, t.o.Clock().Add(-t.o.Keep))
	switch {
	case err != nil && ctx.Err() == nil:
		t.o.Logger.WarnContext(ctx, "old audit records not removed", obs.KeyError, err)
	case n > 0:
		t.o.Logger.InfoContext(ctx, "old audit records removed", obs.KeyCount, n)
	}
}
