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

// silentAfter is how long the process that serves may leave unanswered what its watchdog asks
// each five seconds, until that is told: one that is busy, or on a busy machine, may need a
// moment. It is long before the process is taken for hung and killed.
const silentAfter = 6 * time.Second

// answers asks the process that runs whether it serves, for its watchdog, and notes when it
// no longer answers, and when it does.
func (k *Keeper) answers(ctx context.Context) error {
	s := k.State()
	err := k.client.Health(ctx)
	now := time.Now()
	k.mu.Lock()
	if err == nil || !s.Running || s.PID != k.answeredBy {
		k.answered, k.answeredBy = now, s.PID
	}
	since := k.answered
	k.mu.Unlock()
	if now.Sub(since) < silentAfter {
		since = time.Time{}
	}
	k.noteSilence(since)
	return err //nolint:wrapcheck // the watchdog asks only whether there is one
}

func (k *Keeper) noteSilence(since time.Time) {
	k.mu.Lock()
	was := k.silentSince
	k.silentSince = since
	k.mu.Unlock()
	switch {
	case was.IsZero() && !since.IsZero():
		k.logger.Warn("the store's engine does not answer", obs.KeyDuration, time.Since(since).Round(time.Second))
	case !was.IsZero() && since.IsZero():
		k.logger.Info("the store's engine answers again, or another was started")
	}
}
