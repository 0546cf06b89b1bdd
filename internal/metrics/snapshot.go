package metrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/prometheus/prometheus/tsdb"

	"github.com/amoskys/amoskys/internal/stream"
)

// snapshotFolder is where snapshots are held, below the folder of the database.
const snapshotFolder = "snapshots"

// Snapshot takes a snapshot of the database: a folder with its blocks, as hard links, a
// block of what it had in memory, and the place that goes with them. What is read again
// behind the place and is there already is there once. release removes the folder.
func (db *DB) Snapshot(ctx context.Context) (folder string, at stream.Offset, release func() error, err error) {
	t, done, err := db.use()
	if err != nil {
		return "", 0, nil, err
	}
	defer done()
	folder = filepath.Join(db.o.Path, snapshotFolder)
	if err := os.RemoveAll(folder); err != nil { // of a store that was killed
		return "", 0, nil, fmt.Errorf("remove the snapshot of before: %w", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", 0, nil, fmt.Errorf("make a folder for the snapshot of the metrics: %w", err)
	}
	release = func() error { return os.RemoveAll(folder) }
	db.mu.Lock()
	p := place{Offset: db.next, Last: db.last, Aside: slices.Clone(db.place.Aside)} // all before it is written
	db.mu.Unlock()
	if err := db.takeSnapshot(ctx, t, folder, p); err != nil {
		return "", 0, nil, errors.Join(fmt.Errorf("take a snapshot of the metrics: %w", err), release())
	}
	return folder, p.Offset, release, nil
}

func (db *DB) takeSnapshot(ctx context.Context, t *tsdb.DB, folder string, p place) error {
	// Late samples are in no block, and a snapshot has none but those of blocks and of what
	// came in order.
	if err := t.CompactOOOHead(ctx); err != nil {
		return err //nolint:wrapcheck // the caller says what this was
	}
	if err := t.Snapshot(folder, t.Head().MinTime() != math.MaxInt64); err != nil {
		return err //nolint:wrapcheck // the caller says what this was
	}
	return p.save(db.o.FS, folder)
}
