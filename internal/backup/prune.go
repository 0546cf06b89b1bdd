package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Pruned says what Prune took away.
type Pruned struct {
	Snapshots []string `json:"snapshots"`
	Objects   int      `json:"objects"`
	Bytes     int64    `json:"bytes"`
}

// pruneGrace is how old a piece must be that no manifest names, before it goes: a backup
// that another machine is making may be about to name it.
const pruneGrace = 24 * time.Hour

// Prune removes the oldest snapshots but for the newest keep, and then pieces that no
// snapshot is made of. Where the manifest of one that stays cannot be read, no piece goes.
func Prune(ctx context.Context, p Place, keep int, now time.Time) (Pruned, error) {
	return prune(ctx, p, keep, now.Add(-pruneGrace))
}

func prune(ctx context.Context, p Place, keep int, before time.Time) (done Pruned, err error) {
	if keep < 1 {
		return done, errors.New("keep at least one backup")
	}
	if d, ok := p.(*dir); ok {
		l, err := d.lock()
		if err != nil {
			return done, err
		}
		defer func() { _ = l.Close() }() // the system lets go of it in any case
	}
	ids, err := Snapshots(ctx, p)
	if err != nil {
		return done, err
	}
	gone := ids[:max(0, len(ids)-keep)]
	used := map[string]bool{}
	for _, id := range ids[len(gone):] {
		m, err := Load(ctx, p, id)
		if err != nil {
			return done, fmt.Errorf("nothing is pruned, as it is not known what %s is made of: %w", id, err)
		}
		for i := range m.Files {
			for _, sum := range m.Files[i].Pieces {
				used[sum] = true
			}
		}
	}
	for _, id := range gone {
		if err := p.Remove(ctx, manifestName(id)); err != nil {
			return done, fmt.Errorf("remove backup %s from %s: %w", id, p, err)
		}
		done.Snapshots = append(done.Snapshots, id)
	}
	var unused []Stored
	err = p.List(ctx, objectsFolder, func(s Stored) error {
		if sum := sumOfObject(s.Name); !used[strings.TrimSuffix(sum, temporary)] && s.Changed.Before(before) {
			unused = append(unused, s)
		}
		return nil
	})
	if err != nil {
		return done, fmt.Errorf("list what %s has: %w", p, err)
	}
	for _, s := range unused {
		if err := p.Remove(ctx, s.Name); err != nil {
			return done, fmt.Errorf("remove a piece that no backup needs from %s: %w", p, err)
		}
		done.Objects++
		done.Bytes += s.Size
	}
	return done, nil
}
