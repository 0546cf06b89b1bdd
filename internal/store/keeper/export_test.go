package keeper

import "context"

// CheckAll compares all contents now, and reports whether a day is being set aside.
func (k *Keeper) CheckAll(ctx context.Context) bool {
	k.checkContents(ctx, 0, func(part) bool { return true })
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.suspects) > 0
}

// Scan brings the checksums up to date.
func (k *Keeper) Scan(ctx context.Context) error { return k.scan(ctx) }

// ScanRunning is what is done now and then.
func (k *Keeper) ScanRunning(ctx context.Context) error { return k.scanRunning(ctx) }
