package keeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// How the files are tended to while the engine runs.
const (
	tendEvery  = 30 * time.Second
	checkEvery = 7 * 24 * time.Hour // what was compared since is not compared again, but after a start
	checkPace  = 4 << 20            // bytes a second: a quarter of a percent of a processor
	startPace  = 64 << 20           // after a start, and where somebody doubts: a few percent, for a while
	checkLook  = time.Hour          // between looks for what is due
)

// tend keeps the ledgers up to date and compares contents, slowly, until ctx ends.
func (k *Keeper) tend(ctx context.Context) {
	// Before the first look what lies there may be damaged, and must not become what is known.
	if _, err := k.Wait(ctx, 0); err != nil {
		return
	}
	began, looked := time.Now(), time.Time{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		doubted := ""
		select {
		case <-ctx.Done():
			return
		case doubted = <-k.doubts:
		case <-timer.C:
		}
		if err := k.scanRunning(ctx); err != nil && ctx.Err() == nil {
			k.logger.Warn("checksums of the store's files cannot be brought up to date", obs.KeyError, err)
		}
		if doubted != "" {
			k.checkDoubted(ctx, doubted)
		}
		now, whole := time.Now(), true
		switch {
		case k.askedToLook():
			whole = k.checkContents(ctx, startPace, func(p part) bool { return p.Checked.Before(now) })
		case looked.IsZero(): // what happened while nothing ran, nobody else finds in files that are large
			if whole = k.checkContents(ctx, startPace, func(p part) bool { return p.Checked.Before(began) }); whole {
				looked = now
			}
		case time.Since(looked) > checkLook:
			if whole = k.checkContents(ctx, checkPace, func(p part) bool { return now.Sub(p.Checked) > checkEvery }); whole {
				looked = now
			}
		}
		if whole {
			timer.Reset(tendEvery)
		} else {
			timer.Reset(0)
		}
	}
}

// checkDoubted compares the files of a day that somebody doubts. One that is sound, and of
// which a row cannot be read all the same, is not compared for that again for a while.
func (k *Keeper) checkDoubted(ctx context.Context, day string) {
	now := time.Now()
	if k.checkDay(ctx, day, startPace, func(p part) bool { return p.Checked.Before(now) }) {
		k.mu.Lock()
		k.doubted[day] = now.Add(doubtSound)
		k.mu.Unlock()
	}
}

// How often the same day is compared because somebody doubts it, and one that was found sound.
const (
	doubtEvery = time.Minute
	doubtSound = time.Hour
)

// Doubt has the files of a day compared with their checksums now, as what came of them
// cannot be so. It does not wait for that. day is as vlogs.DayFormat has it.
func (k *Keeper) Doubt(day string) {
	k.mu.Lock()
	now := time.Now()
	soon := now.Before(k.doubted[day])
	if !soon {
		k.doubted[day] = now.Add(doubtEvery)
	}
	k.mu.Unlock()
	if soon || !isDay(day) {
		return
	}
	select {
	case k.doubts <- day:
	default: // another is looked at first, and somebody will doubt this one again
		k.mu.Lock()
		delete(k.doubted, day)
		k.mu.Unlock()
	}
}

// lookFile asks the keeper of a folder, by being there, to compare all files.
const lookFile = "look"

// AskToLook has whoever keeps the store's folder path compare every file with its checksum,
// within half a minute where it runs.
func AskToLook(path string) error {
	if err := writeFile(filepath.Join(path, sumsFolder, lookFile), nil); err != nil {
		return fmt.Errorf("ask the store to look at its files: %w", err)
	}
	return nil
}

// askedToLook reports whether somebody asked, once.
func (k *Keeper) askedToLook() bool {
	return os.Remove(filepath.Join(k.sumsDir(), lookFile)) == nil
}

// scan brings all ledgers up to date. What it cannot read is left to the engine, which
// ends over it, and to the next look.
func (k *Keeper) scan(ctx context.Context) error {
	k.files.Lock()
	defer k.files.Unlock()
	return k.scanLocked(ctx)
}

// scanRunning is scan while a process runs: what the last one left is looked at first
// (look), which needs the ledgers as they were.
func (k *Keeper) scanRunning(ctx context.Context) error {
	k.files.Lock()
	defer k.files.Unlock()
	if k.State().PID == 0 {
		return nil
	}
	return k.scanLocked(ctx)
}

// scanLocked is scan for a holder of files.
func (k *Keeper) scanLocked(ctx context.Context) error {
	days, err := k.days()
	if err != nil {
		return err
	}
	var errs []error
	for _, day := range days {
		dir := filepath.Join(k.partitions(), day)
		stamp := listStamp(dir)
		if k.scanned[day] == stamp && stamp != "" {
			continue
		}
		l := readLedger(k.sumsDir(), day)
		changed, err := l.note(ctx, dir)
		if changed {
			err = errors.Join(err, writeLedger(k.sumsDir(), day, l))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("day %s: %w", day, err))
			continue
		}
		k.scanned[day] = stamp
	}
	return errors.Join(errs...)
}

// listStamp changes whenever the engine replaces a list of parts.
func listStamp(dir string) string {
	var stamp [4]int64
	for i, kind := range []string{"datadb", "indexdb"} {
		st, err := os.Stat(filepath.Join(dir, kind, "parts.json"))
		if err != nil {
			return ""
		}
		stamp[2*i], stamp[2*i+1] = st.ModTime().UnixNano(), st.Size()
	}
	return fmt.Sprint(stamp)
}

// days are the folders of days, oldest first.
func (k *Keeper) days() ([]string, error) {
	entries, err := os.ReadDir(k.partitions())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list the store's days: %w", err)
	}
	var days []string
	for _, e := range entries {
		if isDay(e.Name()) && e.IsDir() {
			days = append(days, e.Name())
		}
	}
	return days, nil
}

// checkContents compares the content of the parts that are due, of the newest days first.
// A day in which one has changed is set aside. It reports whether it came to the end: what
// somebody asks for meanwhile goes first.
func (k *Keeper) checkContents(ctx context.Context, perSecond int, due func(part) bool) (whole bool) {
	days, err := k.days()
	if err != nil {
		return true
	}
	noted := time.Now()
	between := func(p part) bool {
		select {
		case doubted := <-k.doubts:
			k.checkDoubted(ctx, doubted)
		default:
		}
		if time.Since(noted) > tendEvery { // parts come meanwhile
			noted = time.Now()
			if err := k.scanRunning(ctx); err != nil && ctx.Err() == nil {
				k.logger.Warn("checksums of the store's files cannot be brought up to date", obs.KeyError, err)
			}
		}
		return due(p)
	}
	for _, day := range slices.Backward(days) {
		if exists(k.sumsDir(), lookFile) {
			return false
		}
		k.checkDay(ctx, day, perSecond, between)
	}
	return true
}

// checkDay compares the content of the parts of a day that are due, and reports whether it
// found nothing; else the day is set aside.
func (k *Keeper) checkDay(ctx context.Context, day string, perSecond int, due func(part) bool) (sound bool) {
	l := readLedger(k.sumsDir(), day)
	for name, p := range l.Parts {
		if ctx.Err() != nil || !due(p) {
			continue
		}
		why, gone := checkPart(ctx, filepath.Join(k.partitions(), day), name, p, &pacer{perSecond: perSecond})
		if ctx.Err() != nil || gone {
			continue
		}
		if why != "" {
			k.suspect(day, fmt.Sprintf("part %s: %s", name, why))
			return false
		}
		k.noteChecked(day, name)
	}
	return true
}

// noteChecked remembers when a part's content was compared.
func (k *Keeper) noteChecked(day, name string) {
	k.files.Lock()
	defer k.files.Unlock()
	l := readLedger(k.sumsDir(), day)
	p, ok := l.Parts[name]
	if !ok {
		return
	}
	p.Checked = time.Now().UTC()
	l.Parts[name] = p
	if err := writeLedger(k.sumsDir(), day, l); err != nil {
		k.logger.Warn("checksums of the store's files cannot be brought up to date", obs.KeyError, err)
	}
}

// checkPart compares the content of a part. gone says that the engine no longer lists it.
func checkPart(ctx context.Context, partition, name string, p part, pace *pacer) (why string, gone bool) {
	dir := filepath.Join(partition, name)
	why = compare(dir, p)
	if why == "" {
		for file, want := range p.Files {
			got, err := sum(ctx, filepath.Join(dir, file), pace)
			if err != nil {
				why = plain(err).Error()
			} else if got != want {
				why = file + " has changed"
			}
			if why != "" {
				break
			}
		}
	}
	if why != "" {
		now, err := listed(partition)
		gone = err == nil && !now[name]
	}
	return why, gone
}

// suspect has a day set aside: the engine is stopped in order for it, and started again.
func (k *Keeper) suspect(day, why string) {
	k.mu.Lock()
	k.suspects[day] = why
	k.mu.Unlock()
	k.logger.Error("files of the store are damaged", "day", day, obs.KeyReason, why)
	k.child.Restart()
}
