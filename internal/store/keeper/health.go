package keeper

import (
	"context"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// healthEvery is how often a process that starts is asked whether it serves.
const healthEvery = 10 * time.Millisecond

// watchHealth notes when a process serves.
func (k *Keeper) watchHealth(ctx context.Context) {
	for ctx.Err() == nil {
		k.mu.Lock()
		s, changed := k.state, k.changed
		k.mu.Unlock()
		if s.PID == 0 || s.Running {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		if k.client.Health(ctx) != nil {
			timer := time.NewTimer(healthEvery)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
			continue
		}
		k.mu.Lock()
		k.serving = true
		k.mu.Unlock()
		k.update(func(now *State) {
			if now.PID == s.PID {
				now.Running, now.Reason = true, ""
			}
		})
		k.logger.Info("the store's engine serves", obs.KeyPID, s.PID)
	}
}

// silentMisses is how many questions in a row the process that serves may leave unanswered
// until that is told; its watchdog asks each five seconds, and waits for three. One that is
// busy, or on a busy machine, may need a moment; it is long before it is taken for hung.
const silentMisses = 2

// answers asks the process that runs whether it serves, for its watchdog, and notes when it
// no longer answers, and when it does.
func (k *Keeper) answers(ctx context.Context) error {
	s := k.State()
	err := k.client.Health(ctx)
	k.mu.Lock()
	was, since := k.silent(), k.answered
	if err == nil || !s.Running || s.PID != k.answeredBy {
		k.answered, k.answeredBy, k.misses = time.Now(), s.PID, 0
	} else {
		k.misses++
	}
	now := k.silent()
	k.mu.Unlock()
	switch {
	case !was && now:
		k.logger.Warn("the store's engine does not answer", obs.KeyDuration, time.Since(since).Round(time.Second))
	case was && !now:
		k.logger.Info("the store's engine answers again, or another was started")
	}
	return err //nolint:wrapcheck // the watchdog asks only whether there is one
}

// silent reports whether the process that serves does not answer. The caller holds mu.
func (k *Keeper) silent() bool { return k.misses >= silentMisses }
