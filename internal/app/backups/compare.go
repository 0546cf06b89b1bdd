package backups

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/backup"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/wal"
)

// compare holds what was gathered against what the manifest says of the whole: each part
// has files, and the log is the one that it names. Whoever can write the place can alter a
// manifest with its checksum.
func (r *restoring) compare(ctx context.Context) (err error) {
	defer func() {
		if errors.Is(err, backup.ErrDamaged) { // nothing of it is to be believed
			err = errors.Join(err, r.clear())
		}
	}()
	logs := 0
	for _, p := range r.m.Parts {
		if p.Path == "" || p.Missing != "" && p.Name != partLog {
			continue
		}
		if !slices.ContainsFunc(r.m.Files, func(f backup.File) bool { return f.Path == p.Path || strings.HasPrefix(f.Path, p.Path+"/") }) {
			return fmt.Errorf("%s in %s: %w: it has no files of the part %s", r.m.ID, r.place, backup.ErrDamaged, p.Name)
		}
		if p.Name != partLog {
			continue
		}
		logs++
		if err := errors.Join(r.compareLog(ctx, r.stage.Path(p.Path)), r.compareMiddle(ctx, p)); err != nil {
			return err
		}
	}
	if logs != 1 {
		return fmt.Errorf("%s in %s: %w: it names %d logs", r.m.ID, r.place, backup.ErrDamaged, logs)
	}
	return nil
}

func (r *restoring) compareLog(ctx context.Context, dir string) (err error) {
	s, err := wal.TakeSnapshot(ctx, vfs.OS{}, dir, endless)
	if err != nil {
		if ctx.Err() != nil { // that is no fault of what was fetched, which stays
			return fmt.Errorf("read the log of %s that was fetched: %w", r.m.ID, err)
		}
		return fmt.Errorf("%s in %s: %w: its log cannot be read: %w", r.m.ID, r.place, backup.ErrDamaged, err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if got := (backup.LogRange{First: s.First, Next: s.Next, Chain: s.Chain}); got != r.m.Log {
		return fmt.Errorf("%s in %s: %w: its log has the events from offset %d to %d, and should have those from %d to %d of one chain",
			r.m.ID, r.place, backup.ErrDamaged, got.First, got.Next, r.m.Log.First, r.m.Log.Next)
	}
	return nil
}

// compareMiddle looks whether segments of the log were left out between its first and its
// last. What the log itself has on record as lost was so when it was backed up, and so were
// damaged records, which are there; of a gap beside those the backup would say so.
func (r *restoring) compareMiddle(ctx context.Context, p backup.Part) error {
	gaps, err := gapsOf(ctx, r.stage.Path(p.Path))
	if err != nil || gaps == 0 || p.Missing != "" {
		return err
	}
	return fmt.Errorf("%s in %s: %w: events are missing in the middle of its log", r.m.ID, r.place, backup.ErrDamaged)
}

// gapsOf counts the places of a log at which events are missing without a trace and without
// being on record. It reads the whole log.
func gapsOf(ctx context.Context, dir string) (int, error) {
	report, err := wal.Verify(ctx, vfs.OS{}, dir, nil)
	if err != nil {
		return 0, fmt.Errorf("look whether the log is whole: %w", err)
	}
	return report.Gaps, nil
}
