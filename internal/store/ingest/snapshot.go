package ingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/amoskys/amoskys/internal/stream"
)

// snapshotFolder is where snapshots are held, below the store's folder: in it, for the time
// of a backup, lies what a store needs to go on elsewhere.
const snapshotFolder = "snapshots"

// errNoEngine says why there is no snapshot.
var errNoEngine = errors.New("the store's engine does not serve: the store is left out, and is made again from the log as far as that reaches")

// errOfOthers says why there is none of a cluster.
var errOfOthers = errors.New("the events lie in clusters, whose files are not the store's: back up their storage nodes, or have them filled again from the log")

// snapshotter is an engine whose files are the store's own.
type snapshotter interface {
	Snapshot(ctx context.Context) (folders []string, err error)
}

// Snapshot makes all that was taken durable and takes a snapshot of it: a folder that holds
// the engine's days and the place that goes with them. What is behind the place is deleted
// by whoever opens it, and read again. release removes the folder.
func (in *Ingest) Snapshot(ctx context.Context) (folder string, place stream.Offset, release func() error, err error) {
	engine, ok := in.o.Engine.Rows().(snapshotter)
	if !ok {
		return "", 0, nil, errOfOthers
	}
	if in.Reader() == nil || !in.o.Engine.State().Running {
		return "", 0, nil, errNoEngine
	}
	folder = filepath.Join(in.o.Path, snapshotFolder)
	if err := os.RemoveAll(folder); err != nil { // of a store that was killed
		return "", 0, nil, fmt.Errorf("remove the snapshot of before: %w", err)
	}
	remove := func() error { return os.RemoveAll(folder) }
	defer func() {
		if err != nil {
			err = errors.Join(err, remove())
		}
	}()
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.settle(ctx); err != nil {
		return "", 0, nil, fmt.Errorf("make the store's events durable: %w", err)
	}
	in.gate.Lock()
	defer in.gate.Unlock()
	days, err := engine.Snapshot(ctx)
	if err != nil {
		return "", 0, nil, err //nolint:wrapcheck // it says all
	}
	for _, day := range days {
		if err := in.takeDay(folder, day); err != nil {
			return "", 0, nil, err
		}
	}
	p := in.place.clone()
	if err := p.save(in.o.FS, folder); err != nil {
		return "", 0, nil, err
	}
	return folder, p.Offset, remove, nil
}

// takeDay moves the engine's snapshot of a day to ours: it is folders and hard links.
func (in *Ingest) takeDay(folder, made string) error {
	partition := filepath.Dir(filepath.Dir(made))
	day, name := filepath.Base(partition), filepath.Base(made)
	from := filepath.Join(in.o.Path, "engine", "partitions", day, "snapshots", name)
	to := filepath.Join(folder, "engine", "partitions", day)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("take a snapshot of the store: %w", err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("take a snapshot of the store: %w", err)
	}
	return nil
}
