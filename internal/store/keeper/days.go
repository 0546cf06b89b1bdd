package keeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// removingFolder holds what is about to be removed, out of the engine's sight.
const removingFolder = "removing"

// Day is what a day takes.
type Day struct {
	Name   string // YYYYMMDD, in UTC
	Bytes  int64  // on disk, by the last scan: up to half a minute old
	Events uint64
}

// Days are the store's days, oldest first.
func (k *Keeper) Days() ([]Day, error) {
	names, err := k.days()
	if err != nil {
		return nil, err
	}
	days := make([]Day, 0, len(names))
	for _, name := range names {
		d := Day{Name: name}
		l := readLedger(k.sumsDir(), name)
		for _, p := range l.Parts {
			d.Bytes += p.bytes()
		}
		d.Events = l.rows()
		days = append(days, d)
	}
	return days, nil
}

// Remove removes a day for good: retention does so, oldest first. It may be called while
// the engine serves; vlogs.ErrAway says that it does not and the caller should try again
// later. Queries that read the day are waited for. Rows that arrive for it meanwhile are
// lost, as they are too old to be kept.
func (k *Keeper) Remove(ctx context.Context, day string) error {
	if !isDay(day) {
		return fmt.Errorf("remove %q from the store: it is no day", day)
	}
	k.files.Lock()
	defer k.files.Unlock()
	refused := &vlogs.RefusedError{}
	if err := k.client.Detach(ctx, day); err != nil && !errors.As(err, &refused) {
		return fmt.Errorf("remove day %s from the store: %w", day, err)
	}
	// Without its ledger first, or the next start would miss the day.
	if err := os.Remove(filepath.Join(k.sumsDir(), day+".json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove day %s from the store: %w", day, err)
	}
	delete(k.scanned, day)
	to := filepath.Join(k.o.Path, removingFolder, day+"-"+time.Now().UTC().Format(timestampFormat))
	err := os.Rename(filepath.Join(k.partitions(), day), to)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err = errors.Join(err, syncDir(k.partitions())); err == nil {
		err = os.RemoveAll(to)
	}
	if err != nil {
		return fmt.Errorf("remove day %s from the store: %w", day, err)
	}
	k.logger.Info("a day of the store was removed", "day", day, obs.KeyPath, k.o.Path)
	return nil
}
