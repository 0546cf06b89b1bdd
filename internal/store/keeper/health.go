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

// Asking the process that serves whether it still does. One that is busy, or on a busy
// machine, may need a moment; that it says nothing is told after silentAfter, which is
// long before it is taken for hung and killed.
const (
	askEvery    = 2 * time.Second
	silentAfter = 6 * time.Second
)

// watchSilence notes when the process that serves no longer answers, and when it does.
func (k *Keeper) watchSilence(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	answered, pid := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := k.State()
		if !s.Running || s.PID != pid {
			answered, pid = time.Now(), s.PID
			k.noteSilence(time.Time{})
			continue
		}
		asking, cancel := context.WithTimeout(ctx, silentAfter-askEvery)
		err := k.client.Health(asking)
		cancel()
		switch now := time.Now(); {
		case err == nil:
			answered = now
			k.noteSilence(time.Time{})
		case ctx.Err() == nil && now.Sub(answered) >= silentAfter:
			k.noteSilence(answered)
		}
	}
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
